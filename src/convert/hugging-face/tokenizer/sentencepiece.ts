import { readWhole } from "../../../bytes/whole-file.ts";
import { GrokError } from "../../../errors.ts";
import { pieceBytes } from "../../../tokenizer/pieces.ts";
import { maxModelBytes, readSentencePieceModel } from "../../../tokenizer/sentencepiece-file.ts";
import { exportedTypes } from "../../tokenizer-metadata.ts";
import { emptyTokens, type Vocabulary } from "./vocabulary.ts";

/** The vocabulary of a `tokenizer.model`. Pieces past the embedding's rows are left out, as llama.cpp's converter does. */
export function readSentencePiece(path: string, vocab: number): Vocabulary {
  const model = readSentencePieceModel(readWhole(path, maxModelBytes), path);
  if (model.algorithm !== "bpe") {
    throw new GrokError("unsupported", `${path}: a ${model.algorithm} tokenizer, expected bpe`, { path });
  }
  const { tokens, types } = emptyTokens(vocab);
  const scores = new Float32Array(vocab).fill(-10000);
  const count = Math.min(vocab, model.pieces.count);
  for (let id = 0; id < count; id++) tokens[id] = pieceBytes(model.pieces, id).slice();
  types.set(exportedTypes(model).subarray(0, count));
  scores.set(model.scores.subarray(0, count));
  const { bos, eos, pad, unknown, charsmap } = model;
  return {
    ...{ source: path, model: "llama", pre: "default", tokens, types, scores },
    own: { bos, eos, pad, unknown },
    more: [
      ["add_space_prefix", { type: "bool", value: model.addDummyPrefix }],
      ["remove_extra_whitespaces", { type: "bool", value: model.removeExtraWhitespaces }],
      ...(charsmap.length === 0
        ? []
        : [["precompiled_charsmap", { type: "array", items: "u8", value: charsmap }] as const]),
    ],
  };
}
