import { describe, expect, it } from "vitest";
import { openTokenizer } from "../../tokenizer/open.ts";
import { readDocuments } from "./documents.ts";
import { encodeDocument } from "./encode.ts";
import { type DataFormat, type DataKeys, defaultDataKeys, defaultDataSource } from "./source.ts";

function read(format: DataFormat, entry: object, keys: Partial<DataKeys> = {}) {
  const source = {
    ...defaultDataSource,
    ...{ name: "a", path: "a", format, keys: { ...defaultDataKeys, ...keys } },
  };
  return [...readDocuments("a", Buffer.from(JSON.stringify(entry)), source)];
}

const text = { text: "sun" };
const pair = { prompt: "sun", answer: "moon" };
const asked = { role: "user", content: "sun" };
const said = { role: "assistant", content: "moon" };
const talk = { messages: [asked, said] };
const layouts: readonly (readonly [DataFormat, object])[] = [
  ["jsonl", text],
  ["pairs", pair],
  ["chat", talk],
];

describe.each(layouts)("%s", (format, entry) => {
  it("is left out and counted with a weight of 0, whatever it is called; with 1 nothing changes", () => {
    const plain = read(format, entry);
    for (const mark of [{ weight: 0 }, { train: false }, { loss: false }, { weight: 1, train: 0 }]) {
      expect(read(format, { ...entry, ...mark })).toEqual([{ kind: "empty", file: "a", line: 1 }]);
    }
    for (const mark of [{ weight: 1 }, { train: true }, { weight: null }]) {
      expect(read(format, { ...entry, ...mark })).toEqual(plain);
    }
  });

  it("refuses a weight that nothing does, by its name", () => {
    for (const weight of [0.5, 2, -1, "0", [0], {}]) {
      expect(() => read(format, { ...entry, weight })).toThrow(/^a, line 1: "weight": expected 0 or 1, found/);
    }
  });
});

it("messages are marked by the same names", () => {
  for (const mark of [{ weight: 0 }, { train: false }, { loss: 0 }]) {
    const [document] = read("chat", { messages: [asked, { ...said, ...mark }, asked, said] });
    expect(document).toMatchObject({ learned: [false, false, false, true], messages: [asked, said, asked, said] });
  }
  expect(() => read("chat", { messages: [asked, { ...said, train: "no" }] })).toThrow(
    /"messages\[1\]\.train": expected/,
  );
});

it("a system message and tools count beside messages and beside a prompt", () => {
  const tools = [{ type: "function" }];
  expect(read("chat", { ...talk, system: "be brief", tools })).toMatchObject([
    {
      messages: [{ role: "system", content: "be brief" }, asked, said],
      learned: [false, false, true],
      variables: { tools },
    },
  ]);
  expect(read("pairs", { ...pair, system: "be brief", tools })).toMatchObject([
    { system: "be brief", prompt: "sun", answer: "moon", variables: { tools } },
  ]);
  for (const [format, entry] of layouts.slice(1)) {
    expect(read(format, { ...entry, system: "", tools: null })).toEqual(read(format, entry));
    expect(() => read(format, { ...entry, system: 1 })).toThrow(/"system": expected a text, found a number/);
    expect(() => read(format, { ...entry, tools: "all" })).toThrow(/"tools": expected a list, found a text/);
  }
  const both = { messages: [{ role: "system", content: "a" }, asked, said], system: "b" };
  expect(() => read("chat", both)).toThrow(/two system messages/);
});

it("refuses by name what asks for another kind of training", () => {
  for (const [name, value] of [
    ["rejected", "no"],
    ["history", [["a", "b"]]],
    ["functions", [{}]],
    ["label", false],
  ] as const) {
    for (const [format, entry] of layouts.slice(1)) {
      expect(() => read(format, { ...entry, [name]: value })).toThrow(new RegExp(`^a, line 1: "${name}": `));
    }
    expect(read("jsonl", { ...text, [name]: value })).toEqual(read("jsonl", text));
  }
  // Who says that the chosen answer is the answer has answered what becomes of the other one.
  const preferred = { prompt: "sun", chosen: "moon", rejected: "star" };
  expect(read("pairs", preferred, { answer: "chosen" })).toMatchObject([{ answer: "moon" }]);
  expect(read("pairs", { ...pair, history: [], label: "good" })).toEqual(read("pairs", pair));
});

it("what only a template can say is not dropped where there is none", () => {
  const tokenizer = openTokenizer(new URL("../../../test/vectors/models/llama.gguf", import.meta.url).pathname);
  for (const more of [{ system: "be brief" }, { tools: [{}] }]) {
    const [document] = read("pairs", { ...pair, ...more });
    if (document!.kind === "empty") throw new Error("nothing read");
    expect(() => encodeDocument(document as never, { tokenizer, addBos: true, addEos: true })).toThrow(
      /^a, line 1: a system message or tools beside a prompt need a chat template/,
    );
  }
});
