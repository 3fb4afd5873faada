import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { createRandom } from "../../src/sampling/random.ts";
import { finished, folder, grok1, models, start } from "./grok1.ts";

// Every run is a process of its own, and checkpoints are flushed to the disk, which others may keep busy.
vi.setConfig({ testTimeout: 180_000 });

const base = join(models, "llama.gguf");
const experts = join(models, "mixtral.gguf");
const hashOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

let files = 0;
function write(lines: readonly unknown[]): string {
  const path = join(folder, `data-${files++}.jsonl`);
  writeFileSync(path, lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join(""));
  return path;
}
const pairs = [..."abcd"].map((prompt, i) => ({ prompt, answer: [..."hgfe"][i]! }));
const data = write(pairs);

const small = [
  ...["--rank", "8", "--rate", "0.02", "--batch-tokens", "32", "-c", "16"],
  ...["--held-out", "0", "--backend", "reference"],
];
const finetune = (out: string, ...args: string[]) =>
  grok1(["finetune", "-m", base, "--data", data, "--out", join(folder, out), ...small, ...args]);

beforeAll(async () => {
  const [llama, mixtral] = await Promise.all([
    finetune("taught", "--steps", "60", "--targets", "attention,experts"),
    finetune("of-experts", "-m", experts, "--steps", "2", "--targets", "experts,router"),
  ]);
  expect([llama.stderr, llama.status, mixtral.status]).toEqual([expect.any(String), 0, 0]);
}, 180_000);

describe("finetune", () => {
  it("teaches what run and chat then do with the adapter, and leaves the base as it is", async () => {
    const before = hashOf(base);
    const result = await finetune("again", "--steps", "60", "--targets", "attention,experts", "--json");
    expect(result).toMatchObject({ status: 0, stderr: "" });
    const document = JSON.parse(result.stdout);
    expect(document).toMatchObject({
      adapter: join(folder, "again/adapter_model.safetensors"),
      step: 60,
      finished: true,
    });
    expect(document.frozenShare).toBeLessThan(1);
    expect(document.peakMemory).toBeGreaterThan(2 ** 20);
    expect(readdirSync(join(folder, "again")).sort()).toEqual([
      "adapter_config.json",
      "adapter_model.safetensors",
      "checkpoint.safetensors",
    ]);
    const answer = (...args: string[]) =>
      grok1(["run", "-m", base, "--backend", "reference", "-p", "b", "-n", "3", "--temperature", "0", ...args]);
    const [plain, adapted, off] = await Promise.all([
      answer(),
      answer("--lora", join(folder, "again")),
      answer("--lora", `${join(folder, "again")}:0`),
    ]);
    expect(adapted).toMatchObject({ status: 0, stdout: "g" });
    expect(plain.stdout).not.toBe("g");
    expect(off.stdout).toBe(plain.stdout);
    expect(hashOf(base)).toBe(before);
    for (const name of readdirSync(join(folder, "again"))) {
      expect(hashOf(join(folder, "again", name)), name).toBe(hashOf(join(folder, "taught", name)));
    }
  });

  it("chat answers with the adapter that was chosen last", async () => {
    const adapters = ["--lora", join(folder, "taught"), "--lora", join(folder, "of-attention")];
    await finetune("of-attention", "--steps", "9", "--targets", "attention");
    const turns = [
      "hello",
      "/clear",
      "/lora taught",
      "hello",
      "/clear",
      "/lora off",
      "hello",
      "/clear",
      "/lora",
      "/lora x",
    ];
    const options = ["--backend", "reference", "--temperature", "0", "-n", "4", "--lang", "en"];
    const chat = (args: string[], input: string[]) =>
      grok1(["chat", "-m", base, ...options, ...args], { input: `${input.join("\n")}\n` });
    const [switched, ...alone] = await Promise.all([
      chat(adapters, turns),
      chat(adapters, ["hello"]),
      chat(adapters.slice(0, 2), ["hello"]),
      chat([], ["hello"]),
    ]);
    expect(switched.stdout).toBe(alone.map(({ stdout }) => stdout).join(""));
    expect(new Set(alone.map(({ stdout }) => stdout)).size).toBe(3);
    expect(switched.stderr).toMatch(/taught 1\nof-attention off\n(.*\n)*taught off\nof-attention off\n/);
    expect(switched.stderr).toMatch(/There is no adapter x\. Adapters: taught, of-attention\./);
  });

  it("says what it does on standard error, and the outcome on standard output", async () => {
    const { status, stdout, stderr } = await finetune("said", "--steps", "2", "--held-out", data, "--memory", "2G");
    expect(status).toBe(2);
    expect(stderr).toMatch(/no document is left for training/);
    expect(stdout).toBe("");
    const other = write([{ prompt: "x", answer: "y" }]);
    const good = await finetune("said", "--steps", "2", "--held-out", other, "--memory", "2G");
    expect(good.status).toBe(0);
    expect(good.stderr).toMatch(
      /parameters to train, \d\d\.\d\d % frozen; 4 documents, 1 held out, .* 2 steps of 1 x 32\n/,
    );
    expect(good.stderr).toMatch(/memory: about .* of 2.15 GB, activations kept/);
    expect(good.stderr).toMatch(/step 0: held-out loss .*\nstep 2: held-out loss/);
    expect(good.stdout).toMatch(
      /done after 2 steps, loss \d.*\nheld-out loss .* before, .* after\nmemory at its peak: /,
    );
  });

  const bad: [what: string, args: () => string[], status: number, message: RegExp][] = [
    ["a line that is not JSON", () => ["--data", write([pairs[0], "{x"])], 1, /data-\d+\.jsonl, line 2: not JSON/],
    ["a line with other keys", () => ["--data", write([pairs[0], { a: 1 }])], 1, /line 2: there is no "prompt"/],
    ["an answer that is no text", () => ["--data", write([{ prompt: "a", answer: 3 }])], 1, /line 1: .*"answer"/],
    ["an empty file", () => ["--data", write([])], 1, /data-\d+\.jsonl: the file is empty/],
    ["no such file", () => ["--data", "none.jsonl"], 1, /none\.jsonl: cannot open/],
    ["a base that is no model", () => ["-m", data], 1, /data-0\.jsonl: /],
    ["a rank of 0", () => ["--rank", "0"], 2, /--rank <r>.*'0' is invalid.*whole number/],
    ["a rank past the matrices", () => ["--rank", "65"], 2, /rank is 65, expected a whole number from 1 to 32/],
    ["unknown targets", () => ["--targets", "attention,brain"], 2, /for the target brain: expected some of attention/],
    ["a target that the model lacks", () => ["--targets", "router"], 2, /llama\.gguf: .* target router/],
    ["a share that is none", () => ["--held-out", "1.5"], 2, /--held-out.*at least 0 and below 1/],
    ["a size that is none", () => ["--memory", "much"], 2, /--memory.*512M or 2G/],
    [
      "a bound that nothing fits",
      () => ["--memory", "1M"],
      1,
      /MiB of memory are needed at least .* the bound is 1 MiB/,
    ],
    ["nothing to resume", () => ["--resume"], 2, /there is no checkpoint to resume/],
    ["a folder in use", () => ["--out", join(folder, "taught")], 2, /taught: holds an adapter or a checkpoint already/],
  ];
  it.each(bad)("refuses %s in one line, and leaves nothing behind", async (_, args, status, message) => {
    const given = args();
    const result = await finetune("refused", ...given);
    expect(result).toMatchObject({ status, stdout: "", stderr: expect.stringMatching(message) });
    expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(existsSync(join(folder, "refused"))).toBe(false);
  });

  it("goes on only with the data and the settings that it was begun with", async () => {
    const taught = ["--steps", "60", "--targets", "attention,experts", "--resume"];
    const before = readdirSync(join(folder, "taught")).map((name) => hashOf(join(folder, "taught", name)));
    const [other, rank, model, same] = await Promise.all([
      finetune("taught", ...taught, "--data", write([{ prompt: "a", answer: "b" }])),
      finetune("taught", ...taught, "--rank", "3"),
      finetune("taught", ...taught, "-m", experts),
      finetune("taught", ...taught, "--json"),
    ]);
    expect(other).toMatchObject({ status: 2, stderr: expect.stringMatching(/other data|not the data|begun with/) });
    expect(rank).toMatchObject({ status: 2, stderr: expect.stringMatching(/taught: .* begun with rank 8, .* with 3/) });
    expect(model).toMatchObject({ status: 2, stderr: expect.stringMatching(/taught: .* begun on another model/) });
    expect(same).toMatchObject({ status: 0 });
    expect(readdirSync(join(folder, "taught")).map((name) => hashOf(join(folder, "taught", name)))).toEqual(before);
  });

  it("loses nothing to signals at random moments", async () => {
    const [steps, interval, signals] = [200, 5, 4];
    const run = (out: string) => [
      ...["finetune", "-m", base, "--data", data, "--out", join(folder, out), ...small],
      ...["--steps", String(steps), "--checkpoint-interval", String(interval)],
    ];
    const whole = grok1(run("whole"));
    const random = createRandom(11);
    const checkpoint = join(folder, "cut", "checkpoint.safetensors");
    const savedStep = () => {
      const bytes = existsSync(checkpoint) ? readFileSync(checkpoint).toString("latin1") : "";
      return Number(/\\"step\\":(\d+)/.exec(bytes)?.[1] ?? 0);
    };
    let interruptions = 0;
    const kinds = ["SIGINT", "SIGKILL"] as const;
    for (let again = true; again; ) {
      const before = savedStep();
      const child = start([...run("cut"), ...(before > 0 ? ["--resume"] : [])]);
      const ended = finished(child);
      if (interruptions < signals) {
        // Somewhere after the next checkpoint.
        while (savedStep() === before && child.exitCode === null) await new Promise((done) => setTimeout(done, 5));
        await new Promise((done) => setTimeout(done, 15 * random.uniform()));
        child.kill(kinds[interruptions++ % 2]);
      }
      const { status, stderr } = await ended;
      expect([0, 130, null], stderr).toContain(status);
      again = status !== 0;
    }
    expect(interruptions).toBe(signals);
    expect(await whole).toMatchObject({ status: 0 });
    for (const name of ["adapter_model.safetensors", "adapter_config.json", "checkpoint.safetensors"]) {
      expect(hashOf(join(folder, "cut", name)), name).toBe(hashOf(join(folder, "whole", name)));
    }
  });

  // A limit on the size of files stands for a disk without room.
  it.skipIf(process.platform === "win32")(
    "says that a disk is full, and leaves nothing half-written (not on Windows)",
    async () => {
      const out = join(folder, "full");
      const limit = ["sh", "-c", 'trap "" XFSZ; ulimit -f 16; exec "$0" "$@"'];
      const full = await grok1(
        ["finetune", "-m", base, "--data", data, "--out", out, ...small, "--steps", "3", "--checkpoint-interval", "2"],
        { wrapper: limit },
      );
      expect(full).toMatchObject({
        status: 1,
        stdout: "",
        stderr: expect.stringMatching(/full.checkpoint\.safetensors: cannot write: the file would be larger than/),
      });
      expect(readdirSync(out)).toEqual([]);
      const merged = await grok1(
        ["merge", "-m", base, "--lora", join(folder, "taught"), "--out", join(out, "m.gguf")],
        {
          wrapper: limit,
        },
      );
      expect(merged).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/m\.gguf: cannot write: the file would/),
      });
      expect(readdirSync(out)).toEqual([]);
    },
  );
});

describe("merge", () => {
  const merge = (out: string, ...args: string[]) =>
    grok1(["merge", "-m", base, "--lora", join(folder, "taught"), "--out", join(folder, out), ...args]);
  /** Log-probabilities of the five likeliest tokens after a prompt, by token. */
  const likeliest = async (model: string, ...args: string[]) => {
    const greedy = ["--backend", "reference", "-p", "c", "-n", "1", "--temperature", "0", "--json", "--logprobs", "5"];
    const { stdout } = await grok1(["run", "-m", model, ...greedy, "--ignore-end", ...args]);
    const { top } = JSON.parse(stdout).logprobs[0] as { top: { token: number; logprob: number }[] };
    return top;
  };

  it.each([
    ["keep", 5e-3],
    ["f32", 1e-4],
    ["f16", 5e-3],
    ["q8_0", 0.3],
  ] as const)("into %s gives what the base with its adapter does", async (type, most) => {
    const out = `merged-${type}.gguf`;
    const result = await merge(out, "--type", type, "--json");
    expect(result).toMatchObject({ status: 0, stderr: "" });
    const { changed, bytes } = JSON.parse(result.stdout);
    expect(changed).toHaveLength(14);
    expect(new Set(changed.map(({ to }: { to: string }) => to))).toEqual(new Set([type === "keep" ? "f16" : type]));
    expect(bytes).toBe(readFileSync(join(folder, out)).length);
    const [adapted, merged] = await Promise.all([
      likeliest(base, "--lora", join(folder, "taught")),
      likeliest(join(folder, out)),
    ]);
    expect(merged[0]!.token).toBe(adapted[0]!.token);
    const found = new Map(merged.map(({ token, logprob }) => [token, logprob]));
    for (const { token, logprob } of adapted.slice(0, 2)) {
      expect(Math.abs(found.get(token)! - logprob)).toBeLessThan(most);
    }
  });

  it("states in numbers what a type loses, measured by --data", async () => {
    const data = join(folder, "measured.jsonl");
    writeFileSync(data, [..."abcd"].map((prompt) => `${JSON.stringify({ prompt, answer: "z" })}\n`).join(""));
    const measured = ["--data", data, "--backend", "reference", "--json"];
    const kept = await merge("kept.gguf", ...measured);
    expect(kept).toMatchObject({ status: 0, stderr: "" });
    const { loss } = JSON.parse(kept.stdout);
    expect(Math.abs(loss.merged - loss.adapter)).toBeLessThan(0.05);
    // Large, and taught nothing: on a blunt type it says something else.
    const large = ["-m", base, "--lora", `${join(models, "../lora/llama")}:4`, "--out", join(folder, "lost.gguf")];
    const lost = await grok1(["merge", ...large, "--type", "q4_0", ...measured]);
    const { adapter, merged, tokens } = JSON.parse(lost.stdout).loss;
    expect(merged - adapter).toBeGreaterThan(0.05);
    expect(lost).toMatchObject({
      status: 0,
      stderr: `grok1: warning: merging loses ${(merged - adapter).toFixed(3)} nats a token: the loss of the answers is ${merged.toFixed(3)} merged and ${adapter.toFixed(3)} with the adapter (${tokens} tokens); without --type each matrix gets a type that holds the adapter\n`,
    });
  });

  it("says how to measure where a type does not hold the update", async () => {
    const small = ["-m", base, "--lora", `${join(folder, "taught")}:0.02`, "--out", join(folder, "lost.gguf")];
    const { stderr } = await grok1(["merge", ...small, "--type", "q4_0"]);
    expect(stderr).toMatch(/rounding keeps as little as .* of the update .*; --data FILE measures/);
  });

  const bad: [what: string, args: string[], status: number, message: RegExp][] = [
    ["a flag of measuring alone", ["--format", "pairs"], 2, /--format pairs is for measuring, which needs --data FILE/],
    ["data that is not there", ["--data", "none.jsonl"], 1, /none\.jsonl: cannot open: no such file/],
    [
      "another model's adapter",
      ["--lora", join(folder, "of-experts")],
      1,
      /of-experts.*is not a matrix of .*llama\.gguf/,
    ],
    ["a base that is not there", ["-m", "none.gguf"], 1, /none\.gguf: cannot/],
    ["an adapter that is not there", ["--lora", "none"], 1, /none: cannot read: no such file/],
    ["rows that fill no block", ["--type", "q4_k"], 2, /rows of 64 do not fill blocks of 256 \(q4_k\)/],
    ["a type that is none", ["--type", "q3_k"], 2, /--type.*'q3_k' is invalid/],
    ["the base as the result", ["--out", base], 2, /llama\.gguf: is the base model itself/],
  ];
  it.each(bad)("refuses %s, and writes nothing", async (_, args, status, message) => {
    const before = hashOf(base);
    const result = await merge("never.gguf", ...args);
    expect(result).toMatchObject({ status, stdout: "", stderr: expect.stringMatching(message) });
    expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(existsSync(join(folder, "never.gguf"))).toBe(false);
    expect(hashOf(base)).toBe(before);
  });

  it("run refuses another model's adapter too", async () => {
    const result = await grok1(["run", "-m", base, "--lora", join(folder, "of-experts"), "-p", "a"]);
    expect(result).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringMatching(/is not a matrix of .*llama/),
    });
  });
});
