import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { finished, folder, type Outcome, start } from "./grok1.ts";

const root = resolve(import.meta.dirname, "../..");
const packaged = join(root, "models/grok1-stories-q8_0.gguf");

/** The package as npm would install it, in a folder of its own, with or without its models. */
function install(name: string, { models }: { models: boolean }): string {
  const home = join(folder, name);
  const to = join(home, "node_modules/grok1");
  mkdirSync(to, { recursive: true });
  const shell = process.platform === "win32";
  const { stdout } = spawnSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", home], {
    ...{ cwd: root, encoding: "utf8", shell },
  });
  const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  expect(statSync(join(home, filename)).size).toBeGreaterThan(0);
  for (const { path } of files) {
    if (!models && path.startsWith("models/")) continue;
    cpSync(join(root, path), join(to, path));
  }
  for (const dependency of ["commander", "node-api-headers"]) {
    symlinkSync(join(root, "node_modules", dependency), join(home, "node_modules", dependency), "junction");
  }
  return join(to, "dist/cli/main.js");
}

describe("the package without a model", () => {
  const program = install("bare", { models: false });
  const bare = (args: string[], input = "") => finishedWith(start(args, {}, program), input);

  it("says how to name one, and where to put one", async () => {
    const run = await bare(["run", "-p", "a"]);
    expect(run).toMatchObject({ status: 2, stdout: "" });
    expect(run.stderr).toMatch(/^grok1: no model file: .*-m FILE/);
    const tokenize = await bare(["tokenize", "--jsonl"]);
    expect(tokenize.status).toBe(2);
    expect(tokenize.stderr).toMatch(/^grok1: no tokenizer/);
    const chat = await bare(["chat"]);
    expect(chat.status).toBe(0);
    expect(chat.stdout).toContain("grok1 chat -m FILE");
    expect(chat.stdout).toContain(join("node_modules", "grok1", "models"));
  });

  it("finds one that was put there, and says so", async () => {
    const models = join(program, "../../../models");
    mkdirSync(models);
    cpSync(join(root, "test/vectors/models/llama.gguf"), join(models, "own.gguf"));
    writeFileSync(join(models, "notes.txt"), "no model");
    const run = await bare(["run", "-p", "a", "-n", "2", "--backend", "reference"]);
    expect(run.status).toBe(0);
    expect(run.stderr).toBe("grok1: own.gguf, the package's own model; -m FILE names another\n");
    const asJson = await bare(["run", "-p", "a", "-n", "2", "--backend", "reference", "--json"]);
    expect(asJson.stderr).toBe("");
    expect(JSON.parse(asJson.stdout).model).toMatch(/own\.gguf$/);
    const chat = await bare(["chat", "-n", "2", "--backend", "reference"], "hello\n");
    expect(chat.stderr).toMatch(/^own\.gguf, 128 tokens of context.*\nThis is the package's own small model/);
  });
});

describe("the packaged model", () => {
  const run = async (args: string[], input = "") => finishedWith(start(args), input);

  it("goes with the package, with its card and attributions, in at most 16 MB", () => {
    expect(statSync(packaged).size).toBeLessThanOrEqual(16e6);
    expect(readdirSync(join(root, "models")).filter((name) => name.endsWith(".gguf"))).toHaveLength(1);
    const card = readFileSync(join(root, "models/README.md"), "utf8");
    expect(card).toMatch(/\| tinystories \| 275 \| \d+ \| 0\.\d+ \|/);
    expect(card).toContain("\n## Samples\n");
    expect(statSync(join(root, "models/loss.svg")).size).toBeGreaterThan(0);
    expect(readFileSync(join(root, "models/ATTRIBUTIONS.md"), "utf8")).toContain("African Storybook");
    const file = openGguf(packaged);
    expect(file.metadata.string("general.license")).not.toBe("");
    expect(file.metadata.string("general.description")).not.toBe("");
    expect(file.metadata.boolean("tokenizer.ggml.add_bos_token")).toBe(true);
    expect(file.metadata.number("grok.expert_count")).toBe(8);
    expect(file.metadata.number("grok.expert_used_count")).toBe(2);
    file.close();
  });

  it("runs from the package as npm installs it, elsewhere", async () => {
    const program = install("whole", { models: true });
    const args = ["run", "-p", "Once upon a time", "-n", "6", "--temperature", "0"];
    const { status, stdout, stderr } = await finishedWith(start(args, {}, program), "");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^,? ?[a-z]/);
    expect(stderr).toContain("grok1-stories-q8_0.gguf, the package's own model");
  });

  it("tells a story, and ends it", async () => {
    const args = ["run", "--chat", "-p", "Tell me a story.", "--temperature", "0", "--json"];
    const { status, stdout, stderr } = await run(args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const { text, finishReason } = JSON.parse(stdout);
    expect(finishReason).toBe("stop");
    expect(text).toMatch(/^[A-Z].*[.!?"]$/s);
    expect(text.length).toBeGreaterThan(200);
  });

  it("goes on when its context is full", async () => {
    const ask = "Tell me a story.";
    const { status, stdout, stderr } = await run(
      ["chat", "--temperature", "0"],
      `hello\n${ask}\n${ask}\n${ask}\nthank you\n`,
    );
    expect(status).toBe(0);
    expect(stderr).toMatch(/^grok1-stories-q8_0\.gguf, 512 tokens of context/);
    expect(stderr).toContain("the package's own small model");
    expect(stderr).toContain("no longer fits into the context");
    expect(stderr.match(/tokens\/s/g)).toHaveLength(5);
    expect(stdout.split("\n")[0]).toMatch(/\b(hello|hi|good)\b/i);
    // A line of a conversation is no place for the markers that part it.
    expect(stdout).not.toMatch(/<\||\[EOS\]/);
  });

  it("talks in Spanish", async () => {
    const { status, stdout } = await run(["chat", "--temperature", "0"], "hola\ncuéntame un cuento\n");
    expect(status).toBe(0);
    const [hola, ...story] = stdout.split("\n");
    expect(hola).toMatch(/hola|buen|qué|verte/i);
    expect(story.join("\n")).toMatch(/\b(había|vez|llamaba|vivía)\b/);
  });
});

async function finishedWith(child: ReturnType<typeof start>, input: string): Promise<Outcome> {
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  return finished(child);
}
