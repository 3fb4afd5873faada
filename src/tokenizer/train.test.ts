import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GrokError } from "../errors.ts";
import { readFields } from "./protobuf.ts";
import { createMessage } from "./protobuf-write.ts";
import { tokenizerFromSentencePiece } from "./sentencepiece-file.ts";
import { createTokenizerTrainer, type TokenizerTrainingOptions } from "./train.ts";
import { compareCodePoints } from "./train-merges.ts";

/** Made by the sentencepiece library: test/oracles/make_tokenizer_training_vectors.py. */
const vector = JSON.parse(
  readFileSync(resolve(import.meta.dirname, "../../test/vectors/tokenizer/trained.json"), "utf8"),
) as {
  lines: string[];
  coverage: number;
  vocab_size: number;
  user_defined_symbols: string[];
  control_symbols: string[];
  pieces: string[];
};
const options: TokenizerTrainingOptions = {
  vocabSize: vector.vocab_size,
  userSymbols: vector.user_defined_symbols,
  controlSymbols: vector.control_symbols,
  characterCoverage: vector.coverage,
};

function train(texts: readonly string[], settings: TokenizerTrainingOptions) {
  const trainer = createTokenizerTrainer(settings);
  for (const text of texts) trainer.add(text);
  return trainer.train();
}

const trained = train([vector.lines.join("\n")], options);
const tokenizer = tokenizerFromSentencePiece(trained.bytes, "trained");

describe("tokenizer training", () => {
  it("learns the pieces that the sentencepiece library learns, with the same ids", () => {
    const pieces = Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.piece(id));
    expect(pieces).toEqual(vector.pieces);
  });

  it("does not depend on the order of lines, nor on how texts are parted", () => {
    const other = train([...vector.lines].reverse(), options);
    expect(Buffer.from(other.bytes).equals(trained.bytes)).toBe(true);
  });

  it("numbers the named pieces as Grok-1 does, and gives back any text", () => {
    expect([tokenizer.pad, tokenizer.bos, tokenizer.eos, tokenizer.unknown]).toEqual([0, 1, 2, 3]);
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const expected = text.replaceAll("\u2581", " ");
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(expected);
      }),
    );
  });

  it("keeps digits apart, scripts apart, and spaces in front", () => {
    for (let id = 4; id < tokenizer.vocabSize; id++) {
      const piece = tokenizer.piece(id);
      if (piece.startsWith("<")) continue;
      expect(piece).toMatch(/^(\d|\u2581+|\u2581?[^\d\u2581]*|\n+)$/u);
      expect([...piece].length).toBeLessThanOrEqual(16);
      expect(/\p{Script=Latin}/u.test(piece) && /\p{Script=Cyrillic}/u.test(piece)).toBe(false);
    }
  });

  it("a marker in a text is ordinary text unless the program says so", () => {
    const marker = tokenizer.idOf("<|user|>")!;
    expect([...tokenizer.encode("a<|user|>b")]).not.toContain(marker);
    expect([...tokenizer.encode("a<|user|>b", { special: true })]).toContain(marker);
    expect([...tokenizer.encode("a\n\nb")]).toContain(tokenizer.idOf("\n\n"));
  });

  it("more pieces never need more tokens for the text that they were learned from", () => {
    const text = vector.lines.join("\n");
    const counts = [400, 440, 480, 520].map(
      (vocabSize) =>
        tokenizerFromSentencePiece(train([text], { ...options, vocabSize }).bytes, "t").encode(text).length,
    );
    expect(counts.toSorted((a, b) => b - a)).toEqual(counts);
    expect(counts[3]).toBeLessThan(counts[0]!);
  });

  it("refuses what cannot be, and says what could", () => {
    const small = (settings: Partial<TokenizerTrainingOptions>) => () =>
      train(["the cat sat on the mat"], { vocabSize: 300, ...settings });
    expect(small({})).toThrow(/too large: the texts have pairs for \d+ pieces/);
    expect(small({ vocabSize: 265 })).toThrow(/too small: .* make 27\d/);
    expect(small({ vocabSize: 12 })).toThrow(/vocabulary size 12/);
    expect(small({ characterCoverage: 0 })).toThrow(/coverage/);
    expect(small({ maxPieceLength: 0 })).toThrow(/longest piece/);
    expect(small({ userSymbols: ["a", "a"] })).toThrow(/stands twice/);
    expect(small({ controlSymbols: ["<0x41>"] })).toThrow(/cannot be a symbol/);
    expect(() => train(["\n\n"], { vocabSize: 300 })).toThrow(GrokError);
  });

  it("words without spaces, however long, are learned in time that grows with their length", () => {
    const line = Array.from({ length: 20_000 }, (_, i) => String.fromCodePoint(0x4e00 + ((i * i) % 97))).join("");
    const { learned } = train([line], { vocabSize: 460 });
    expect(learned).toBeGreaterThan(100);
  });
});

describe("protobuf writer", () => {
  it("writes what the reader reads", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.integer({ min: 1, max: 536870911 }), fc.oneof(fc.nat(), fc.string(), fc.constant(2 ** 40))),
        ),
        (fields) => {
          const message = createMessage();
          for (const [field, value] of fields) {
            if (typeof value === "string") message.text(field, value);
            else message.integer(field, value);
          }
          const bytes = message.bytes();
          const read: [number, number | string][] = [];
          readFields(bytes, 0, bytes.length, "test", (field) => {
            const value =
              field.wire === 2 ? Buffer.from(bytes.subarray(field.start, field.end)).toString() : field.value;
            read.push([field.number, value]);
          });
          expect(read).toEqual(
            fields.map(([field, value]) => [field, typeof value === "string" ? Buffer.from(value).toString() : value]),
          );
        },
      ),
    );
  });

  it("code points order as their UTF-8 bytes do", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
        expect(Math.sign(compareCodePoints(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
    );
  });
});
