import { GrokError, shown } from "../../../errors.ts";
import { pieceTypes } from "../../../tokenizer/tokenizer.ts";
import type { Metadata } from "../../source.ts";

/** A vocabulary as a GGUF file has it, while it is put together. */
export interface Vocabulary {
  /** The file that it is read from, for messages. */
  readonly source: string;
  readonly model: "llama" | "gpt2";
  /** Name of the pre-tokenizer. */
  readonly pre: string;
  /** By id; unused ids have names of their own. */
  readonly tokens: (string | Uint8Array)[];
  readonly types: Uint8Array;
  /** Of a `llama` model. */
  readonly scores?: Float32Array;
  /** Of a `gpt2` model: pairs, with a space between. */
  readonly merges?: readonly string[];
  /** Further keys behind `tokenizer.ggml.`. */
  readonly more: Metadata;
  /** What the file itself says: ids, and whether prompts begin with bos or end with eos. */
  readonly own: SpecialTokens;
}

export interface SpecialTokens {
  readonly bos?: number | undefined;
  readonly eos?: number | undefined;
  readonly eot?: number | undefined;
  readonly unknown?: number | undefined;
  readonly pad?: number | undefined;
  readonly addBos?: boolean | undefined;
  readonly addEos?: boolean | undefined;
}

/** As many ids as a model's embedding has, none of them used yet. Names as llama.cpp's converter has them. */
export function emptyTokens(vocab: number): { tokens: (string | Uint8Array)[]; types: Uint8Array } {
  return {
    tokens: Array.from({ length: vocab }, (_, id) => `[PAD${id}]`),
    types: new Uint8Array(vocab).fill(pieceTypes.unused),
  };
}

/** The largest vocabulary that is put together: some eight times the largest published one's. */
const mostTokens = 2 ** 21;

export function checkVocab(source: string, vocab: number): void {
  if (vocab <= mostTokens) return;
  throw new GrokError("unsupported", `${source}: vocab_size is ${vocab}, expected at most ${mostTokens}`, { source });
}

/** An id from a file. @throws GrokError `format` for one that the model's embedding has no row for. */
export function checkId(source: string, token: string, id: unknown, vocab: number): number {
  if (typeof id === "number" && Number.isSafeInteger(id) && id >= 0 && id < vocab) return id;
  throw new GrokError(
    "format",
    `${source}: token ${shown(token)} has the id ${shown(id)}, expected one below the model's ${vocab}`,
    { source, token: shown(token) },
  );
}

/** A token beside the model's own: of control, or text that is found before any merge. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** Names that are those of control tokens, whatever a file says of them: llama.cpp's list. */
const controlName = /^(<\|.*\|>|<｜.*｜>|<unused.*>|<pad>|<mask>|<2mass>|\[@BOS@\])$/s;

/** Puts a token in its place. One past the embedding's rows is left out: a model can neither read nor give it. */
export function addToken({ tokens, types, scores }: Vocabulary, { id, content, special }: AddedToken): void {
  if (id >= tokens.length) return;
  const control = special || controlName.test(content);
  types[id] = control ? pieceTypes.control : pieceTypes.userDefined;
  tokens[id] = control ? content : content.replaceAll("▁", " ");
  if (scores !== undefined) scores[id] = -1000;
}

/** The keys `tokenizer.ggml.*`. */
export function vocabularyMetadata(vocabulary: Vocabulary, special: SpecialTokens, ends: readonly number[]): Metadata {
  const { model, pre, tokens, types, scores, merges, more } = vocabulary;
  const id = (key: string, value: number | undefined): Metadata =>
    value === undefined ? [] : [[`${key}_token_id`, { type: "u32", value }]];
  const entries: Metadata = [
    ["model", { type: "string", value: model }],
    ["pre", { type: "string", value: pre }],
    ["tokens", { type: "array", items: "string", value: tokens }],
    ...(scores === undefined ? [] : [["scores", { type: "array", items: "f32", value: scores }] as const]),
    ["token_type", { type: "array", items: "i32", value: types }],
    ...(merges === undefined ? [] : [["merges", { type: "array", items: "string", value: merges }] as const]),
    ...id("bos", special.bos),
    ...id("eos", special.eos),
    ...id("eot", special.eot),
    ...id("unknown", special.unknown),
    ...id("padding", special.pad),
    ...(ends.length > 1 ? [["eos_token_ids", { type: "array", items: "u32", value: ends }] as const] : []),
    ["add_bos_token", { type: "bool", value: special.addBos ?? false }],
    ["add_eos_token", { type: "bool", value: special.addEos ?? false }],
    ...more,
  ];
  return entries.map(([key, value]) => [`tokenizer.ggml.${key}`, value] as const);
}
