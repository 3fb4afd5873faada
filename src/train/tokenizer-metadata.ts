import { GrokError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf/encode.ts";
import { pieceBytes } from "../tokenizer/pieces.ts";
import type { SentencePieceModel } from "../tokenizer/sentencepiece-model.ts";
import { pieceTypes } from "../tokenizer/tokenizer.ts";

/**
 * A SentencePiece model as the keys `tokenizer.ggml.*` of a GGUF file. Ids past the model's own pieces, up to `vocab`, are
 * unused. Prompts begin with bos, as the training's texts do.
 *
 * @throws GrokError `unsupported` for a model that is not BPE: files of this kind have no place for it.
 */
export function tokenizerMetadata(model: SentencePieceModel, vocab: number): readonly (readonly [string, GgufValue])[] {
  if (model.algorithm !== "bpe") {
    throw new GrokError("unsupported", `${model.source}: a ${model.algorithm} tokenizer, expected bpe`, {
      source: model.source,
    });
  }
  const { count } = model.pieces;
  const ids = Array.from({ length: vocab }, (_, id) => id);
  const list = (items: "f32" | "i32", value: number[]): GgufValue => ({ type: "array", items, value });
  const special = (["bos", "eos", "pad", "unknown"] as const).flatMap((name): [string, GgufValue][] => {
    const id = model[name];
    const key = { bos: "bos", eos: "eos", pad: "padding", unknown: "unknown" }[name];
    return id === undefined ? [] : [[`${key}_token_id`, { type: "u32", value: id }]];
  });
  const entries: readonly (readonly [string, GgufValue])[] = [
    ["model", { type: "string", value: "llama" }],
    ["pre", { type: "string", value: "default" }],
    [
      "tokens",
      {
        type: "array",
        items: "string",
        value: ids.map((id) => (id < count ? pieceBytes(model.pieces, id) : `[UNUSED_${id}]`)),
      },
    ],
    [
      "scores",
      list(
        "f32",
        ids.map((id) => (id < count ? model.scores[id]! : -1e4)),
      ),
    ],
    [
      "token_type",
      list(
        "i32",
        ids.map((id) => (id < count ? model.types[id]! : pieceTypes.unused)),
      ),
    ],
    ...special,
    ["add_bos_token", { type: "bool", value: model.bos !== undefined }],
    ["add_eos_token", { type: "bool", value: false }],
    ["add_space_prefix", { type: "bool", value: model.addDummyPrefix }],
    ["remove_extra_whitespaces", { type: "bool", value: model.removeExtraWhitespaces }],
    ...(model.charsmap.length === 0
      ? []
      : [["precompiled_charsmap", { type: "array", items: "u8", value: model.charsmap }] as const]),
  ];
  return entries.map(([key, value]) => [`tokenizer.ggml.${key}`, value] as const);
}
