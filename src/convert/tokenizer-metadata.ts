import { GrokError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf/encode.ts";
import { pieceBytes, pieceText } from "../tokenizer/pieces.ts";
import type { SentencePieceModel } from "../tokenizer/sentencepiece-model.ts";
import { findEndOfGeneration } from "../tokenizer/special.ts";
import { pieceTypes } from "../tokenizer/tokenizer.ts";

/**
 * A SentencePiece model as the keys `tokenizer.ggml.*` of a GGUF file. Ids past the model's own pieces, up to `vocab`, are
 * unused. Prompts begin with bos where there is one, as our training's texts do, unless `addBos` says otherwise. A piece that ends a turn by its name (`<|end|>`) is named as
 * that.
 *
 * @throws GrokError `unsupported` for a model that is not BPE: files of this kind have no place for it.
 */
export function tokenizerMetadata(
  model: SentencePieceModel,
  vocab: number,
  addBos = model.bos !== undefined,
): readonly (readonly [string, GgufValue])[] {
  if (model.algorithm !== "bpe") {
    throw new GrokError("unsupported", `${model.source}: a ${model.algorithm} tokenizer, expected bpe`, {
      source: model.source,
    });
  }
  const { count } = model.pieces;
  const types = exportedTypes(model);
  const turnEnds = [...findEndOfGeneration(model.pieces, model.types, [])].filter((id) => id !== model.eos);
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
        ids.map((id) => (id < count ? types[id]! : pieceTypes.unused)),
      ),
    ],
    ...special,
    ...(turnEnds.length === 1 ? [["eot_token_id", { type: "u32", value: turnEnds[0]! }] as const] : []),
    ["add_bos_token", { type: "bool", value: addBos }],
    ["add_eos_token", { type: "bool", value: false }],
    ["add_space_prefix", { type: "bool", value: model.addDummyPrefix }],
    ["remove_extra_whitespaces", { type: "bool", value: model.removeExtraWhitespaces }],
    ...(model.charsmap.length === 0
      ? []
      : [["precompiled_charsmap", { type: "array", items: "u8", value: model.charsmap }] as const]),
  ];
  return entries.map(([key, value]) => [`tokenizer.ggml.${key}`, value] as const);
}

/**
 * Types of the pieces, with line ends that are user-defined (`\n`, `\n\n`) made normal where that changes nothing: no other
 * piece has a line end, nothing normalizes it away, so merges find the same two pieces. llama.cpp takes user-defined pieces
 * for breaks and begins what follows with a space, which sentencepiece and the training do not; normal ones agree.
 */
export function exportedTypes(model: SentencePieceModel): Uint8Array {
  const { pieces, types, charsmap, removeExtraWhitespaces } = model;
  const withLineEnd = Array.from({ length: pieces.count }, (_, id) => id).filter((id) =>
    pieceText(pieces, id).includes("\n"),
  );
  const lineEnds = withLineEnd.filter(
    (id) => types[id] === pieceTypes.userDefined && /^\n\n?$/.test(pieceText(pieces, id)),
  );
  const single = lineEnds.some((id) => pieceText(pieces, id) === "\n");
  if (!single || lineEnds.length < withLineEnd.length || charsmap.length > 0 || removeExtraWhitespaces) return types;
  const changed = types.slice();
  for (const id of lineEnds) changed[id] = pieceTypes.normal;
  return changed;
}
