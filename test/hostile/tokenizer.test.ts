import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { GrokError } from "../../src/errors.ts";
import { tokenizerFromSentencePiece } from "../../src/tokenizer/sentencepiece-file.ts";
import { liesEverywhere, type Mutant, mutants, truncations } from "../support/mutate.ts";
import { processorSeconds } from "../support/time.ts";

const vectors = new URL("../vectors/tokenizer/", import.meta.url);
const memoryLimit = 256 * 2 ** 20;
const text = "the shells she sells 12 <tool>ab\n\n  niña 😀 ﬁ①\u3000x";

/** Loads and uses each mutant: it works, or it is refused with a typed error. Returns how many were refused. */
function attack(attacks: Iterable<Mutant>): { valid: number; refused: number } {
  const tally = { valid: 0, refused: 0 };
  const before = process.memoryUsage.rss();
  for (const { label, bytes } of attacks) {
    const seconds = processorSeconds(() => {
      try {
        const tokenizer = tokenizerFromSentencePiece(bytes, "hostile.model");
        const ids = tokenizer.encode(text, { special: true });
        tokenizer.decode(ids);
        for (let id = 0; id < Math.min(tokenizer.vocabSize, 20); id++) tokenizer.idOf(tokenizer.piece(id));
        tally.valid++;
      } catch (error) {
        if (!(error instanceof GrokError)) throw new Error(`${label}: ${error}`, { cause: error });
        expect({ label, code: error.code }).toEqual({ label, code: expect.stringMatching(/^(format|unsupported)$/) });
        expect(error.message).toContain("hostile.model");
        tally.refused++;
      }
    });
    if (seconds > 5) throw new Error(`${label}: took ${seconds} s`);
  }
  expect(process.memoryUsage.rss() - before).toBeLessThan(memoryLimit);
  return tally;
}

const read = (name: string): Uint8Array => readFileSync(new URL(`${name}.model`, vectors));

describe("damaged and hostile SentencePiece models", () => {
  it("cut off anywhere", () => {
    const bytes = read("sp-bpe");
    const { valid, refused } = attack(truncations(bytes));
    expect(valid + refused).toBe(bytes.length);
    expect(refused).toBeGreaterThan(valid);
  });

  it.each(["sp-bpe", "sp-bpe-unused", "sp-bpe-charsmap", "sp-unigram"])("%s with random damage", (name) => {
    const { valid, refused } = attack(mutants(read(name), 11, 600));
    expect(refused).toBeGreaterThan(50);
    expect(valid).toBeGreaterThan(50);
  });

  it("numbers that lie", () => {
    expect(attack(liesEverywhere(read("sp-bpe-charsmap"), 4, 151)).refused).toBeGreaterThan(100);
  });

  it("pieces made to collide are refused before they slow the reader down", () => {
    // Thue-Morse words of 2^8 letters and their complements have one polynomial hash modulo 2^32, whatever the base.
    let word = "a";
    for (let i = 0; i < 8; i++) word += word.replace(/[ab]/g, (letter) => (letter === "a" ? "b" : "a"));
    const complement = word.replace(/[ab]/g, (letter) => (letter === "a" ? "b" : "a"));
    const pieces = [encodePiece("<unk>", 2)];
    for (let i = 0; i < 1500; i++) {
      const bits = [...i.toString(2).padStart(11, "0")];
      pieces.push(encodePiece(bits.map((bit) => (bit === "1" ? word : complement)).join(""), 1));
    }
    const bpe = Buffer.from([0x12, 0x02, 0x18, 0x02]);
    const seconds = processorSeconds(() => {
      expect(() => tokenizerFromSentencePiece(Buffer.concat([...pieces, bpe]), "hostile.model")).toThrow(/collide/);
    });
    expect(seconds).toBeLessThan(5);
  });
});

function encodePiece(piece: string, type: number): Buffer {
  const name = Buffer.from(piece);
  const body = Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name, Buffer.from([0x18, type])]);
  return Buffer.concat([Buffer.from([0x0a, ...varint(body.length)]), body]);
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)];
}
