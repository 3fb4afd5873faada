import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeToy } from "../../src/train/toy.case.ts";
import { finished, grok1, start } from "./grok1.ts";

const toy = makeToy();
afterAll(() => rmSync(toy.folder, { recursive: true, force: true }));

function write(name: string, changes: Record<string, unknown> = {}): string {
  const { path: _, out: __, ...rest } = toy.config();
  const path = join(toy.folder, name);
  const config = { ...rest, out: name.replace(".json", ""), ...changes };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

const steps = (out: string) => (existsSync(join(out, "log.jsonl")) ? readFileSync(join(out, "log.jsonl"), "utf8") : "");

describe("train", () => {
  it("trains, and run opens what it wrote", async () => {
    const result = await grok1(["train", write("small.json"), "--type", "q8_0", "--json"]);
    expect(result).toMatchObject({ status: 0 });
    expect(result.stderr).toMatch(
      /small\.json: .* parameters.*\nmemory: about .* kept\nstep 4 .*bits\/byte.*\nstep 6 /,
    );
    const { model, finished: done, step } = JSON.parse(result.stdout);
    expect({ done, step }).toEqual({ done: true, step: 6 });
    expect(readdirSync(join(toy.folder, "small")).sort()).toEqual([
      "checkpoints",
      "log.jsonl",
      "loss.svg",
      "toy-q8_0.gguf",
    ]);
    expect(await grok1(["run", "-m", model, "-p", "fox", "-n", "2"])).toMatchObject({ status: 0 });
  });

  it("says how it fits the memory that it may take, or that it does not", async () => {
    const fits = await grok1(["train", write("bounded.json"), "--memory", "64G"]);
    expect(fits).toMatchObject({
      status: 0,
      stderr: expect.stringMatching(/memory: about .* of .*, activations kept/),
    });
    const not = await grok1(["train", write("narrow.json"), "--memory", "10M"]);
    expect(not).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/MiB of memory are needed at least .*10 MiB/),
    });
    expect(existsSync(join(toy.folder, "narrow"))).toBe(false);
  });

  it.each([1, 2])("saves at Ctrl-C with %i processes, and goes on from there", async (processes) => {
    const name = `long-${processes}`;
    const long = {
      steps: 100_000,
      replicas: 2,
      evaluation: { interval: 50_000 },
      checkpoint: { interval: 50_000, keep: 2 },
    };
    const config = write(`${name}.json`, long);
    const out = join(toy.folder, name);
    const child = start(["train", config, "--processes", String(processes)]);
    const ended = finished(child);
    while (steps(out).split("\n").length < 4 && child.exitCode === null)
      await new Promise((done) => setTimeout(done, 20));
    child.kill("SIGINT");
    const stopped = await ended;
    expect(stopped).toMatchObject({
      status: 130,
      stdout: expect.stringMatching(/^stopped after step \d+ of 100000, saved/),
    });
    const step = Number(/after step (\d+)/.exec(stopped.stdout)![1]);
    expect(steps(out).trim().split("\n")).toHaveLength(step);
    write(`${name}.json`, { ...long, steps: step + 2 });
    const again = await grok1(["train", config, "--resume"]);
    expect(again).toMatchObject({ status: 0, stdout: expect.stringContaining(`: ${step + 2} steps`) });
    expect(again.stderr).toContain(`from step ${step} on`);
  });

  it.each([
    // Of a process that is ending already, Node has given up its handlers: another signal is the system's to answer.
    ["a second Ctrl-C", "SIGINT", [130, null]],
    ["SIGTERM", "SIGTERM", [null]],
    ["SIGKILL", "SIGKILL", [null]],
  ] as const)("leaves nothing in shared memory at %s", async (_what, signal, statuses) => {
    const config = write(`${signal}.json`, { steps: 100_000, replicas: 2 });
    const child = start(["train", config, "--processes", "2"]);
    const ended = finished(child);
    const shared = () =>
      [tmpdir(), "/dev/shm"]
        .filter(existsSync)
        .flatMap((parent) => readdirSync(parent))
        .filter((name) => name.startsWith(`grok1-train-${child.pid}-`));
    while (steps(join(toy.folder, signal)) === "" && child.exitCode === null)
      await new Promise((done) => setTimeout(done, 20));
    expect(shared()).toHaveLength(1);
    child.kill(signal);
    const again = setInterval(() => child.kill(signal), 1);
    const { status, stderr } = await ended;
    clearInterval(again);
    expect(statuses).toContain(status);
    expect(stderr).not.toContain("    at ");
    await expect.poll(shared, { timeout: 10_000 }).toEqual([]);
  });

  it("refuses a model that no memory holds before it allocates one", async () => {
    const { path: _, out: __, ...rest } = toy.config();
    const model = { ...rest.model, layers: 1024, width: 65536, hidden: 1 << 20 };
    const result = await grok1(["train", write("huge.json", { model })]);
    expect(result).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringMatching(
        /huge\.json: the model's \d+ parameters take [\d.]+ GiB in training .* may be used here/,
      ),
    });
    expect(existsSync(join(toy.folder, "huge"))).toBe(false);
  });

  it("says what a budget is good for, and writes nothing", async () => {
    const config = write("budget.json");
    const result = await grok1(["train", config, "--budget", "1h30m", "--json"]);
    expect(result).toMatchObject({ status: 0 });
    const budget = JSON.parse(result.stdout);
    expect(budget.optimal.tokens / budget.optimal.used).toBeCloseTo(20, 6);
    expect(budget.stepsInBudget).toBe(Math.floor(5400 / (budget.seconds / budget.steps)));
    expect(existsSync(join(toy.folder, "budget"))).toBe(false);
  });

  it("names what is wrong with a configuration, an option or a folder", async () => {
    const [steps, time, again, none] = await Promise.all([
      grok1(["train", write("wrong.json", { steps: 0 })]),
      grok1(["train", write("time.json"), "--budget", "soon"]),
      grok1(["train", write("none.json"), "--resume"]),
      grok1(["train", join(toy.folder, "missing.json")]),
    ]);
    expect(steps).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/wrong\.json: steps: expected .* found 0\n$/),
    });
    expect(time).toMatchObject({ status: 2, stderr: expect.stringContaining("1h30m") });
    expect(again).toMatchObject({ status: 2, stderr: expect.stringContaining("no checkpoint") });
    expect(none).toMatchObject({ status: 1, stderr: expect.stringMatching(/missing\.json: cannot open/) });
  });
});
