import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { GrokError } from "../../errors.ts";
import { createJinjaTemplate } from "../../generate/chat-template.ts";
import { tokenizerFromSentencePiece } from "../../tokenizer/sentencepiece-file.ts";
import { createTokenizerTrainer } from "../../tokenizer/train.ts";
import { parseTrainConfig } from "../config.ts";
import { sourceOf } from "../lora/source.ts";
import { prepareTraining } from "../setup.ts";
import { type Corpus, type CorpusOptions, countPassedOver, loadCorpus } from "./corpus.ts";
import { longestLine } from "./documents.ts";
import { heldOutSets } from "./held-out.ts";
import { type DataSource, defaultDataSource, findFiles } from "./source.ts";
import { createBatchStream, type StreamOptions, type TrainStep } from "./stream.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-data-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

function put(content: string | Uint8Array, name = `file-${files++}.txt`): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const vector = resolve(import.meta.dirname, "../../../test/vectors/tokenizer/trained.json");
const words = (JSON.parse(readFileSync(vector, "utf8")) as { lines: string[] }).lines.join("\n");
const trainer = createTokenizerTrainer({
  vocabSize: 480,
  controlSymbols: ["<|user|>", "<|assistant|>", "<|end|>"],
  userSymbols: ["\n"],
});
trainer.add(words);
const tokenizer = tokenizerFromSentencePiece(trainer.train().bytes, "trained");
const template = createJinjaTemplate(
  "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
  "template",
);
const options: CorpusOptions = { tokenizer, template, addBos: true, addEos: true, context: 32, encodingKey: "test" };

function source(path: string, settings: Partial<DataSource>): DataSource {
  return { ...defaultDataSource, name: path, path, format: "text", ...settings };
}
function load(content: string | Uint8Array, settings: Partial<DataSource>, changes: Partial<CorpusOptions> = {}) {
  return loadCorpus(source(put(content), settings), { ...options, ...changes });
}
/** A line with a question and one more message, the assistant's unless changed. */
function chat(changes: Readonly<Record<string, unknown>>): string {
  const messages = [
    { role: "user", content: "a" },
    { role: "assistant", content: "b", ...changes },
  ];
  return JSON.stringify({ messages });
}
function learned({ documents }: Corpus): string {
  const { ids, mask } = documents;
  return [...ids].map((id, i) => (mask![i] ? tokenizer.decode([id], { special: true }) : "")).join("");
}
function texts({ documents }: Corpus): string[] {
  return Array.from({ length: documents.count }, (_, i) =>
    tokenizer.decode(documents.ids.subarray(documents.starts[i]!, documents.starts[i + 1]!)),
  );
}

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

/** The text of the tokens that are learned. */
function learnedText({ documents }: Corpus, index: number): string {
  const ids = [];
  for (let at = documents.starts[index]!; at < documents.starts[index + 1]!; at++) {
    if (documents.mask![at]) ids.push(documents.ids[at]!);
  }
  return tokenizer.decode(ids, { special: true }).replaceAll(" ", "");
}

describe("prompts, answers and conversations", () => {
  const chat = [
    { role: "user", content: "a" },
    { role: "assistant", content: "b <|end|>" },
    { role: "user", content: "c" },
    { role: "assistant", content: "d" },
  ];

  it("only what the assistant says is learned, its end marker with it", async () => {
    const corpus = await load(JSON.stringify({ messages: chat }), { format: "chat" });
    expect(learnedText(corpus, 0)).toBe("b<|end|><|end|>d<|end|>");
    // The marker inside a message is ordinary text: four markers end four messages.
    expect([...corpus.documents.ids].filter((id) => id === tokenizer.idOf("<|end|>"))).toHaveLength(4);
    expect(corpus.documents.textBytes[0]).toBe(10);
  });

  it("pairs use the template, or follow one another where there is none", async () => {
    const line = JSON.stringify({ q: "two and two", input: "as a word", a: "four" });
    const keys = { ...defaultDataSource.keys, prompt: "q", answer: "a" };
    const templated = await load(line, { format: "pairs", keys });
    expect(texts(templated)[0]).toContain("as a word");
    expect(learnedText(templated, 0)).toBe("four<|end|>");
    const plain = await loadCorpus(source(put(line), { format: "pairs", keys }), {
      tokenizer,
      addBos: false,
      addEos: true,
      context: 64,
      encodingKey: "plain",
    });
    expect(texts(plain)[0]).toBe("two and two\n\nas a wordfour");
    expect(learnedText(plain, 0)).toMatch(/four\[EOS\]$/);
  });

  it("what is too long is cut or left out when the source says so, and counted", async () => {
    const lines = [{ messages: chat }, { messages: [chat[0], { role: "assistant", content: "word ".repeat(99) }] }]
      .map((line) => JSON.stringify(line))
      .join("\n");
    const cut = await load(lines, { format: "chat", overlong: "truncate" });
    expect(cut.documents).toMatchObject({ count: 2, truncated: 1, skipped: 0 });
    expect(cut.documents.starts[2]! - cut.documents.starts[1]!).toBe(options.context + 1);
    const left = await load(lines, { format: "chat", overlong: "skip" });
    expect(left.documents).toMatchObject({ count: 1, truncated: 0, skipped: 1 });
  });

  it("a template that rewrites earlier messages is refused", async () => {
    const last = createJinjaTemplate("<|user|>{{ messages | length }}{{ messages[-1].content }}", "template");
    const line = JSON.stringify({ messages: chat });
    await expect(load(line, { format: "chat" }, { template: last })).rejects.toThrow(/message by message/);
  });
});

const stories = Array.from({ length: 60 }, (_, i) => `story ${i} ${words.slice(i * 37, i * 37 + ((i * 53) % 400))}`);
const separated = stories.join("\n<|endoftext|>\n");

describe("layouts that others use", () => {
  const line = (value: unknown) => `${JSON.stringify(value)}\n`;
  const asked = { role: "user", content: "sun" };
  const said = { role: "assistant", content: "moon" };

  it("a weight of 0 is read and not learned, 1 and null are as nothing", async () => {
    const whole = await load(line({ messages: [asked, said, asked, said] }), { format: "chat" });
    const both = [asked, { ...said, weight: 0 }, { ...asked, weight: 0 }, { ...said, weight: 1 }];
    const second = await load(line({ messages: both }), { format: "chat" });
    expect([...second.documents.ids]).toEqual([...whole.documents.ids]);
    const marks = [...whole.documents.mask!];
    const half = marks.lastIndexOf(0);
    expect([...second.documents.mask!]).toEqual(marks.map((mark, i) => (i < half ? 0 : mark)));
    const none = await load(line({ messages: [asked, { ...said, weight: null }] }), { format: "chat" });
    expect([...none.documents.mask!]).toContain(1);
  });

  it("ShareGPT's names, and a list over many lines, are the same data", async () => {
    const lines = line({ messages: [asked, said] }) + line({ messages: [said, asked, said] });
    const shared = [
      {
        conversations: [
          { from: "human", value: "sun" },
          { from: "gpt", value: "moon" },
        ],
        id: '[]{},"',
      },
      {
        conversations: [
          { from: "gpt", value: "moon" },
          { from: "human", value: "sun" },
          { from: "gpt", value: "moon" },
        ],
      },
    ];
    const keys = { ...defaultDataSource.keys, messages: "conversations" };
    const expected = await load(lines, { format: "chat" });
    for (const text of [
      shared.map(line).join(""),
      JSON.stringify(shared),
      `\ufeff\n${JSON.stringify(shared, null, 2)}\n`,
    ]) {
      const found = await load(text, { format: "chat", keys });
      expect([...found.documents.ids]).toEqual([...expected.documents.ids]);
      expect([...found.documents.mask!]).toEqual([...expected.documents.mask!]);
    }
  });

  it("calls of tools, their results and the tools themselves go to the template", async () => {
    const source = [
      "{% for t in tools or [] %}tool {{ t.name }} {% endfor %}{% for m in messages %}<|user|>{{ m.role }} {{ m.content or '' }}",
      "{% for c in m.tool_calls or [] %}call {{ c.function.name }} {% endfor %}{{ m.tool_call_id or '' }}<|end|>{% endfor %}",
      "{% if add_generation_prompt %}<|user|>assistant {% endif %}",
    ].join("");
    const calls = [{ id: "x1", type: "function", function: { name: "sea", arguments: "{}" } }];
    const messages = [
      asked,
      { role: "assistant", content: null, tool_calls: calls },
      { role: "tool", content: "rain", tool_call_id: "x1" },
      {
        role: "assistant",
        content: [
          { type: "text", text: "mo" },
          { type: "text", text: "on" },
        ],
      },
    ];
    const other = { template: createJinjaTemplate(source, "template"), context: 200 };
    const corpus = await load(line({ tools: [{ name: "fox" }], messages }), { format: "chat" }, other);
    // Markers decode as nothing but their place.
    const said = texts(corpus).map((text) => text.replaceAll(/ +/g, " "));
    expect(said).toEqual(["tool fox user sun assistant call sea tool rainx1 assistant moon"]);
    expect(learned(corpus)).toBe("callsea<|end|>moon<|end|>");
  });

  it("an empty answer among many is left out and counted, with its place, also from the cache", async () => {
    const lines = Array.from({ length: 1000 }, (_, i) =>
      line({ prompt: `sun ${i}`, answer: i === 500 || i === 700 ? " " : "moon" }),
    );
    const path = put(lines.join(""));
    const cache = join(folder, "empties");
    for (let time = 0; time < 2; time++) {
      const corpus = await loadCorpus(source(path, { format: "pairs" }), { ...options, cache });
      expect(corpus.documents.count).toBe(998);
      expect(countPassedOver([corpus])).toEqual({
        skipped: 0,
        truncated: 0,
        empty: 2,
        firstEmpty: `${path}, line 501`,
      });
    }
  });
});

describe("held-out documents", () => {
  it("are chosen by content alone, and never trained on", async () => {
    const whole = await load(separated, { heldOut: 0.3 });
    const turned = await load([...stories].reverse().join("<|endoftext|>"), { heldOut: 0.3 });
    const held = (corpus: Corpus) => [...corpus.heldOut].map((i) => texts(corpus)[i]!).sort();
    expect(held(whole)).toEqual(held(turned));
    expect(whole.heldOut.length + whole.training.length).toBe(60);
    expect(whole.heldOut.length).toBeGreaterThan(5);
    expect(whole.heldOut.length).toBeLessThan(35);
  });

  it("of other files are kept out of the training", async () => {
    const corpus = await load(separated, { heldOut: put(stories.slice(0, 7).join("<|endoftext|>")) });
    expect(corpus.training.length).toBe(53);
    const [set] = heldOutSets([corpus], { context: 32, batchTokens: 100 });
    expect(set!.documents).toBe(7);
    expect(set!.bytes).toBe(stories.slice(0, 7).reduce((sum, text) => sum + Buffer.byteLength(text.trim()), 0));
    const targets = [...set!.batches()].flatMap((batch) => [...batch.targets]);
    expect(targets).toHaveLength(set!.tokens);
    expect(targets.filter((id) => id === tokenizer.eos)).toHaveLength(7);
    const [some] = heldOutSets([corpus], { context: 32, batchTokens: 100, maxTokens: 50 });
    expect(some!.documents).toBeLessThan(7);
  });

  it("leaving nothing to train on is an error", async () => {
    const path = put(separated);
    await expect(loadCorpus(source(path, { heldOut: path }), options)).rejects.toThrow(/no document is left/);
  });
});

describe("cache", () => {
  it("gives the same documents, follows the content, and mends what is damaged", async () => {
    const cache = join(folder, "cache");
    const path = put(separated);
    const made: string[] = [];
    const get = () => loadCorpus(source(path, {}), { ...options, cache, onFile: (file) => made.push(file) });
    const first = await get();
    const second = await get();
    expect(made).toHaveLength(1);
    expect(second.documents).toEqual(first.documents);
    expect(second.key).toBe(first.key);
    const [file] = readdirSync(cache);
    const bytes = readFileSync(join(cache, file!));
    const flipped = Buffer.from(bytes);
    flipped[bytes.length - 3]! ^= 1;
    for (const damaged of [bytes.subarray(0, -1), Buffer.alloc(0), Buffer.alloc(bytes.length, 255), flipped]) {
      writeFileSync(join(cache, file!), damaged);
      expect((await get()).documents).toEqual(first.documents);
    }
    expect(made).toHaveLength(5);
    writeFileSync(path, `${separated} and more`);
    expect((await get()).key).not.toBe(first.key);
    await loadCorpus(source(path, {}), { ...options, cache, encodingKey: "other" });
    expect(readdirSync(cache)).toHaveLength(3);
  });
});

const settings: StreamOptions = { context: 32, batchTokens: 50, accumulation: 2, replicas: 2, seed: 3 };
const flat = (step: TrainStep) => step.shards.flatMap(({ batches }) => batches);

describe("stream", () => {
  const line = (i: number) => JSON.stringify({ prompt: `what is ${i}`, answer: `number ${i * i}` });
  const two = Promise.all([
    load(separated, { weight: 3 }),
    load(Array.from({ length: 40 }, (_, i) => line(i)).join("\n"), { format: "pairs", weight: 1 }),
  ]);

  it("learns every token of an epoch once", async () => {
    const [corpus] = await two;
    const stream = createBatchStream([corpus!], { ...settings, accumulation: 1, replicas: 1 });
    const seen: number[] = [];
    while (seen.length < stream.epochTokens[0]!)
      seen.push(...flat(stream.next()).flatMap(({ targets }) => [...targets]));
    const { ids, starts } = corpus!.documents;
    const firsts = new Set(starts);
    const expected = [...ids].filter((_, at) => !firsts.has(at));
    expect(seen.slice(0, expected.length).sort((a, b) => a - b)).toEqual(expected.sort((a, b) => a - b));
  });

  it("batches are whole: rows in order from position 0, targets after their rows, learned rows only", async () => {
    const corpora = await two;
    const stream = createBatchStream(corpora, settings);
    for (let step = 0; step < 30; step++) {
      const made = stream.next();
      expect(flat(made)).toHaveLength(4);
      let tokens = 0;
      let learned = 0;
      for (const { batch, targets, weights } of flat(made)) {
        expect(batch.tokens.length).toBeLessThanOrEqual(settings.batchTokens);
        let row = 0;
        for (const { start, count } of batch.sequences) {
          expect(start).toBe(row);
          expect(count).toBeLessThanOrEqual(settings.context);
          expect([...batch.positions.subarray(start, start + count)]).toEqual([...Array(count).keys()]);
          row += count;
        }
        expect(row).toBe(batch.tokens.length);
        const lastRows = new Set(batch.sequences.map(({ start, count }) => start + count - 1));
        for (const [i, output] of batch.outputs.entries()) {
          if (!lastRows.has(output)) expect(targets[i]).toBe(batch.tokens[output + 1]);
        }
        expect(weights).toHaveLength(targets.length);
        tokens += batch.tokens.length;
        learned += targets.length;
      }
      expect(made).toMatchObject({ tokens, learned });
    }
  });

  it("gives each source its share of the tokens", async () => {
    const stream = createBatchStream(await two, settings);
    for (let step = 0; step < 50; step++) stream.next();
    const [story, pair] = stream.save().sources;
    expect(story!.served / (story!.served + pair!.served)).toBeCloseTo(0.75, 2);
    expect(pair!.epoch).toBeGreaterThan(0);
  });

  it("goes on from a saved place bit for bit, at any moment", async () => {
    const corpora = await two;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 5 }), (steps, seed) => {
        const whole = createBatchStream(corpora, { ...settings, seed });
        for (let i = 0; i < steps; i++) whole.next();
        const resumed = createBatchStream(corpora, { ...settings, seed });
        resumed.restore(JSON.parse(JSON.stringify(whole.save())), "saved");
        for (let i = 0; i < 5; i++) expect(resumed.next()).toEqual(whole.next());
        expect(resumed.save()).toEqual(whole.save());
      }),
      { numRuns: 25 },
    );
  });

  it("replicas by themselves make what one process makes", async () => {
    const corpora = await two;
    const whole = createBatchStream(corpora, settings);
    const parts = [0, 1].map((replica) => createBatchStream(corpora, { ...settings, replica }));
    for (let step = 0; step < 10; step++) {
      const made = parts.map((part) => part.next());
      const all = whole.next();
      expect(made.flatMap(({ shards }) => shards)).toEqual(all.shards);
      for (const { tokens, learned } of made)
        expect({ tokens, learned }).toEqual({ tokens: all.tokens, learned: all.learned });
    }
  });

  it("another seed is another order; another data set or setting refuses the state", async () => {
    const corpora = await two;
    const stream = createBatchStream(corpora, settings);
    const other = createBatchStream(corpora, { ...settings, seed: 4 });
    expect(other.next()).not.toEqual(stream.next());
    expect(() => other.restore(stream.save(), "run/x")).toThrow(/^run\/x: .*other data or settings/);
    expect(() => createBatchStream(corpora.slice(0, 1), settings).restore(stream.save(), "x")).toThrow(/other data/);
  });

  it("refuses settings that cannot be", async () => {
    const corpora = await two;
    expect(() => createBatchStream([], settings)).toThrow(/no source/);
    expect(() => createBatchStream(corpora, { ...settings, batchTokens: 31 })).toThrow(/cannot hold a context/);
    expect(() => createBatchStream(corpora, { ...settings, replica: 2 })).toThrow(/replica 2 of 2/);
    expect(() => createBatchStream(corpora, { ...settings, accumulation: 0.5 })).toThrow(/accumulation/);
  });
});

describe("training data of a configuration", () => {
  const vectors = resolve(import.meta.dirname, "../../../test/vectors");
  const config = (name: string, chatTemplate?: string) => {
    const model = { name: "m", layers: 1, width: 8, heads: 1, kvHeads: 1, headSize: 8, experts: 2, used: 1, hidden: 8 };
    const sources = [{ name: "abc", path: put("abc abc<|endoftext|>abd"), format: "text" }];
    const data = { sources, cache: "loaded" };
    const rest = { steps: 1, batchTokens: 32, optimizer: { rate: 0.01, warmup: 0 }, chatTemplate };
    const tokenizer = join(vectors, name);
    return parseTrainConfig(
      { model: { ...model, context: 32 }, tokenizer, out: "out", data, ...rest },
      join(folder, "c"),
    );
  };

  it.each(["tokenizer/sp-bpe.model", "models/grok-1.gguf"])("is tokenized by %s", async (name) => {
    const made: string[] = [];
    const onFile = (file: string) => made.push(file);
    const settings = config(name);
    const { corpora, tokenizer: own } = await prepareTraining(settings, onFile);
    const { ids, starts } = corpora[0]!.documents;
    expect([...ids.subarray(0, starts[1])]).toEqual(
      [own.bos, ...own.encode("abc abc"), own.eos].filter((id) => id !== undefined),
    );
    await prepareTraining(settings, onFile);
    expect(made).toHaveLength(1);
    expect((await prepareTraining(config(name))).corpora[0]!.key).toBe(corpora[0]!.key);
  });

  it("holds a chat template to UTF-8, and is read from regular files alone", async () => {
    const templated = (content: Uint8Array) => prepareTraining(config("tokenizer/sp-bpe.model", put(content)));
    await expect(templated(Buffer.from([10, 0xff, 97]))).rejects.toThrow(
      /file-\d+\.txt, line 2: the text is not UTF-8: found ff 61 at byte 1$/,
    );
    await expect(templated(Buffer.from("\ufeff{{ a }}", "utf16le"))).rejects.toThrow(/the text is in UTF-16/);
    const { tokenizerMetadata } = await templated(Buffer.from("\ufeff{{ bos_token }}"));
    expect(new Map(tokenizerMetadata).get("tokenizer.chat_template")).toMatchObject({ value: "{{ bos_token }}" });
    await expect(loadCorpus(source(folder, {}), options)).rejects.toThrow(/cannot open: it is a folder/);
    if (process.platform === "win32") return;
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(loadCorpus(source(pipe, {}), options)).rejects.toThrow(/pipe: cannot open: not a regular file/);
    expect(() => sourceOf(pipe, { heldOut: 0, format: "chat" })).toThrow(/pipe: cannot open: not a regular file/);
  });

  it("names a tokenizer that is missing or is none", async () => {
    await expect(prepareTraining(config("none.model"))).rejects.toThrow(/none\.model: cannot open/);
    await expect(prepareTraining(config("models/rope.json"))).rejects.toThrow(/rope\.json/);
  });
});
