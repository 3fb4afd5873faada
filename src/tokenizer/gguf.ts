/** The tokenizer inside a GGUF file's metadata, `tokenizer.ggml.*`. */
import { GrokError, shown } from "../errors.ts";
import type { GgufMetadata } from "../formats/gguf/metadata.ts";
import { createByteBpe } from "./byte-bpe.ts";
import { checkPieceCount, type Pieces } from "./pieces.ts";
import { preTokenizers } from "./pre-tokenizer.ts";
import { createSentencePiece } from "./sentencepiece.ts";
import { checkPieces, defaultUnknownSurface, findByteIds } from "./sentencepiece-model.ts";
import { findEndOfGeneration } from "./special.ts";
import { pieceTypes, type Tokenizer } from "./tokenizer.ts";
import { refuseUnread } from "./unread.ts";

/** The part of a GGUF file's metadata that tokenizers read. */
export type TokenizerMetadata = Pick<
  GgufMetadata,
  "has" | "get" | "keys" | "string" | "number" | "boolean" | "numbers" | "encoded" | "typeOf"
>;

const key = (name: string): string => `tokenizer.ggml.${name}`;

/** What an id of -1 reads as, where a converter wrote "none" into an unsigned field. */
const noId = 0xffffffff;

/**
 * The tokenizer of a model: `llama` (SentencePiece BPE) or `gpt2` (byte-level BPE). `source` names the file in messages.
 *
 * Defaults are llama.cpp's: without `tokenizer.ggml.pre` the pre-tokenizer is its `default`; SentencePiece prompts begin
 * with bos, id 1, unless the file says otherwise. But a `grok` file's do not: xAI's code adds none to Grok-1's.
 *
 * @throws GrokError `format` for missing keys and contradictions, `unsupported` for other tokenizers and for unknown
 * pre-tokenizers, by name.
 */
export function tokenizerFromGguf(metadata: TokenizerMetadata, source = "the model's metadata"): Tokenizer {
  if (!metadata.has(key("model"))) {
    const other = metadata.has("tokenizer.huggingface.json");
    const found = other ? "its tokenizer is only there as tokenizer.huggingface.json" : "there is no tokenizer in it";
    throw new GrokError("format", `${source}: metadata key ${key("model")} is missing: ${found}`, {
      source,
      key: key("model"),
    });
  }
  const name = metadata.string(key("model"));
  const make = new Map([
    ["llama", sentencePieceFromGguf],
    ["gpt2", byteBpeFromGguf],
  ]).get(name);
  if (make === undefined) {
    throw new GrokError("unsupported", `${source}: the tokenizer ${shown(name)}; llama and gpt2 are supported`, {
      source,
      tokenizer: shown(name),
    });
  }
  refuseUnread(metadata, name, source);
  return make(metadata, source);
}

function sentencePieceFromGguf(metadata: TokenizerMetadata, source: string): Tokenizer {
  const pieces = readPieces(metadata, "tokens", source);
  const types = readTypes(metadata, pieces, source);
  const scores = new Float32Array(readNumbers(metadata, "scores", pieces.count, source));
  for (let id = 0; id < pieces.count; id++) {
    if (pieces.offsets[id] === pieces.offsets[id + 1]) types[id] = pieceTypes.unused;
  }
  checkPieces(pieces, scores, types, source);
  const ids = readIds(metadata, pieces.count, source, { bos: 1, eos: 2, unknown: 0 });
  const charsmap = metadata.has(key("precompiled_charsmap")) ? metadata.numbers(key("precompiled_charsmap")) : [];
  const marked = types.indexOf(pieceTypes.unknown);
  return createSentencePiece({
    source,
    algorithm: "bpe",
    pieces,
    scores,
    types,
    byteFallback: findByteIds(pieces, types, source) !== undefined,
    addDummyPrefix: metadata.boolean(key("add_space_prefix"), true),
    removeExtraWhitespaces: metadata.boolean(key("remove_extra_whitespaces"), false),
    escapeWhitespaces: true,
    whitespaceAsSuffix: false,
    charsmap: Uint8Array.from(charsmap),
    unknownSurface: defaultUnknownSurface,
    duplicates: "last",
    ...ids,
    // The piece's own type tells better than the key, which converters often leave at 0.
    unknown: marked >= 0 ? marked : (ids.unknown ?? 0),
    ...readAdditions(metadata, ids, metadata.string("general.architecture", "") !== "grok", source),
    endOfGeneration: findEndOfGeneration(pieces, types, ids.ends),
  });
}

function byteBpeFromGguf(metadata: TokenizerMetadata, source: string): Tokenizer {
  const pieces = readPieces(metadata, "tokens", source);
  checkPieceCount(pieces.count, source);
  const types = readTypes(metadata, pieces, source);
  const preTokenizerName = metadata.string(key("pre"), "default");
  const preTokenizer = preTokenizers.get(preTokenizerName);
  if (preTokenizer === undefined) {
    throw new GrokError(
      "unsupported",
      `${source}: the pre-tokenizer ${shown(preTokenizerName)} is not known; known are ${[...preTokenizers.keys()].join(", ")}`,
      { source, preTokenizer: shown(preTokenizerName) },
    );
  }
  const ids = readIds(metadata, pieces.count, source, {});
  return createByteBpe({
    source,
    pieces,
    types,
    merges: readPieces(metadata, "merges", source),
    preTokenizer,
    preTokenizerName,
    ...ids,
    ...readAdditions(metadata, ids, preTokenizer.addBos && ids.bos !== undefined, source),
    endOfGeneration: findEndOfGeneration(pieces, types, ids.ends),
  });
}

/** An array of strings, straight from its encoding: u32 type, u64 count, then u64 length and bytes of each. */
function readPieces(metadata: TokenizerMetadata, name: string, source: string): Pieces {
  const kind = metadata.typeOf(key(name));
  if (kind?.items !== "string") {
    throw new GrokError("format", `${source}: metadata key ${key(name)} is missing or not an array of strings`, {
      source,
      key: key(name),
    });
  }
  const { encoded } = metadata.encoded(key(name));
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const count = kind.count!;
  const offsets = new Uint32Array(count + 1);
  const blob = new Uint8Array(encoded.length - 12 - 8 * count);
  let at = 12;
  let end = 0;
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(at, true);
    at += 8;
    if (length < 64) for (let j = 0; j < length; j++) blob[end + j] = encoded[at + j]!;
    else blob.set(encoded.subarray(at, at + length), end);
    at += length;
    end += length;
    offsets[i + 1] = end;
  }
  return { count, blob, offsets };
}

function readNumbers(metadata: TokenizerMetadata, name: string, count: number, source: string): ArrayLike<number> {
  const numbers = metadata.numbers(key(name));
  if (numbers.length !== count) {
    throw new GrokError(
      "format",
      `${source}: metadata key ${key(name)} has ${numbers.length} values, expected one for each of ${count} tokens`,
      { source, key: key(name), found: numbers.length, expected: count },
    );
  }
  return numbers;
}

/** Types of the pieces. 0 is "undefined", which llama.cpp lets stand in texts like a normal piece. */
function readTypes(metadata: TokenizerMetadata, pieces: Pieces, source: string): Uint8Array {
  const types = new Uint8Array(pieces.count).fill(pieceTypes.normal);
  if (!metadata.has(key("token_type"))) return types;
  const given = readNumbers(metadata, "token_type", pieces.count, source);
  for (let id = 0; id < pieces.count; id++) {
    const type = given[id]!;
    if (!(type >= 0 && type <= pieceTypes.byte)) {
      throw new GrokError("format", `${source}: token ${id} has the unknown type ${type}`, { source, token: id });
    }
    if (type > 0) types[id] = type;
  }
  return types;
}

interface Ids {
  readonly bos?: number;
  readonly eos?: number;
  readonly pad?: number;
  readonly unknown?: number;
  readonly ends: readonly (number | undefined)[];
}

function readIds(
  metadata: TokenizerMetadata,
  count: number,
  source: string,
  defaults: { bos?: number; eos?: number; unknown?: number },
): Ids {
  const check = (name: string, id: number): number => {
    if (Number.isInteger(id) && id >= 0 && id < count) return id;
    throw new GrokError("format", `${source}: metadata key ${key(name)} is ${id}, expected an id below ${count}`, {
      source,
      key: key(name),
      found: id,
    });
  };
  const read = (name: string, fallback?: number): number | undefined => {
    const id = metadata.number(key(name), undefined);
    if (id === undefined || id === noId || id === -1)
      return fallback !== undefined && fallback < count ? fallback : undefined;
    return check(name, id);
  };
  const eos = read("eos_token_id", defaults.eos);
  // Several in a list, as Ollama's converter writes them.
  const moreEnds = Array.from(metadata.numbers(key("eos_token_ids"), []), (id) => check("eos_token_ids", id));
  return {
    bos: read("bos_token_id", defaults.bos),
    eos,
    pad: read("padding_token_id"),
    unknown: read("unknown_token_id", defaults.unknown),
    ends: [eos, read("eot_token_id"), read("eom_token_id"), ...moreEnds],
  };
}

function readAdditions(metadata: TokenizerMetadata, ids: Ids, addsBos: boolean, source: string) {
  const addBos = metadata.boolean(key("add_bos_token"), addsBos);
  const addEos = metadata.boolean(key("add_eos_token"), false);
  for (const [name, adds, id] of [
    ["bos", addBos, ids.bos],
    ["eos", addEos, ids.eos],
  ] as const) {
    if (adds && id === undefined) {
      throw new GrokError(
        "format",
        `${source}: ${key(`add_${name}_token`)} is true, but the file names no ${name} token`,
        {
          source,
        },
      );
    }
  }
  return { addBos, addEos };
}
