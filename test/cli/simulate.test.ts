import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { grok1 } from "./grok1.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-simulate-"));
afterAll(() => rmSync(folder, { recursive: true }));
const model = join(import.meta.dirname, "../vectors/models/mixtral.gguf");
const trace = join(folder, "trace.jsonl");

it("a recorded trace is replayed for any memory, and knowing the future is best", async () => {
  const run = await grok1(["bench", "-m", model, "-p", "4", "-n", "30", "-r", "1", "--trace", trace, "--json"]);
  expect(run.stderr).toBe("");
  const lines = readFileSync(trace, "utf8").trimEnd().split("\n");
  // A pass to read the prompt and one for each token but the last, in the run to warm up and the one that counts.
  expect(lines).toHaveLength(1 + 2 * (1 + 30));
  const { status, stdout } = await grok1(["simulate", trace, "--experts", "40K,72K,1M", "--skip", "1", "--json"]);
  expect(status).toBe(0);
  const { runs } = JSON.parse(stdout) as { runs: Record<string, number | string>[] };
  expect(runs.map(({ policy }) => policy)).toEqual(
    Array.from({ length: 3 }, () => ["recency", "frequency", "optimum"]).flat(),
  );
  const readOf = (policy: string) =>
    runs.filter((each) => each.policy === policy).map(({ bytesRead }) => bytesRead as number);
  for (const policy of ["recency", "frequency"]) {
    const [small, middle, all] = readOf(policy);
    expect(small).toBeGreaterThan(middle!);
    expect(middle).toBeGreaterThan(all!);
    expect(readOf("optimum")[0]).toBeLessThan(small!);
  }
  const { stdout: text } = await grok1(["simulate", trace, "--drive", "1GB,500MB/s"]);
  // As drives are sold, beside memory as memory is.
  expect(text).toMatch(/ 1\.00 GB\/s .* 500 MB\/s /s);
  expect(text).not.toMatch(/\de\+/);
  expect(text).toContain("mixtral.gguf: 2 layers of 6 experts");
  expect(text).toMatch(/memory .*hits .*tokens\/s/);
});

it("what is no trace, and a trace over the model, are refused", async () => {
  const other = join(folder, "other");
  writeFileSync(other, "{}\n");
  expect(await grok1(["simulate", other])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("other: line 1:"),
  });
  expect(await grok1(["run", "-m", model, "-p", "a", "--trace", model])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("the model"),
  });
  expect(await grok1(["simulate", trace, "--skip", "1000"])).toMatchObject({ status: 2 });
  expect(await grok1(["simulate", trace, "--experts", "x"])).toMatchObject({ status: 2 });
  expect(await grok1(["simulate", trace, "--drive", "0GB"])).toMatchObject({ status: 2 });
  const empty = join(folder, "empty.jsonl");
  writeFileSync(empty, `${readFileSync(trace, "utf8").split("\n")[0]}\n`);
  expect(await grok1(["simulate", empty])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("empty.jsonl: has no pass"),
  });
});

it("a trace is drawn, and not drawn over", async () => {
  const recorded = join(import.meta.dirname, "../vectors/traces/zipf.jsonl");
  const svg = join(folder, "chart.svg");
  expect(await grok1(["simulate", recorded, "--experts", "64M", "--svg", svg])).toMatchObject({
    status: 0,
    stderr: "",
  });
  expect(readFileSync(svg, "utf8")).toMatch(/^<svg .*zipf: 8 layers of 16 experts, 180 passes.*<\/svg>\n$/s);
  expect(await grok1(["simulate", recorded, "--svg", recorded])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("is the trace, which stays as it is"),
  });
});

it("whatever runs a model holds to a bound of memory", async () => {
  const text = join(folder, "text");
  writeFileSync(text, "some words to read, more than eight tokens of them");
  for (const args of [
    ["run", "-p", "a", "-n", "1"],
    ["bench", "-p", "4", "-n", "1"],
    ["perplexity", "--file", text, "-c", "8"],
    ["logits", "--tokens", "5,9", "--out", join(folder, "logits.safetensors")],
  ]) {
    expect(await grok1([...args, "-m", model, "--memory", "1M"])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("mixtral.gguf: 1.05 MB of memory may be used, and 2"),
    });
    expect(await grok1([...args, "-m", model, "--memory", "1G"])).toMatchObject({ status: 0, stderr: "" });
  }
});
