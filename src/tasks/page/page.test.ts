import { expect, it } from "vitest";
import { drawBar } from "./chart.ts";
import { hostileReport } from "./page.case.ts";
import { renderEvaluation } from "./page.ts";
import { texts } from "./texts.ts";

const page = renderEvaluation(hostileReport());

it("shows what tasks, parts, metrics and files are called as text", () => {
  expect(page.match(/<script/g)).toHaveLength(1);
  expect(page.replace(/<script.*?<\/script>/gs, "")).not.toMatch(/<img|onerror="|onmouseover='|undefined|NaN|Infinity/);
  expect(page).not.toContain("\u202e");
  expect(page).toContain("&#60;/script&#62;&#60;script&#62;document.title");
  expect(page).toContain("{task} $&#38; \\u{202e}noitcerid");
  expect(page).not.toMatch(/<\w[^<>]*\s(src|href)=|url\(|@import/);
});

it("says each figure with its interval, what is to be doubted, and what is noise", () => {
  const text = page
    .replace(/<span lang="es">.*?<\/span>/g, "")
    .replace(/<style>.*<\/style>/s, "")
    .replace(/<[^<>]*>/g, " ")
    .replace(/\s+/g, " ");
  for (const words of [
    ...[
      "acc 63.0 % 56.0 – 70.0 %",
      "28.0 % 22.0 – 34.0 % may be chance",
      "perplexity 23.400 mcc −0.050 −0.150 – 0.050",
    ],
    ...["(20) 60.0 % 40.0 – 80.0 % few questions", "model&#39;s context: 3.", "most tokens that they may have: 7."],
    "acc 70.0 % −7.0 % ± 2.0 % 90.0 % (82.0 – 98.0 %) +2 −16, p = 0.0013 not noise: worse",
    ...[
      "+1.0 % ± 2.0 %",
      "p = 0.73 noise",
      "2 differences that are not noise, of 3".slice(2),
      "1 / 400",
      "ab".repeat(32),
    ],
  ]) {
    expect(text).toContain(words);
  }
});

it("draws a bar to its value, the interval over it, and what guessing has", () => {
  const bar = drawBar({ value: 0.5, interval: [0.25, 0.75], guessing: 0.25, kind: "amount" }, { low: 0, high: 1 });
  expect(bar).toContain('class="amount" style="left:0.00%;width:50.00%"');
  expect(bar).toContain('class="whisker" style="left:25.00%;width:50.00%"');
  expect(bar).toContain('class="guess" style="left:25.00%"');
  const less = drawBar({ value: -0.5, interval: [-2, 0], kind: "less" }, { low: -1, high: 1 });
  expect(less).toContain('class="amount less" style="left:25.00%;width:25.00%"');
  expect(less).toContain('class="whisker" style="left:0.00%;width:50.00%"');
});

it("says everything in both languages, with the same places to fill", () => {
  const places = (text: string) => [...new Set(text.match(/\{\w+\}/g))].sort();
  for (const [key, [english, spanish]] of Object.entries(texts)) expect(places(spanish), key).toEqual(places(english));
});
