import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { folder, grok1, models } from "./grok1.ts";

const task = join(folder, "capitals.json");
writeFileSync(
  task,
  JSON.stringify({
    ...{ name: "capitals", about: "capitals", data: "capitals.jsonl", source: "https://example.org/capitals" },
    ...{
      context: "{{q}}",
      choices: "{{c | tojson}}",
      continuation: "{{choice}}",
      answer: "{{a}}",
      metrics: ["acc", "acc_norm"],
    },
  }),
);
const rows = ["Lima", "Rome", "Oslo", "Cairo"].map((city, i) => ({ q: `Country ${i}:`, c: [city, "none"], a: i % 2 }));
writeFileSync(join(folder, "capitals.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
const evaluate = (...args: readonly string[]) =>
  grok1(["eval", ...args, "-m", join(models, "llama.gguf"), "--backend", "reference"]);

describe("eval", () => {
  it("prints a table or one document, the same from a file of records", async () => {
    const records = join(folder, "records.jsonl");
    const args = [task, "--data", folder, "--records", records];
    const json = await evaluate(...args, "--limit", "4", "--json");
    expect(json).toMatchObject({ status: 0, stderr: "" });
    const { results, ...how } = JSON.parse(json.stdout);
    const bytes = readFileSync(join(models, "llama.gguf"));
    const hash = createHash("sha256").update(bytes).digest("hex");
    expect(how).toMatchObject({
      ...{ version: expect.stringMatching(/^\d+\.\d+\.\d+/), data: folder, architecture: "llama" },
      settings: { shots: null, limit: 4, chat: false, backend: "reference", kvType: "f32", adapters: [] },
      files: [{ path: join(models, "llama.gguf"), bytes: bytes.length, sha256: hash }],
    });
    expect(results).toMatchObject([
      { task: "capitals", questions: 4, available: 4, shots: 0, guessing: 0.5, truncated: 0 },
    ]);
    expect(results[0].doubts).toContainEqual({ metric: "acc", why: "chance" });
    expect(results[0].metrics.acc.interval).toEqual([expect.closeTo(0.15, 3), expect.closeTo(0.85, 3)]);
    expect(readFileSync(records, "utf8").trimEnd().split("\n")).toHaveLength(6);
    const text = await evaluate(...args);
    const { value, error } = results[0].metrics.acc;
    const html = join(folder, "report.html");
    const other = await evaluate(...args, "--against", records, "--html", html);
    const page = readFileSync(html, "utf8");
    expect(page).toContain(results[0].key);
    expect(page).toContain(`p = 1.0</td>`);
    expect(other.stdout).toMatch(
      /against .*\n.*\ncapitals +acc +4 .* 100\.0 % \(100\.0 % to 100\.0 %\) +0 +0 +1\.0 +noise\n/s,
    );
    expect(text.stdout).toMatch(
      new RegExp(`capitals +acc +${value.toFixed(4)} +± ${error.toFixed(4)} +4 +0 +0\\.50 +may be chance, few`),
    );
  });

  it("--list says what is there, what is missing and where to get it", async () => {
    const { status, stdout } = await grok1(["eval", "--list", "--data", folder]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^piqa +missing +physical common sense/m);
    expect(stdout).toMatch(/^ {2}grok1 pull-data arc_challenge,\S+,piqa,\S+ --data \S+$/m);
    expect(stdout).toMatch(/^logs\/BGL\/BGL_2k\.log_structured\.csv\n {2}from https:\/\/\S+loghub$/m);
    const { stdout: json } = await grok1(["eval", "--list", "--json"]);
    expect(JSON.parse(json)).toContainEqual(
      expect.objectContaining({ name: "piqa", there: false, missing: ["commonsense/piqa.jsonl"], download: true }),
    );
  });

  it("says what is wrong in a line", async () => {
    const cases: readonly (readonly [args: readonly string[], status: number, message: RegExp])[] = [
      [[], 2, /^grok1: no task: name some/],
      [["piqa"], 2, /^grok1: no data: --data names their folder/],
      [["piqqa", "--data", folder], 2, /^grok1: there is no task "piqqa", did you mean piqa\?/],
      [["piqa", "--data", folder], 1, /piqa\.jsonl: there is no such file, which piqa needs: grok1 pull-data piqa/],
      [[task, "--data", folder, "--shots", "4"], 2, /--shots is 4, and .*capitals\.jsonl has 4 questions/],
      [[task, "--data", folder, "--records", join(folder, "capitals.jsonl")], 2, /capitals\.jsonl: is a task's data/],
      [[task, "--data", folder, "--html", join(folder, "capitals.jsonl")], 2, /capitals\.jsonl: is a task's data/],
    ];
    const outcomes = await Promise.all(cases.map(([args]) => evaluate(...args)));
    for (const [i, [, status, message]] of cases.entries()) {
      expect(outcomes[i]!.stderr).toMatch(message);
      expect(outcomes[i]).toMatchObject({ status, stdout: "" });
    }
  });
});
