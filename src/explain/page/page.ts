import { escapeMarkup } from "../../bytes/markup.ts";
import { renderPage, renderSection, visible } from "../../page/document.ts";
import { createSay } from "../../page/languages.ts";
import type { ExplainedLayer, Explanation } from "../explain.ts";
import { script } from "./script.ts";
import { style } from "./style.ts";
import { texts } from "./texts.ts";

type Key = keyof typeof texts;

const say = createSay(texts);

/** The same where a space at an end would be lost to the eye. */
const marked = (text: string): string => visible(text).replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length));

const named = ({ text }: { readonly text: string }): string => `<bdi>${escapeMarkup(marked(text))}</bdi>`;
const percent = (share: number): string => {
  const value = 100 * share;
  return value > 0 && value < 0.01 ? "&lt; 0.01 %" : `${value.toFixed(value < 9.995 ? 2 : 1)} %`;
};
const signed = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;

/** An explanation as one HTML document: {@link renderPage}. Whatever the prompt and the vocabulary say is text. */
export function renderExplanation(found: Explanation): string {
  const { model, target, shapley, layers } = found;
  return renderPage({
    title: `Why ${JSON.stringify(visible(target.text))}?`,
    heading: say("title", { target: `“${named(target)}”` }),
    subject: escapeMarkup(visible(model.name ?? model.path)),
    main: `<dl class="facts">
<div><dt>${say("tokenWas")}</dt><dd class="number">${percent(Math.exp(shapley.unmasked))}</dd></div>
<div><dt>${say("tokenWouldBe", { baseline: `“${named(shapley.baseline)}”` })}</dt><dd class="number">${percent(Math.exp(shapley.masked))}</dd></div>
</dl>
${renderContributions(found)}
${renderLens(found)}
${renderAttention(found)}
${layers.some(({ experts }) => experts !== undefined) ? renderExperts(found) : ""}`,
    footer: say("madeBy", { what: "<code>grok1 explain</code>" }),
    ...{ style, script, data: attentionData(found) },
  });
}

const section = (key: Key, body: string): string => renderSection(key, say(key), body);

function renderContributions({ tokens, target, shapley, noGradient }: Explanation): string {
  const { method, evaluations } = shapley;
  const [low, high] = [Math.min, Math.max].map((edge) => edge(0, ...tokens.map(({ contribution }) => contribution)));
  const most = Math.max(high!, -low!, Number.MIN_VALUE);
  /** Where on the bars' scale a value is. */
  const place = (value: number) => (100 * (value - low!)) / Math.max(high! - low!, Number.MIN_VALUE);
  const sign = (value: number) => (value < 0 ? "minus" : "plus");
  const flow = tokens.map(
    ({ text, contribution }) =>
      `<span class="${sign(contribution)}" style="--v:${(Math.abs(contribution) / most).toFixed(3)}" title="${signed(contribution)}"><bdi>${escapeMarkup(visible(text))}</bdi></span>`,
  );
  const gradients = tokens.some(({ gradient }) => gradient !== undefined);
  const number = (cell: string) => `<td class="number">${cell}</td>`;
  const errors = (error: number) => (method === "exact" ? "" : number(error > 0 ? `± ${error.toFixed(3)}` : ""));
  const rows = tokens.map((token) => {
    const { contribution, error, gradient } = token;
    const [from, to] = [place(Math.min(0, contribution)), place(Math.max(0, contribution))];
    const bar = `<i class="${sign(contribution)}" style="--v:1.6;width:${(to - from).toFixed(2)}%;margin-left:${from.toFixed(2)}%"></i>`;
    return `<tr><th scope="row">${named(token)}</th>${number(signed(contribution))}${errors(error)}${gradients ? number(signed(gradient ?? 0)) : ""}<td><div class="bar" style="--zero:${place(0).toFixed(2)}%">${bar}</div></td></tr>`;
  });
  const sum = tokens.reduce((total, { contribution }) => total + contribution, 0);
  const column = (text: string) => `<th scope="col" class="number">${text}</th>`;
  const how =
    method === "exact" ? say("exact", { count: String(evaluations) }) : say("sampled", { count: String(evaluations) });
  return section(
    "contributions",
    `<p>${say("contributionsText", { target: `“${named(target)}”` })} ${how}</p>
<div class="flow">${flow.join("")}</div>
<div class="key" aria-hidden="true"><span><i class="plus" style="--v:1.6"></i>${say("raises")}</span><span><i class="minus" style="--v:1.6"></i>${say("lowers")}</span></div>
<div class="wide" tabindex="0" role="group" aria-labelledby="contributions"><table class="bars"><thead><tr><th scope="col">${say("token")}</th>${column(say("contribution"))}${method === "exact" ? "" : column("±")}${gradients ? column(say("gradient")) : ""}<td></td></tr></thead>
<tbody>${rows.join("\n")}</tbody>
<tfoot><tr><th scope="row">${say("sum")}</th>${number(signed(sum))}${errors(0)}${gradients ? "<td></td>" : ""}<td></td></tr></tfoot></table></div>${
      noGradient === undefined ? "" : `\n<p>${say("noGradient", { why: escapeMarkup(visible(noGradient)) })}</p>`
    }`,
  );
}

/** A table with a row a layer, a column a token, and others behind the last one, where it is looked at first. */
function grid(
  key: Key,
  { tokens, layers }: Explanation,
  further: readonly string[],
  cells: (layer: ExplainedLayer) => readonly string[],
): string {
  const columns = tokens.map((token, i) => `<th scope="col"${lastOf(tokens, i)}>${named(token)}</th>`);
  const others = further.map((head) => `<th scope="col">${head}</th>`);
  const rows = layers.map((layer, i) => `<tr><th scope="row" class="number">${i}</th>${cells(layer).join("")}</tr>`);
  return `<div class="scroll" tabindex="0" role="group" aria-labelledby="${key}"><table class="grid"><thead><tr><th scope="col">${say("layer")}</th>${columns.join("")}${others.join("")}</tr></thead>
<tbody>${rows.join("\n")}</tbody></table></div>`;
}

const lastOf = ({ length }: ArrayLike<unknown>, i: number): string => (i === length - 1 ? ' class="last"' : "");

const shaded = (strength: number, isLast: boolean, title: string, text: string): string =>
  `<td class="plus${isLast ? " last" : ""}" style="--v:${strength.toFixed(3)}" title="${title}">${text}</td>`;

function renderLens(found: Explanation): string {
  const heads = [`p(“${named(found.target)}”)`, say("rank")];
  const cells = ({ lens: { target, each } }: ExplainedLayer) => [
    ...each.map((token, i) =>
      shaded(token.probability, i === each.length - 1, percent(token.probability), named(token)),
    ),
    `<td class="number">${percent(Math.exp(target.logprob))}</td><td class="number">${target.rank + 1}</td>`,
  ];
  return section(
    "lens",
    `<p>${say("lensText", { target: `“${named(found.target)}”` })}</p>\n${grid("lens", found, heads, cells)}`,
  );
}

function renderExperts(found: Explanation): string {
  const cells = ({ experts }: ExplainedLayer) =>
    found.tokens.map((_, i) => {
      const chosen = (experts?.[i] ?? []).toSorted((a, b) => b.weight - a.weight);
      const weights = chosen.map(({ expert, weight }) => `${expert}: ${weight.toFixed(2)}`).join(" · ");
      return shaded(
        chosen[0]?.weight ?? 0,
        i === found.tokens.length - 1,
        weights,
        chosen.map(({ expert }) => String(expert)).join(" · "),
      );
    });
  return section("experts", `<p>${say("expertsText")}</p>\n${grid("experts", found, [], cells)}`);
}

function renderAttention({ tokens, model, layers, attentionRows }: Explanation): string {
  const all = attentionRows === "all";
  const last = tokens.length - 1;
  const options = tokens.map((token, i) =>
    all || i === last
      ? `<option value="${i}"${i === last ? " selected" : ""}>${i}  ${escapeMarkup(marked(token.text))}</option>`
      : "",
  );
  const heads = Array.from(
    { length: model.heads },
    (_, i) =>
      `<label><input type="radio" name="head" value="${i}"${i === 0 ? " checked" : ""}><canvas aria-hidden="true"></canvas><span>${say("head")} ${i}</span></label>`,
  );
  return section(
    "attention",
    `<p>${say(all ? "attentionText" : "attentionLast")}</p>
<noscript><p>${say("needsScript")}</p></noscript>
<div class="controls"><label>${say("layer")} <input id="layer" type="range" min="0" max="${layers.length - 1}" value="${layers.length - 1}"><output id="layer-at"></output></label>
<label>${say("from")} <select id="from">${options.join("")}</select></label></div>
<fieldset class="heads" aria-labelledby="attention">${heads.join("")}</fieldset>
<ol class="flow" id="attended"></ol>
<canvas id="map" aria-hidden="true"></canvas>
<div id="at"></div>`,
  );
}

/** Shares as bytes, 255 times their root, layer by layer, head by head, row by row up to its own position. */
function attentionData({ tokens, model, layers, attentionRows }: Explanation): object {
  const bytes = layers.map(({ attention }) =>
    Buffer.from(attention.flat(2).map((share) => Math.round(255 * Math.sqrt(share)))),
  );
  return {
    ...{ tokens: tokens.map(({ text }) => visible(text)), heads: model.heads, all: attentionRows === "all" },
    maps: Buffer.concat(bytes).toString("base64"),
  };
}
