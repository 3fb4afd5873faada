import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Explanation } from "../../src/explain/explain.ts";
import { folder, grok1, models } from "./grok1.ts";

const mixtral = join(models, "mixtral.gguf");
const explain = (...args: readonly string[]) => grok1(["explain", "-m", mixtral, "--threads", "1", ...args]);

describe("explain", () => {
  it("prints a table, or one document that agrees with it", async () => {
    const args = ["-p", "ca\u001bpi", "--baseline", "a"];
    const page = join(folder, "why.html");
    const [text, json] = await Promise.all([explain(...args, "--html", page), explain(...args, "--json")]);
    for (const outcome of [text, json]) expect(outcome).toMatchObject({ status: 0, stderr: "" });
    const found = JSON.parse(json.stdout) as Explanation;
    expect(found).toMatchObject({ shapley: { method: "exact", baseline: { text: "a" } }, attentionRows: "all" });
    for (const { text: name, contribution } of found.tokens) {
      const shown = JSON.stringify(name).replace("\\", "\\\\");
      const value = `${contribution < 0 ? "-" : "\\+"}${Math.abs(contribution).toFixed(3)}`;
      expect(text.stdout).toMatch(new RegExp(`^${shown} +${value} `, "m"));
    }
    expect(text.stdout).not.toContain("\u001b");
    expect(text.stdout).toMatch(/^sum +[-+][\d.]+$/m);
    for (const { attention, experts } of found.layers) {
      expect(attention).toHaveLength(found.model.heads);
      expect(experts).toHaveLength(found.tokens.length);
      for (const row of attention.flat()) expect(row.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 3);
    }
    const html = readFileSync(page, "utf8");
    expect(html).toMatch(/^<!doctype html>/);
    for (const { contribution } of found.tokens) expect(html).toContain(Math.abs(contribution).toFixed(3));
    // A row of attention is a line.
    expect(json.stdout.split("\n").length).toBeLessThan(2000);
  });

  it("says what is wrong in a line", async () => {
    const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
      [[], /^grok1: no prompt: give -p TEXT/],
      [["-p", "capital", "--html", mixtral], /mixtral\.gguf: is the model itself, which stays as it is/],
      [["-p", "capital", "--pairs", "1"], /--pairs.*'1' is invalid\. Expected a whole number from 2 to 1000000/],
      [["-p", "capital", "--target", "Paris"], /^grok1: --target is "Paris", which is no token of the model but "/],
      [["-p", "capital", "--baseline", "zzz"], /^grok1: --baseline is "zzz", which is no token of the model but "/],
    ];
    const outcomes = await Promise.all(cases.map(([args]) => explain(...args)));
    for (const [i, [, message]] of cases.entries()) {
      expect(outcomes[i]!.stderr).toMatch(message);
      expect(outcomes[i]).toMatchObject({ status: 2, stdout: "" });
    }
  });
});
