import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { folder, grok1, models } from "./grok1.ts";

const baby = join(models, "grok-1.gguf");

describe("used wrongly: status 2 and one line that says what was expected", () => {
  it.each([
    [["run", "--tempreature", "1"], /unknown option '--tempreature'.*--temperature/],
    [["rum"], /unknown command 'rum'.*run/],
    [["run", "-m", baby, "-p", "a", "--temperature", "hot"], /--temperature <t>.*'hot'.*number from 0/],
    [["run", "-m", baby, "-p", "a", "--top-p", "1.5"], /--top-p <p>.*'1\.5'.*from 0 to 1/],
    [["run", "-m", baby, "-p", "a", "--backend", "gpu"], /--backend <name>.*'gpu'.*auto, native, reference/],
    [["run", "-m", baby], /no prompt/],
    [["run", "-m", baby, "-p", "a", "--file", "b"], /--file <path>.*cannot be used with.*--prompt/],
    [
      ["run", "-m", baby, "-p", "a", "--regex", "a", "--grammar", "b"],
      /--regex <expression>.*cannot be used with.*--grammar/,
    ],
    [["run", "-m", baby, "-p", "a", "--regex", "(a"], /regular expression "\(a".*expected \)/],
    [["run", "-m", baby, "-p", "a", "--logprobs", "2"], /--logprobs has no effect without --json/],
    [["run", "-m", baby, "-p", "a", "--length-penalty", "2"], /--length-penalty has no effect without --beams/],
    [["run", "-m", baby, "-p", "a", "--system", "b"], /--system has no effect without --chat/],
    [["run", "-m", baby, "-p", "a", "--chat-template", "b"], /--chat-template has no effect without --chat/],
    [["logits", "-m", baby, "--tokens", "1;2", "--out", "x"], /--tokens <ids>.*'1;2'.*token ids/],
    [["logits", "-m", baby, "--tokens", "1,2"], /--out <path>.*not specified/],
    [["logits", "-m", baby, "--tokens", "1,999", "--out", "x"], /999/],
    [["inspect"], /missing required argument 'file'/],
    [["perplexity", "-m", baby], /--file <path>.*not specified/],
  ])("%j", async (args, saying) => {
    const { status, stdout, stderr } = await grok1(args);
    expect(stderr.split("\n")[0]).toMatch(saying);
    expect(stderr).toMatch(/^grok1: /);
    expect(status).toBe(2);
    expect(stdout).toBe("");
  });
});

describe("help", () => {
  it("of each command names flag, variable and config entry of a setting", async () => {
    const all = await grok1(["--help"]);
    expect(all.status).toBe(0);
    for (const command of ["run", "chat", "inspect", "tokenize", "logits", "perplexity", "bench", "doctor"]) {
      expect(all.stdout).toContain(`\n  ${command}`);
    }
    const run = await grok1(["run", "--help"]);
    expect(run.status).toBe(0);
    expect(run.stdout.replace(/\s+/g, " ")).toMatch(/--top-k <k> .*default: 40, env: GROK1_TOP_K, config: topK/);
    expect(run.stderr).toBe("");
    const serve = await grok1(["serve", "--help"]);
    expect(serve.stdout.replace(/\s+/g, " ")).toMatch(/--top-k <k> .*default: as each API has it, env: GROK1_TOP_K/);
  });

  it("is shown, with status 2, when no command is given", async () => {
    const { status, stderr } = await grok1([]);
    expect(status).toBe(2);
    expect(stderr).toContain("Usage: grok1");
  });

  it("--version", async () => {
    expect((await grok1(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("where a setting comes from", () => {
  const config = join(folder, "config", "grok1");
  const write = (content: string) => {
    mkdirSync(config, { recursive: true });
    writeFileSync(join(config, "config.json"), content);
  };
  // The count of generated tokens tells which value of maxTokens held.
  const count = async (args: string[], env: Record<string, string> = {}) => {
    const { stdout, stderr } = await grok1(["run", "-p", "a", "--ignore-end", "--json", ...args], { env });
    expect(stderr).toBe("");
    return JSON.parse(stdout).tokens.length as number;
  };

  it("flag over environment over config file over default", async () => {
    write(JSON.stringify({ model: baby, maxTokens: 3, backend: "reference" }));
    expect(await count([])).toBe(3);
    expect(await count([], { GROK1_MAX_TOKENS: "4" })).toBe(4);
    expect(await count(["-n", "5"], { GROK1_MAX_TOKENS: "4" })).toBe(5);
    const wrong = await grok1(["run", "-p", "a"], { env: { GROK1_MAX_TOKENS: "many" } });
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toMatch(/--max-tokens.*'many'.*GROK1_MAX_TOKENS.*whole number/);
    // A switch that is off in the environment is off, whatever the file says; `--draft` needs speculation.
    write(JSON.stringify({ model: baby, speculation: false }));
    const drafting = ["run", "-p", "a", "-n", "1", "--draft", baby];
    const switched = (value?: string) =>
      grok1(drafting, { env: value === undefined ? {} : { GROK1_NO_SPECULATION: value } });
    const said = await Promise.all([undefined, "1", "0", "false", "maybe"].map(switched));
    expect(said.map(({ stderr }) => stderr)).toEqual([
      expect.stringMatching(/--draft has no effect with "speculation": false in .*config\.json/),
      expect.stringMatching(/--draft has no effect with GROK1_NO_SPECULATION\n/),
      ...Array(2).fill(expect.stringMatching(/it is the same file/)),
      "grok1: GROK1_NO_SPECULATION=maybe: expected 1 or 0\n",
    ]);
    write("{}");
  });

  it.each([
    ["{", /config\.json: expected JSON/],
    ["[]", /config\.json: expected one JSON object/],
    ['{"temperture": 1}', /config\.json: there is no setting "temperture"/],
    ['{"temperature": -1}', /config\.json: "temperature": -1: .*number from 0/],
    ['{"temperature": [1]}', /config\.json: "temperature" expects/],
  ])("a config file %s is used wrongly", async (content, saying) => {
    write(content);
    const [{ status, stderr }, doctor] = await Promise.all([
      grok1(["run", "-m", baby, "-p", "a"]),
      grok1(["doctor", "--json"]),
    ]);
    write("{}");
    const { configProblem, advice } = JSON.parse(doctor.stdout);
    expect(configProblem).toMatch(saying);
    expect(advice[0]).toMatch(saying);
    expect([doctor.stderr, doctor.status]).toEqual(["", 0]);
    expect(stderr).toMatch(saying);
    expect(stderr.trimEnd()).not.toContain("\n");
    expect(status).toBe(2);
  });

  it("a value that the model has no room for is named by its flag", async () => {
    const { status, stderr } = await grok1(["run", "-m", baby, "-p", "a", "--context", "1000000"]);
    expect(stderr).toMatch(/^grok1: --context is 1000000, expected a whole number from 8 to 128/);
    expect(status).toBe(2);
  });
});
