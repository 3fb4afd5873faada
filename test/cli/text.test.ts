import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkRoom } from "../../src/cli/commands/tokenize.ts";
import { folder, formats, grok1, models } from "./grok1.ts";

// Every way that text takes into the program is held to UTF-8.

const llama = ["-m", join(models, "llama.gguf")];
const quick = [...llama, "--backend", "reference", "-n", "1"];
const file = join(folder, "text");
const config = join(folder, "config", "grok1", "config.json");

const invalid = Buffer.from([...Buffer.from('{"text":"a"}\n"b'), 0xff, 0x22]);
const wide = Buffer.from('\ufeff"hello"\n', "utf16le");

type Case = readonly [way: string, args: readonly string[], from: "file" | "stdin"];
const ways: readonly Case[] = [
  ["run --file", ["run", ...quick, "--file", file], "file"],
  ["run -p -", ["run", ...quick, "-p", "-"], "stdin"],
  ["run --chat-template", ["run", ...quick, "--chat", "-p", "a", "--chat-template", file], "file"],
  ["chat", ["chat", ...quick], "stdin"],
  ["tokenize", ["tokenize", ...llama], "stdin"],
  ["tokenize --jsonl", ["tokenize", ...llama, "--jsonl"], "stdin"],
  ["perplexity --file", ["perplexity", ...llama, "--file", file], "file"],
  ["perplexity --file -", ["perplexity", ...llama, "--file", "-"], "stdin"],
  ["train-tokenizer", ["train-tokenizer", file, "--vocab-size", "300", "--out", join(folder, "x")], "file"],
];

describe.each(ways)("%s", (_, args, from) => {
  const given = async (bytes: Buffer) => {
    writeFileSync(file, bytes);
    return await grok1(args, from === "stdin" ? { input: bytes } : {});
  };
  const name = from === "stdin" ? "standard input" : file;

  it("says where text is not UTF-8, or what it is instead", async () => {
    const first = await given(invalid);
    expect(first.stderr).toContain(`grok1: ${name}, line 2: the text is not UTF-8: found ff 22 at byte 15\n`);
    expect(first.status).toBe(1);
    const second = await given(wide);
    expect(second.stderr).toContain(`grok1: ${name}: the text is in UTF-16, expected UTF-8: iconv`);
    expect(second.status).toBe(1);
  });
});

describe("a byte order mark", () => {
  const mark = "\ufeff";

  it("never reaches the model", async () => {
    writeFileSync(file, `${mark}abc`);
    const prompts = [
      await grok1(["run", ...quick, "--file", file, "--json"]),
      await grok1(["run", ...quick, "-p", "-", "--json"], { input: `${mark}abc` }),
    ];
    for (const { stdout } of prompts) expect(JSON.parse(stdout).prompt).toBe("abc");
    const plain = await grok1(["tokenize", ...llama], { input: "abc" });
    expect((await grok1(["tokenize", ...llama], { input: `${mark}abc` })).stdout).toBe(plain.stdout);
    const lines = await grok1(["tokenize", ...llama, "--jsonl"], { input: `${mark}{"text":"abc"}\r\n` });
    expect(JSON.parse(lines.stdout).decoded).toBe("abc");
    const saved = join(folder, "marked.json");
    const chat = await grok1(["chat", ...quick], { input: `${mark}abc\n/save ${saved}\n` });
    expect(chat.status).toBe(0);
    expect(JSON.parse(readFileSync(saved, "utf8")).messages[0].content).toBe("abc");
    writeFileSync(file, `${mark}${readFileSync(saved, "utf8")}`);
    expect((await grok1(["chat", ...quick], { input: `/load ${file}\n` })).stderr).toContain("2 messages read");
  });

  it("is nothing in a config file", async () => {
    mkdirSync(join(folder, "config", "grok1"), { recursive: true });
    writeFileSync(config, `${mark}{"maxTokens": 2}`);
    const run = await grok1(["run", ...llama, "-p", "a", "--ignore-end", "--json"]);
    writeFileSync(config, invalid);
    const bad = await grok1(["run", ...llama, "-p", "a"]);
    writeFileSync(config, "{}");
    expect(JSON.parse(run.stdout).tokens).toHaveLength(2);
    expect(bad.stderr).toBe(`grok1: ${config}, line 2: the text is not UTF-8: found ff 22 at byte 15\n`);
  });
});

describe("lines", () => {
  it("of a conversation end at \\n alone: other separators are part of a turn", async () => {
    const saved = join(folder, "separators.json");
    const input = `a\u2028b\u2029c\u0085d\re\r\n/save ${saved}\n`;
    expect((await grok1(["chat", ...quick], { input })).status).toBe(0);
    expect(JSON.parse(readFileSync(saved, "utf8")).messages[0].content).toBe("a\u2028b\u2029c\u0085d\re");
  });

  it("before a bad one are tokenized", async () => {
    const input = Buffer.concat([Buffer.from('{"text":"a"}\n{"text":"'), Buffer.from([0xff])]);
    const { stdout, status } = await grok1(["tokenize", ...llama, "--jsonl"], { input });
    expect(JSON.parse(stdout).decoded).toBe("a");
    expect(status).toBe(1);
  });
});

describe("a file that is none", () => {
  it.each([
    ["run", ...quick, "--file", "/dev/zero"],
    ["inspect", "/dev/zero"],
    ["tokenize", "--tokenizer", "/dev/zero"],
    ["perplexity", ...llama, "--file", folder],
    ["run", ...quick, "--file", join(formats, "none")],
  ])("%s %s %s %s", async (...args) => {
    const { status, stderr } = await grok1(args.filter((arg) => arg !== undefined));
    expect(stderr).toMatch(/^grok1: .*: cannot open: (not a regular file|it is a folder|no such file or folder)\n$/);
    expect(status).toBe(1);
  });
});

describe("half a character, spelled in JSON", () => {
  const half = String.raw`"a\ud83d"`;
  const halves = join(folder, "halves.jsonl");
  const why = String.raw`\ud83d at place 1 is half a character`;

  it.each([
    ["tokenize --jsonl", ["tokenize", ...llama, "--jsonl"], `{"text":${half}}`],
    [
      "finetune --data",
      ["finetune", ...llama, "--data", halves, "--out", join(folder, "halves")],
      `{"prompt":${half},"answer":"b"}`,
    ],
    [
      "finetune --data, a message",
      ["finetune", ...llama, "--data", halves, "--out", join(folder, "halves")],
      `{"messages":[{"role":"assistant","content":"b"},{"role":"user","content":${half}}]}`,
    ],
    ["chat --load", ["chat", ...quick, "--load", halves], `{"messages":[{"role":"user","content":${half}}]}`],
    ["train", ["train", halves], `{"about":{"name":${half}}}`],
  ])("%s", async (_, args, json) => {
    writeFileSync(halves, json);
    const { status, stderr } = await grok1(args, { input: json });
    expect(stderr).toContain(why);
    expect(stderr).toMatch(args.includes(halves) ? halves : /standard input, line 1/);
    expect(status).toBeGreaterThan(0);
  });
});

// Others do not tell the bytes that Node could not read.
it.skipIf(process.platform !== "linux")(
  "arguments and variables that are not UTF-8 (told on Linux alone)",
  async () => {
    const wrapper = ["sh", "-c", String.raw`exec "$@" -p "$(printf 'a\377b')"`, "sh"];
    const argument = await grok1(["run", ...quick], { wrapper });
    expect(argument).toMatchObject({ status: 2, stdout: "" });
    expect(argument.stderr).toMatch(/^grok1: argument 9, line 1: the text is not UTF-8: found ff 62 at byte 1\n/);
    const variable = await grok1(["run", ...quick, "-p", "a"], {
      wrapper: ["sh", "-c", String.raw`export GROK1_SYSTEM="$(printf '\377')"; exec "$@"`, "sh"],
    });
    expect(variable.stderr).toMatch(/^grok1: GROK1_SYSTEM, line 1: the text is not UTF-8: found ff at byte 0\n/);
    expect((await grok1(["run", ...quick, "-p", "a\ufffd"])).status).toBe(0);
  },
);

it("is refused before it is tokenized where its tokens have no room", () => {
  const [text, free] = [{ length: 3e8 }, 8e9];
  expect(() => checkRoom(text, { kind: "byte-bpe" }, free)).not.toThrow();
  expect(() => checkRoom(text, { kind: "sentencepiece-bpe" }, free)).toThrow(
    expect.objectContaining({ code: "capacity", message: expect.stringMatching(/300000000 characters.*--jsonl/) }),
  );
});
