import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parseTrainConfig } from "../config.ts";
import { sourceOf } from "../lora/source.ts";
import { prepareTraining } from "../setup.ts";
import { folder, load, options, put, separated, source, stories, texts, tokenizer } from "./corpus.case.ts";
import { type Corpus, loadCorpus } from "./corpus.ts";
import { heldOutSets } from "./held-out.ts";

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
