import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { folder, grok1, models } from "./grok1.ts";

// Where values come from (a flag, a variable, the config file), and what they do beside each other.

const model = join(models, "llama.gguf");
const config = join(folder, "config", "grok1", "config.json");
const write = (entries: object) => {
  mkdirSync(join(folder, "config", "grok1"), { recursive: true });
  writeFileSync(config, JSON.stringify(entries));
};
afterEach(() => write({}));

const run = ["run", "-m", model, "-p", "a", "-n", "2"];
const data = ["--data", "x.jsonl", "--out", "x"];

describe("a flag that changes nothing is refused, and says beside what", () => {
  it.each([
    [[...run, "--beams", "3", "--seed", "9"], "--seed has no effect with --beams 3"],
    [[...run, "--beams", "3", "--temperature", "0.5"], "--temperature has no effect with --beams 3"],
    [[...run, "--beams", "2", "--top-k", "5"], "--top-k has no effect with --beams 2"],
    [[...run, "--beams", "2", "--presence-penalty", "1"], "--presence-penalty has no effect with --beams 2"],
    [[...run, "--beams", "2", "--logit-bias", "1=2"], "--logit-bias has no effect with --beams 2"],
    [[...run, "--beams", "2", "--no-speculation"], "--no-speculation has no effect with --beams 2"],
    [[...run, "--beams", "1", "--length-penalty", "2"], "--length-penalty has no effect with --beams 1"],
    [[...run, "--length-penalty", "2"], "--length-penalty has no effect without --beams"],
    [[...run, "--temperature", "0", "--seed", "9"], "--seed has no effect with --temperature 0"],
    [[...run, "--temperature", "0", "--min-p", "0.1"], "--min-p has no effect with --temperature 0"],
    [
      [...run, "--penalty-window", "9"],
      "--penalty-window has no effect without a penalty, such as --repetition-penalty",
    ],
    [[...run, "--chat", "--special"], "--special has no effect with --chat"],
    [[...run, "--system", "a"], "--system has no effect without --chat"],
    [[...run, "--backend", "reference", "--threads", "2"], "--threads has no effect with --backend reference"],
    [["chat", model, "--temperature", "0", "--top-p", "0.5"], "--top-p has no effect with --temperature 0"],
    [["tokenize", "-m", model, "--tokenizer", model], `--model has no effect with --tokenizer ${model}`],
    [["train", "x.json", "--budget", "1h", "--resume"], "--resume has no effect with --budget 3600"],
    [["finetune", "-m", model, ...data, "--steps", "3", "--epochs", "2"], "--epochs has no effect with --steps 3"],
    [
      ["finetune", "-m", model, ...data, "--held-out", "0", "--evaluation-interval", "2"],
      "--evaluation-interval has no effect with --held-out 0",
    ],
    [["run", model, "-m", model, "-p", "a"], `two models: ${model} and --model ${model}`],
  ])("%j", async (args, message) => {
    expect(await grok1(args)).toEqual({ status: 2, stdout: "", stderr: `grok1: ${message}\n` });
  });

  it("names the variable or the config file that makes it so", async () => {
    const variable = await grok1([...run, "--seed", "9"], { env: { GROK1_TEMPERATURE: "0" } });
    expect(variable.stderr).toBe("grok1: --seed has no effect with GROK1_TEMPERATURE=0\n");
    write({ temperature: 0 });
    const entry = await grok1([...run, "--seed", "9"]);
    expect(entry.stderr).toBe(`grok1: --seed has no effect with "temperature": 0 in ${config}\n`);
    expect([variable.status, entry.status]).toEqual([2, 2]);
  });
});

describe("a default from outside yields", () => {
  it.each([
    [{ temperature: 0.7, topK: 3, seed: 1, penaltyWindow: 3, frequencyPenalty: 1 }, ["--beams", "3"]],
    [{ speculation: false, minP: 0.3 }, ["--beams", "3"]],
    [{ system: "a", chatTemplate: "/nowhere/template" }, ["--seed", "5"]],
    [{ seed: 9, topP: 0.5 }, ["--temperature", "0"]],
    [{ threads: 2, isa: "none such" }, ["--backend", "reference", "--seed", "5"]],
    [{ context: 4096 }, ["--seed", "5"]],
    [{ context: 16_777_216, kvType: "q8_0" }, ["--seed", "5"]],
  ])("%j to %j", async (entries, args) => {
    const plain = await grok1([...run, ...args]);
    expect([plain.status, plain.stderr]).toEqual([0, ""]);
    write(entries);
    expect(await grok1([...run, ...args])).toEqual(plain);
  });

  it("from a variable too", async () => {
    const env = {
      GROK1_TEMPERATURE: "0.7",
      GROK1_NO_SPECULATION: "1",
      GROK1_CONTEXT: "1000000",
      GROK1_KV_TYPE: "q4_0",
    };
    const { status, stderr } = await grok1([...run, "--beams", "3"], { env });
    expect([status, stderr]).toEqual([0, ""]);
  });

  it("as far as it must: a context that the model has not room for is its longest", async () => {
    write({ context: 1000, temperature: 0 });
    const { stderr } = await grok1(["chat", model], { input: "" });
    expect(stderr).toContain("llama.gguf, 128 tokens of context");
    write({ context: 16 });
    const less = await grok1(["chat", model], { input: "" });
    expect(less.stderr).toContain("llama.gguf, 16 tokens of context");
  });
});

describe("an error names a value's origin", () => {
  it("when the library refuses it", async () => {
    const flag = await grok1([...run, "--isa", "none"]);
    expect(flag.stderr).toMatch(/^grok1: --isa is none, expected/);
    const variable = await grok1(run, { env: { GROK1_ISA: "none" } });
    expect(variable.stderr).toMatch(/^grok1: GROK1_ISA is none, expected/);
    write({ isa: "none" });
    const entry = await grok1(run);
    expect(entry.stderr.startsWith(`grok1: ${config}: "isa" is none, expected`)).toBe(true);
    write({});
    const cache = await grok1([...run, "--kv-type", "q8_0"]);
    expect(cache.stderr).toBe(
      `grok1: --kv-type is q8_0, of blocks of 32, and the heads of ${model} have 16 elements: choose f16 or f32\n`,
    );
  });
});

describe("a leading ~ is the home folder where no shell has seen it", () => {
  it("in the config file, in variables and in flags", async () => {
    const home = join(folder, "home");
    mkdirSync(home, { recursive: true });
    copyFileSync(model, join(home, "m.gguf"));
    writeFileSync(join(home, "p.txt"), "abc");
    const env = { HOME: home, XDG_CONFIG_HOME: join(folder, "config") };
    const rest = ["-n", "1", "--json"];
    write({ model: "~/m.gguf" });
    const entry = await grok1(["run", "--file=~/p.txt", ...rest], { env });
    expect(entry.stderr).toBe("");
    expect(JSON.parse(entry.stdout)).toMatchObject({ model: join(home, "m.gguf"), prompt: "abc" });
    write({});
    const variable = await grok1(["run", "-p", "a", ...rest], { env: { ...env, GROK1_MODEL: "~/m.gguf" } });
    expect(JSON.parse(variable.stdout).model).toBe(join(home, "m.gguf"));
    const adapter = await grok1(["run", "~/m.gguf", "-p", "a", "--lora=~/none:2"], { env });
    expect(adapter.stderr).toContain(join(home, "none"));
    const save = await grok1(["chat", "~/m.gguf", "-n", "1"], { env, input: "a\n/save ~/c.json\n/load ~/c.json\n" });
    expect(save.stderr).toContain(`2 messages read from ${join(home, "c.json")}`);
  });
});

describe("-n 0", () => {
  it("reads the prompt and writes nothing", async () => {
    const { status, stdout } = await grok1(["run", model, "-p", "abc", "-n", "0", "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ text: "", tokens: [], finishReason: "length" });
    const beams = await grok1(["run", model, "-p", "abc", "-n", "0", "--beams", "2", "--json"]);
    expect(JSON.parse(beams.stdout)).toMatchObject({ text: "", tokens: [], finishReason: "length" });
  });
});
