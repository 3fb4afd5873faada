import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { GrokError } from "../../errors.ts";
import { chat, folder, load, put, texts, tokenizer } from "./corpus.case.ts";
import { longestLine } from "./documents.ts";
import { type DataSource, defaultDataSource, findFiles } from "./source.ts";

describe("documents", () => {
  it("are what each format says, without blanks around them", async () => {
    const separated = "\ufeffone\r\ntwo\n<|endoftext|>\n\n<|endoftext|>\nthree\n";
    expect(texts(await load(separated, {}))).toEqual(["one\ntwo", "three"]);
    expect(texts(await load("a b\nc\n", { format: "book" }))).toEqual(["a b\nc"]);
    expect(texts(await load("a\nb\n\n\nc\r\n \nd", { format: "paragraphs" }))).toEqual(["a\nb", "c", "d"]);
    expect(texts(await load('{"text":"a"}\n\n{"text":" b "}\n', { format: "jsonl" }))).toEqual(["a", "b"]);
  });

  it("begin with bos and end with eos, or not, as asked", async () => {
    const { ids } = (await load("one<|endoftext|>two", {})).documents;
    expect([...ids].filter((id) => id < 3)).toEqual([1, 2, 1, 2]);
    const bare = (await load("one<|endoftext|>two", {}, { addBos: false, addEos: false })).documents;
    expect([...bare.ids]).toEqual([...tokenizer.encode("one"), ...tokenizer.encode("two")]);
  });

  it.each<[string, string | Uint8Array, Partial<DataSource>, RegExp]>([
    ["an empty file", "", {}, /file-\d+\.txt: the file is empty/],
    ["a blank file", " \n\n", { format: "jsonl" }, /there is no document/],
    ["not UTF-8", Buffer.from([0x61, 10, 0x62, 10, 0xff, 0x63]), {}, /line 3: the text is not UTF-8/],
    ["not JSON", '{"text":"a"}\n\n{"text":', { format: "jsonl" }, /line 3: not JSON/],
    ["a list of texts", '["a"]', { format: "jsonl" }, /line 1: expected a JSON object, found a text/],
    [
      "a list that is not closed",
      '[{"text":"a"},\n{"text":"b"}',
      { format: "jsonl" },
      /line 2: the list is not closed/,
    ],
    ["more after a list", '[{"text":"a"}]\n{}', { format: "jsonl" }, /line 1: something follows the end of the list/],
    ["a list with a hole", '[{"text":"a"},\n{"text":}]', { format: "jsonl" }, /line 2: not JSON/],
    ["UTF-16", Buffer.from("\ufeffabc", "utf16le"), {}, /the text is in UTF-16/],
    ["a 10 MB line", `{"text":"a"}\n${"x".repeat(10_000_000)}`, { format: "jsonl" }, /line 2: .* 10000000 bytes, more/],
    ["a weight", chat({ weight: 0.5 }), { format: "chat" }, /messages\[1\]\.weight": expected 0 or 1, found 0\.5/],
    [
      "a weight in words",
      chat({ weight: "0" }),
      { format: "chat" },
      /messages\[1\]\.weight": expected 0 or 1, found a text/,
    ],
    [
      "a weight of the user's",
      chat({ role: "user", weight: 1 }),
      { format: "chat" },
      /weight": is 1 for the role user/,
    ],
    ["weights all 0", chat({ weight: 0 }), { format: "chat" }, /no document is left .* without anything to learn/],
    [
      "a null content",
      chat({ content: null }),
      { format: "chat" },
      /messages\[1\]\.content": expected a text, found null/,
    ],
    ["no calls", chat({ content: null, tool_calls: [] }), { format: "chat" }, /content": expected a text, found null/],
    [
      "a picture",
      chat({ content: [{ type: "image" }] }),
      { format: "chat" },
      /expected parts of type "text", found "image"/,
    ],
    ["a wrong key", '{"txt":"a"}', { format: "jsonl" }, /line 1: there is no "text", .* the object has txt/],
    ["an inherited key", "{}", { format: "jsonl", keys: { ...defaultDataSource.keys, text: "constructor" } }, /line 1/],
    ["a wrong type", '{"text":5}', { format: "jsonl" }, /"text": expected a text, found a number/],
    [
      "no answer",
      '{"prompt":"a","answer":" "}',
      { format: "pairs" },
      /no document is left .* without anything to learn/,
    ],
    ["no messages", '{"messages":[]}', { format: "chat" }, /expected a list of messages, found an empty list/],
    ["a strange message", '{"messages":[5]}', { format: "chat" }, /messages\[0\]": expected an object/],
    ["no content", '{"messages":[{"role":"user"}]}', { format: "chat" }, /messages\[0\].content": expected a text/],
    ["a strange role", '{"messages":[{"role":"god","content":"a"}]}', { format: "chat" }, /role "god"/],
    ["nothing to learn", '{"messages":[{"role":"user","content":"a"}]}', { format: "chat" }, /nothing to learn/],
    ["too long", `{"prompt":"a","answer":"${"word ".repeat(99)}"}`, { format: "pairs" }, /line 1: \d+ tokens, but the/],
  ])("%s gives an error that names file and line", async (_, content, settings, message) => {
    const failure = await load(content, settings).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(GrokError);
    expect((failure as GrokError).message).toMatch(message);
    expect((failure as GrokError).message.length).toBeLessThan(600);
  });

  it("a line of the allowed length is no error", async () => {
    const line = JSON.stringify({ text: "x ".repeat(longestLine / 2 - 10) });
    expect((await load(line, { format: "jsonl" })).documents.count).toBe(1);
  });

  it("files are found by wildcards, sorted; a name that nothing has is an error", () => {
    put("b", "wild-b.md");
    put("a", "wild-a.md");
    symlinkSync("nowhere", join(folder, "wild-c.md"));
    expect(findFiles(join(folder, "wild-?.md")).map((path) => path.slice(-4, -3))).toEqual(["a", "b"]);
    expect(() => findFiles(join(folder, "none-*.md"))).toThrow(/no file has such a name/);
  });
});
