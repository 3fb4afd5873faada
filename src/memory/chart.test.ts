import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { renderTraceChart } from "./chart.ts";
import { parseTrace } from "./trace.ts";

const file = join(import.meta.dirname, "../../test/vectors/traces/default-model.jsonl");
const trace = parseTrace(readFileSync(file, "utf8"), file);

it("a chart has a line for each policy, below whoever knows the future, and a cell for each expert", () => {
  const svg = renderTraceChart(trace, 20);
  expect(svg.match(/class="cell"/g)).toHaveLength(trace.layers * trace.experts);
  const heights = ["recency", "frequency", "optimum"].map((policy) => {
    const [, points] = new RegExp(`<polyline class="line ${policy}" points="([^"]+)"`).exec(svg)!;
    return points!.split(" ").map((point) => Number(point.split(",")[1]));
  });
  // Downwards, as pictures count: with more memory hits do not become fewer, and in all of it there is everything.
  const [recency, frequency, optimum] = heights as [number[], number[], number[]];
  for (const [i, best] of optimum.entries()) {
    expect(best).toBeLessThanOrEqual(Math.min(recency[i]!, frequency[i]!) + 0.1);
    if (i > 0) expect(best).toBeLessThanOrEqual(optimum[i - 1]!);
  }
  expect(optimum.at(-1)).toBeLessThan(61);
  expect(svg).not.toMatch(/<script|href|url\(/);
});

it("a model's name is text in it, and nothing else", () => {
  const svg = renderTraceChart({ ...trace, model: '</title><script>"&' }, 0);
  expect(svg).not.toContain("<script");
  expect(svg).toContain("&#60;script&#62;&#34;&#38;");
});
