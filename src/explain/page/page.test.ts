import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { hostileExplanation, hostileTokens } from "./page.case.ts";
import { renderExplanation } from "./page.ts";
import { texts } from "./texts.ts";

const page = renderExplanation(hostileExplanation());
const withoutScripts = (text: string) => text.replace(/<script.*?<\/script>/gs, "");
const markup = withoutScripts(page);

it("shows what tokens say as text, wherever it stands", () => {
  // Of markup nothing but ours: two scripts, and no element or attribute that a token brought along.
  expect(page.match(/<script/g)).toHaveLength(2);
  expect(markup).not.toMatch(/<img|<!--|onerror="|onmouseover='/);
  expect(page).not.toContain("\u202e");
  expect(page).toContain("&#60;/script&#62;&#60;script&#62;document.title");
  expect(page).toContain("\\u{202e}noitcerid");
  expect(page).toContain("<bdi>{target}</bdi>");
  expect(page).toContain("␣$&#38; ");
  const [, data] = page.match(/<script type="application\/json" id="data">(.*?)<\/script>/)!;
  const { tokens, heads, all, maps } = JSON.parse(data!);
  expect([heads, all, tokens[0], tokens.at(-1)]).toEqual([2, true, hostileTokens[0], "↵"]);
  const count = hostileTokens.length;
  expect(Buffer.from(maps, "base64")).toHaveLength((2 * 2 * count * (count + 1)) / 2);
});

it("lets a browser run its own script alone, and fetch nothing", () => {
  const [, policy] = page.match(/Content-Security-Policy" content="([^"]*)"/)!;
  const script = page.match(/<script>([\s\S]*?)<\/script>/)![1]!;
  const hash = createHash("sha256").update(script).digest("base64");
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain(`script-src 'sha256-${hash}';`);
  expect(page).not.toMatch(/<\w[^<>]*\s(src|href)=|url\(|@import/);
});

it("says everything in both languages, with the same places to fill", () => {
  const places = (text: string) => [...new Set(text.match(/\{\w+\}/g))].sort();
  for (const [key, [english, spanish]] of Object.entries(texts)) {
    expect(places(spanish), key).toEqual(places(english));
  }
  expect(markup).not.toMatch(/undefined|NaN/);
});

it("of a prompt of one token and of attention of the last row alone, is whole too", () => {
  const one = renderExplanation(hostileExplanation(["<a>"]));
  expect(withoutScripts(one)).not.toMatch(/NaN|undefined|Infinity|<a>/);
  const long = hostileExplanation();
  const layers = long.layers.map((layer) => ({ ...layer, attention: layer.attention.map((head) => [head.at(-1)!]) }));
  const last = renderExplanation({ ...long, attentionRows: "last", layers });
  expect(last.match(/<option/g)).toHaveLength(1);
});
