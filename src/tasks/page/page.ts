import { basename } from "node:path";
import { escapeMarkup } from "../../bytes/markup.ts";
import type { LanguageModel } from "../../generate/types.ts";
import { renderPage, renderSection, visible } from "../../page/document.ts";
import { createSay } from "../../page/languages.ts";
import { chanceOf } from "../doubts.ts";
import type { PairedFigure } from "../paired.ts";
import type { PartResult, TaskResult } from "../prepared.ts";
import { isLoss } from "../scores.ts";
import { drawBar, type Scale } from "./chart.ts";
import { style } from "./style.ts";
import { texts } from "./texts.ts";

/** What a page tells of an evaluation. */
export interface TaskReport {
  readonly model: Pick<LanguageModel, "path" | "description" | "info">;
  readonly results: readonly TaskResult[];
  readonly seconds: number;
  /** Of grok1. */
  readonly version: string;
  /** The other run's records, where there are some. */
  readonly against?: string | undefined;
}

const say = createSay(texts);
const shown = (text: string): string => escapeMarkup(visible(text));

/** An evaluation as one HTML document: {@link renderPage}. Whatever tasks, files and the model are called is text. */
export function renderEvaluation(report: TaskReport): string {
  const { model, results, seconds } = report;
  const name = model.description.name ?? basename(model.path);
  const paired = results.flatMap((result) => Object.values(result.paired ?? {}));
  const fact = (value: string | number, label: string) =>
    `<div><dt>${label}</dt><dd class="number">${value}</dd></div>`;
  const facts = [
    fact(
      results.reduce((sum, { questions }) => sum + questions, 0),
      say("questions"),
    ),
    fact(results.length, say("tasks")),
    fact((seconds / 60).toFixed(1), say("minutes")),
    paired.length === 0
      ? ""
      : fact(paired.filter(({ noise }) => !noise).length, say("beyondNoise", { count: String(paired.length) })),
  ];
  return renderPage({
    title: `What ${visible(name)} scores`,
    heading: say("title", { model: `<bdi>${shown(name)}</bdi>` }),
    subject: shown(basename(model.path)),
    main: `<dl class="facts">
${facts.join("\n")}
</dl>
${renderFigures(results)}
${paired.length === 0 ? "" : renderPaired(report)}
${renderSettings(report)}`,
    footer: say("madeBy", { what: "<code>grok1 eval --html</code>" }),
    ...{ style, script: "speak(wanted);\n" },
  });
}

const column = (key: keyof typeof texts, isNumber = true): string =>
  `<th role="columnheader" scope="col"${isNumber ? ' class="number"' : ""}>${say(key)}</th>`;
/** @param head the column's head, which a small screen shows in the cell. */
function cell(kind: "number" | "drawn" | "said", markup: string, head?: keyof typeof texts): string {
  const [english, spanish] = head === undefined || markup === "" ? [] : texts[head];
  const heads = english === undefined ? "" : ` data-en="${escapeMarkup(english)}" data-es="${escapeMarkup(spanish!)}"`;
  return `<td role="cell" class="${kind}"${heads}>${markup}</td>`;
}
const heading = (of: string): string => `<th role="rowheader" scope="row">${of}</th>`;

/** Rows that a small screen shows as lines, which would be no table to who hears it but for the roles. */
function renderTable(name: string, head: readonly string[], bodies: readonly string[]): string {
  return `<table role="table" class="figures" aria-labelledby="${name}"><thead role="rowgroup"><tr role="row">${head.join("")}</tr></thead>
${bodies.join("\n")}</table>`;
}

/** Rows of one task under its name. */
function renderBody({ task, about }: TaskResult, columns: number, rows: readonly string[]): string {
  const of = `<bdi>${shown(task)}</bdi> <small>${shown(about)}</small>`;
  return `<tbody role="rowgroup"><tr role="row" class="of"><th role="rowheader" scope="rowgroup" colspan="${columns}">${of}</th></tr>
${rows.join("\n")}</tbody>`;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const isProportion = (metric: string): boolean => metric !== "mcc" && !isLoss(metric);
const minus = (text: string): string => text.replace(/^-/, "−");
const write = (metric: string, value: number): string =>
  minus(isProportion(metric) ? percent(value) : value.toFixed(3));

function writeRange(metric: string, low: number, high: number): string {
  if (!Number.isFinite(low + high)) return "";
  return `${write(metric, low).replace(" %", "")} – ${write(metric, high)}`;
}

const signed = (metric: string, value: number): string => `${value > 0 ? "+" : ""}${write(metric, value)}`;

/** Shares are drawn up to 100 %, what has no end by itself up to a little more than its interval. */
function scaleOf(metric: string, { value, interval: [low, high] }: TaskResult["metrics"][string]): Scale {
  if (isLoss(metric)) return { low: 0, high: 1.15 * (Number.isFinite(high) ? high : value) };
  return { low: metric === "mcc" && (low < 0 || value < 0) ? -1 : 0, high: 1 };
}

const figureHead = [
  ...[column("metric", false), column("value"), column("interval"), column("chart", false), column("toKnow", false)],
];

function figureRow(
  name: string,
  metric: string,
  { metrics, doubts, members }: PartResult,
  guessing: number | undefined,
): string {
  const figure = metrics[metric]!;
  const chance = chanceOf(metric, guessing);
  const said = doubts.flatMap((doubt) => (doubt.metric === metric ? [say(doubt.why)] : []));
  const bar = drawBar(
    { ...figure, guessing: chance, kind: said.length > 0 ? "doubtful" : "amount" },
    scaleOf(metric, figure),
  );
  const cells = [
    ...[heading(name), cell("number", write(metric, figure.value))],
    ...[cell("number", writeRange(metric, ...figure.interval)), cell("drawn", bar), cell("said", said.join(" · "))],
  ];
  return `<tr role="row"${members ? ' class="group"' : ""}>${cells.join("")}</tr>`;
}

function renderFigures(results: readonly TaskResult[]): string {
  const bodies = results.map((result) =>
    renderBody(
      result,
      figureHead.length,
      Object.keys(result.metrics).map((metric) => figureRow(shown(metric), metric, result, result.guessing)),
    ),
  );
  const counted = (key: "cutOff" | "truncated", { task }: TaskResult, count: number) =>
    count === 0 ? [] : [`<li>${say(key, { task: `<bdi>${shown(task)}</bdi>`, count: String(count) })}</li>`];
  const warnings = results.flatMap((result) => [
    ...counted("cutOff", result, result.limited ?? 0),
    ...counted("truncated", result, result.truncated),
  ]);
  const parts = results.flatMap((result, i) => {
    if (result.parts === undefined) return [];
    const several = Object.keys(result.metrics).length > 1;
    const rows = Object.entries(result.parts).flatMap(([name, part]) =>
      Object.keys(part.metrics).map((metric) =>
        figureRow(
          `<bdi>${shown(name)}</bdi>${several ? ` ${shown(metric)}` : ""} <small class="soft">(${part.questions})</small>`,
          ...[metric, part, result.guessing] as const, // biome-ignore format: one call
        ),
      ),
    );
    return [renderDetails("parts", `parts-${i}`, result, figureHead, rows)];
  });
  return renderSection(
    "figures",
    say("figures"),
    `<p>${say("figuresText")}</p>
${renderTable("figures", figureHead, bodies)}
${warnings.length === 0 ? "" : `<ul class="warnings">${warnings.join("")}</ul>`}
${parts.join("\n")}`,
  );
}

/** Parts are told below what they are parts of: at once where they are few. */
function renderDetails(
  key: "parts" | "pairedParts",
  id: string,
  { task }: TaskResult,
  head: readonly string[],
  rows: readonly string[],
): string {
  const title = say(key, { task: `<bdi>${shown(task)}</bdi>` });
  return `<details${rows.length <= 12 ? " open" : ""}><summary id="${id}">${title}</summary>
${key === "pairedParts" ? `<p>${say("pairedPartsText")}</p>` : ""}
${renderTable(id, head, [`<tbody role="rowgroup">${rows.join("\n")}</tbody>`])}</details>`;
}

const pairedHead = [
  ...[column("metric", false), column("other"), column("difference"), column("chart", false)],
  ...[column("retained"), column("changed"), column("verdict", false)],
];

function pairedRow(name: string, metric: string, figure: PairedFigure, reach: number): string {
  const { other, difference, error, retained, changed, noise } = figure;
  const spread = 1.96 * error;
  const better = isLoss(metric) ? difference < 0 : difference > 0;
  const kind = noise ? "doubtful" : difference < 0 ? "less" : "amount";
  const bar = drawBar(
    { value: difference, interval: [difference - spread, difference + spread], kind },
    { low: -reach, high: reach },
  );
  const kept = retained ? `${percent(retained.value)} (${writeRange("share", retained.low, retained.high)})` : "";
  const which = changed ? `+${changed.gained} −${changed.lost}, p = ${changed.p.toPrecision(2)}` : "";
  const plusMinus = Number.isFinite(error) ? ` ± ${write(metric, error)}` : "";
  const cells = [
    ...[heading(name), cell("number", write(metric, other), "other")],
    cell("number", `${signed(metric, difference)}${plusMinus}`, "difference"),
    ...[cell("drawn", bar), cell("number", kept, "retained"), cell("number", which, "changed")],
    cell("said", say(noise ? "noise" : better ? "better" : "worse")),
  ];
  return `<tr role="row">${cells.join("")}</tr>`;
}

/** How far to either side bars of a unit are drawn: as far as the longest of all such goes. */
function reachOf(metric: string, results: readonly TaskResult[]): number {
  const unit = isProportion(metric);
  const ends = results.flatMap(({ paired = {}, pairedParts = {} }) =>
    [paired, ...Object.values(pairedParts)].flatMap((figures) =>
      Object.entries(figures)
        .filter(([of]) => (unit ? isProportion(of) : of === metric))
        .map(([, { difference, error }]) => Math.abs(difference) + (Number.isFinite(error) ? 1.96 * error : 0)),
    ),
  );
  return Math.max(...ends, Number.MIN_VALUE);
}

function renderPaired({ results, against }: TaskReport): string {
  const bodies = results.flatMap((result) => {
    const rows = Object.entries(result.paired ?? {}).map(([metric, figure]) =>
      pairedRow(shown(metric), metric, figure, reachOf(metric, results)),
    );
    return rows.length === 0 ? [] : [renderBody(result, pairedHead.length, rows)];
  });
  const parts = results.flatMap((result, i) => {
    if (result.pairedParts === undefined) return [];
    const several = Object.keys(result.metrics).length > 1;
    const rows = Object.entries(result.pairedParts).flatMap(([name, figures]) =>
      Object.entries(figures).map(([metric, figure]) =>
        pairedRow(
          `<bdi>${shown(name)}</bdi>${several ? ` ${shown(metric)}` : ""}`,
          ...[metric, figure, reachOf(metric, results)] as const, // biome-ignore format: one call
        ),
      ),
    );
    return [renderDetails("pairedParts", `paired-parts-${i}`, result, pairedHead, rows)];
  });
  const records = against === undefined ? "" : say("ofRecords", { file: `<code>${shown(against)}</code>` });
  return renderSection(
    "paired",
    say("paired"),
    `<p>${say("pairedText")} ${records}</p>
${renderTable("paired", pairedHead, bodies)}
${parts.join("\n")}`,
  );
}

function renderSettings({ model, results, version }: TaskReport): string {
  const { path, description, info } = model;
  const { architecture, parameters, bytes, types } = description;
  const row = (key: keyof typeof texts, value: string) => `<tr><th scope="row">${say(key)}</th><td>${value}</td></tr>`;
  const shares = types.map(
    ({ type, parameters: of }) => `${type} ${of < 0.0005 * parameters ? "< 0.1 %" : percent(of / parameters)}`,
  );
  const adapters = info.adapters.map(({ scale }, i) => `${info.adapterPaths[i]} × ${scale}`);
  const rows = [
    ...[row("file", shown(path)), row("architecture", shown(architecture))],
    row("parameters", `${(parameters / 1e6).toFixed(1)} M`),
    ...[row("types", shown(shares.join(", "))), row("bits", ((8 * bytes) / parameters).toFixed(2))],
    row("computedBy", shown([info.backend, info.isa].filter((part) => part !== undefined).join(", "))),
    ...[row("threads", String(info.threads)), row("cache", info.kvType), row("context", String(info.contextLength))],
    ...(adapters.length > 0 ? [row("adapters", shown(adapters.join(", ")))] : []),
    row("prompts", say(results.some(({ chat }) => chat) ? "chat" : "plain")),
    row("version", `grok1 ${shown(version)}`),
  ];
  const asked = results.map(
    ({ task, shots, questions, available, samples, key }) =>
      `<tr><th scope="row"><bdi>${shown(task)}</bdi></th><td class="number">${shots}</td><td class="number">${questions} / ${available}</td><td class="number">${samples ?? ""}</td><td><code>${shown(key)}</code></td></tr>`,
  );
  const head = ["shots", "askedOf", "samples"] as const;
  const heads = head.map((key) => `<th scope="col" class="number">${say(key)}</th>`).join("");
  return renderSection(
    "asked",
    say("asked"),
    `<table class="settings">${rows.join("\n")}</table>
<div class="wide hashes" tabindex="0" role="group" aria-labelledby="asked"><table><thead><tr><th scope="col">${say("task")}</th>${heads}<th scope="col">${say("key")}</th></tr></thead>
<tbody>${asked.join("\n")}</tbody></table></div>`,
  );
}
