import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { processorSeconds } from "../../test/support/time.ts";
import { GrokError } from "../errors.ts";
import { tokenizerFromSentencePiece } from "./sentencepiece-file.ts";
import { checkSteps } from "./steps.case.ts";
import type { Tokenizer } from "./tokenizer.ts";

const vectors = new URL("../../test/vectors/tokenizer/", import.meta.url);
const shared = new URL("../../../shared/", import.meta.url);

interface Vectors {
  readonly encode: readonly { text: string; ids: number[]; decoded: string }[];
  readonly decode: readonly { ids: number[]; decoded: string }[];
}

const load = (name: string): Tokenizer =>
  tokenizerFromSentencePiece(readFileSync(new URL(`${name}.model`, vectors)), `${name}.model`);

/** Text that a stream gives, having checked that no part ends or begins inside a character. */
function streamed(tokenizer: Tokenizer, ids: ArrayLike<number>): string {
  const stream = tokenizer.decoder();
  const parts = Array.from(ids, (id) => stream.push(id));
  parts.push(stream.end());
  expect(parts.every((part) => part.isWellFormed())).toBe(true);
  return parts.join("");
}

// Made by the sentencepiece library, see test/oracles/make_tokenizer_vectors.py.
const models = [
  "sp-bpe",
  "sp-bpe-unused",
  "sp-bpe-crossing",
  "sp-bpe-charsmap",
  "sp-bpe-suffix",
  "sp-bpe-raw",
  "sp-unigram",
];

describe.each(models)("%s", (name) => {
  const tokenizer = load(name);
  const expected: Vectors = JSON.parse(readFileSync(new URL(`${name}.json`, vectors), "utf8"));

  it("encodes as the library does", () => {
    for (const { text, ids } of expected.encode) {
      expect({ text, ids: [...tokenizer.encode(text)] }).toEqual({ text, ids });
    }
  });

  it("decodes as the library does, at once and token by token", () => {
    for (const { ids, decoded } of [...expected.encode, ...expected.decode]) {
      expect({ ids, text: tokenizer.decode(ids) }).toEqual({ ids, text: decoded });
      expect(streamed(tokenizer, ids)).toBe(decoded);
    }
  });

  it("gives the same ids whatever was encoded before", () => {
    const texts = expected.encode.map(({ text }) => text);
    const once = texts.map((text) => [...tokenizer.encode(text)]);
    expect(texts.toReversed().map((text) => [...tokenizer.encode(text)])).toEqual(once.toReversed());
  });

  it("gives the same ids in steps, whatever is encoded in between", () => checkSteps(tokenizer, 3));
});

describe("a SentencePiece tokenizer", () => {
  const tokenizer = load("sp-bpe");
  const text = fc.string({ unit: "binary", maxLength: 200 }).map((given) => given.toWellFormed());

  it("gives back every text: identity normalization, byte fallback", () => {
    fc.assert(
      fc.property(text, (given) => {
        // The exception: `▁` is how spaces are written.
        const kept = given.replaceAll("\u2581", " ");
        const ids = tokenizer.encode(given);
        expect(tokenizer.decode(ids)).toBe(kept);
        expect(streamed(tokenizer, ids)).toBe(kept);
        const bytes = Buffer.concat(Array.from(ids, (id) => tokenizer.bytes(id)));
        expect(bytes.toString()).toBe(kept === "" ? "" : ` ${kept}`);
      }),
    );
  });

  it("streams exactly what it decodes, for any ids", () => {
    const ids = fc.array(fc.integer({ min: 0, max: tokenizer.vocabSize - 1 }), { maxLength: 40 });
    fc.assert(
      fc.property(ids, (given) => {
        expect(streamed(tokenizer, given)).toBe(tokenizer.decode(given));
      }),
    );
  });

  it("refuses half a character, which is no text", () => {
    for (const half of ["a\ud800b", "\udc00", "😀".slice(0, 1), "\udc00\ud800"]) {
      expect(() => tokenizer.encode(half)).toThrow(/no text: \\u[0-9a-f]{4} at place \d is half a character/);
      expect(tokenizer.idOf(half)).toBeUndefined();
    }
    expect(tokenizer.decode(tokenizer.encode("😀\ufffd"))).toBe("😀\ufffd");
  });

  it("reads control tokens only when asked to", () => {
    const plain = tokenizer.encode("<s>the</s>");
    expect([...plain]).not.toContain(tokenizer.bos);
    expect(tokenizer.decode(plain)).toBe("<s>the</s>");
    const special = tokenizer.encode("<s>the</s>", { special: true });
    expect([...special]).toEqual([tokenizer.bos, ...tokenizer.encode("the"), tokenizer.eos]);
    expect(tokenizer.decode(special)).toBe("the");
    expect(tokenizer.decode(special, { special: true })).toBe("<s> the</s>");
  });

  it("puts bos first when asked to", () => {
    expect([...tokenizer.encode("the", { bos: true })]).toEqual([tokenizer.bos, ...tokenizer.encode("the")]);
  });

  it("keeps the leading space of a continuation", () => {
    const stream = tokenizer.decoder({ continuation: true });
    const ids = tokenizer.encode("the shells");
    expect(Array.from(ids, (id) => stream.push(id)).join("") + stream.end()).toBe(" the shells");
  });

  it("holds bytes back until they are a character", () => {
    const stream = tokenizer.decoder();
    const byte = (value: number): number => tokenizer.idOf(`<0x${value.toString(16).toUpperCase().padStart(2, "0")}>`)!;
    expect([0xf0, 0x9f, 0x98, 0x80].map((value) => stream.push(byte(value)))).toEqual(["", "", "", "😀"]);
    expect(stream.push(byte(0xe2))).toBe("");
    expect(stream.push(byte(0x41))).toBe("\ufffdA");
    expect(stream.push(byte(0xe2))).toBe("");
    expect(stream.push(byte(0x96))).toBe("");
    expect(stream.end()).toBe("\ufffd\ufffd");
  });

  it("names pieces and finds them by name", () => {
    for (let id = 0; id < tokenizer.vocabSize; id++) expect(tokenizer.idOf(tokenizer.piece(id))).toBe(id);
    expect(tokenizer.idOf("no such piece")).toBeUndefined();
  });

  it("refuses ids outside the vocabulary", () => {
    for (const id of [-1, tokenizer.vocabSize, 0.5, Number.NaN]) {
      expect(() => tokenizer.decode([id])).toThrow(GrokError);
      expect(() => tokenizer.piece(id)).toThrow(/not in the vocabulary/);
    }
  });
});

describe("long texts without spaces", () => {
  // Growth, not seconds: four times the text must not take sixteen times as long. Half a second passes in any case.
  const tokenizer = load("sp-bpe");
  const unigram = load("sp-unigram");
  const letters = (length: number): string =>
    Array.from({ length }, (_, i) => "etaoinshrdlu"[(i * 7919 + (i >> 3)) % 12]).join("");
  it.each([
    ["one letter", (length: number) => "a".repeat(length)],
    ["emoji", (length: number) => "😀".repeat(length / 2)],
    ["spaces", (length: number) => " ".repeat(length)],
    ["letters", letters],
  ])("%s: time grows no faster than it should", (_, make) => {
    for (const one of [tokenizer, unigram]) {
      const time = (length: number): number => {
        const text = make(length);
        return processorSeconds(() => one.encode(text), 2);
      };
      time(50_000);
      expect(time(200_000)).toBeLessThan(Math.max(0.5, 10 * time(50_000)));
    }
  });
});

const grokModel = new URL("data/tokenizer/tokenizer.model", shared);
const absent = existsSync(grokModel) ? "" : " (skipped: the shared data is not there)";

describe.skipIf(absent !== "")(`Grok-1's own tokenizer${absent}`, () => {
  const tokenizer = absent === "" ? tokenizerFromSentencePiece(readFileSync(grokModel), "tokenizer.model") : undefined!;

  it("agrees with the sentencepiece library on every line", () => {
    const lines = readFileSync(new URL("vectors/tokenizer/grok-1.jsonl", shared), "utf8").trimEnd().split("\n");
    let wrong = 0;
    for (const line of lines) {
      const { text, ids, decoded } = JSON.parse(line);
      const given = tokenizer.encode(text);
      const same = given.length === ids.length && given.every((id, i) => id === ids[i]);
      if (!same || tokenizer.decode(ids) !== decoded) wrong++;
    }
    expect([lines.length, wrong]).toEqual([2692, 0]);
  });

  it("knows its special tokens", () => {
    const { vocabSize, bos, eos, pad, unknown } = tokenizer;
    expect({ vocabSize, bos, eos, pad, unknown }).toEqual({ vocabSize: 131072, bos: 1, eos: 2, pad: 0, unknown: 3 });
    expect([...tokenizer.endOfGeneration]).toEqual([2]);
  });
});
