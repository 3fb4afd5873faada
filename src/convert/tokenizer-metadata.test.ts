import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { writeGguf } from "../formats/gguf/write.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import { createSentencePiece } from "../tokenizer/sentencepiece.ts";
import { readSentencePieceModel } from "../tokenizer/sentencepiece-file.ts";
import { createTokenizerTrainer } from "../tokenizer/train.ts";
import { tokenizerMetadata } from "./tokenizer-metadata.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-tokenizer-metadata-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A tokenizer as it was trained, and as it comes back from a GGUF file. */
async function roundTrip(userSymbols: readonly string[]) {
  const trainer = createTokenizerTrainer({ vocabSize: 308, userSymbols, controlSymbols: ["<|user|>", "<|end|>"] });
  for (const text of ["the sun and the moon", "a fox ran to the sea", "the rain fell on the stone"]) trainer.add(text);
  const model = readSentencePieceModel(trainer.train().bytes, "trained");
  const path = join(folder, `${userSymbols.length}.gguf`);
  const metadata = [["general.architecture", { type: "string", value: "none" }] as const];
  await writeGguf(path, { metadata: [...metadata, ...tokenizerMetadata(model, 320)], tensors: [] });
  const file = openGguf(path);
  const types = file.metadata.numbers("tokenizer.ggml.token_type");
  const read = tokenizerFromGguf(file.metadata, path);
  file.close();
  return { trained: createSentencePiece(model), read, types };
}

describe("a trained tokenizer in a GGUF file", () => {
  const text = fc
    .array(fc.constantFrom("the ", "sun", "fox", " ", "\n", "\n\n", "\t", "<|end|>", "ñ", "7", "##", "#"), {
      maxLength: 24,
    })
    .map((parts) => parts.join(""));

  it("gives the tokens that it was trained with, and ends where a turn does", async () => {
    const { trained, read, types } = await roundTrip(["\n", "\n\n"]);
    fc.assert(
      fc.property(text, (value) => {
        expect(read.encode(value)).toEqual(trained.encode(value));
      }),
    );
    fc.assert(
      fc.property(text, (value) => {
        const ids = trained.encode(value, { special: true });
        expect(read.encode(value, { special: true })).toEqual(ids);
        expect(read.decode(ids)).toBe(trained.decode(ids));
      }),
    );
    expect([...read.endOfGeneration]).toEqual([read.eos, read.idOf("<|end|>")]);
    // llama.cpp puts a space behind each user-defined piece: line ends, which merges find as well, are not to be any.
    expect([...types].filter((type) => type === 4)).toEqual([]);
  });

  it("keeps other pieces of the user's as they are", async () => {
    const { trained, read, types } = await roundTrip(["\n", "\n\n", "##"]);
    fc.assert(
      fc.property(text, (value) => {
        expect(read.encode(value)).toEqual(trained.encode(value));
      }),
    );
    expect(types[read.idOf("##")!]).toBe(4);
  });
});
