/** Grok-2's own `tokenizer.tok.json`: tiktoken's ranks, which are the ids. Read as sgl-project/sglang and tiktoken read it. */
import { readJsonObject } from "../../../bytes/whole-file.ts";
import { GrokError, shown } from "../../../errors.ts";
import { encodeAlphabet } from "../../../tokenizer/byte-alphabet.ts";
import { pieceTypes } from "../../../tokenizer/tokenizer.ts";
import { grok2Pattern } from "./pre-tokenizer.ts";
import { addToken, checkId, emptyTokens, type Vocabulary } from "./vocabulary.ts";

const maxJsonBytes = 2 ** 27;
/** The longest token of a vocabulary in use has 128. */
const longestToken = 256;

interface Token {
  readonly bytes: Uint8Array;
  readonly id: number;
}

export function readTokJson(path: string, vocab: number): Vocabulary {
  const content = readJsonObject(path, maxJsonBytes);
  if (content.word_split !== "V1") throw refuse(path, "word_split", content.word_split, "V1");
  if (content.pat_str !== undefined && content.pat_str !== grok2Pattern) {
    throw refuse(path, "pat_str", content.pat_str, "the pattern of V1");
  }
  const { tokens, types } = emptyTokens(vocab);
  const regular = readTokens(path, "regular_tokens", content.regular_tokens, vocab);
  for (const { bytes, id } of regular) {
    tokens[id] = encodeAlphabet(bytes);
    types[id] = pieceTypes.normal;
  }
  const special = readTokens(path, "special_tokens", content.special_tokens, vocab).map(({ bytes, id }) => {
    return { id, content: new TextDecoder().decode(bytes), special: true };
  });
  const idOf = (name: string) => special.find((token) => token.content === name)?.id;
  const vocabulary: Vocabulary = {
    ...{ source: path, model: "gpt2", pre: "grok-2", tokens, types, more: [] },
    merges: mergesOf(regular),
    // A turn ends with the separator, a text with eos.
    own: { eos: idOf("<|eos|>"), eot: idOf("<|separator|>"), pad: idOf("<|pad|>"), addBos: false, addEos: false },
  };
  for (const token of special) addToken(vocabulary, token);
  return vocabulary;
}

const refuse = (path: string, key: string, found: unknown, expected: string) =>
  new GrokError("unsupported", `${path}: ${key} is ${shown(found)}, expected ${expected}`, { path, key });

function readTokens(path: string, key: string, value: unknown, vocab: number): Token[] {
  if (!Array.isArray(value))
    throw new GrokError("format", `${path}: ${key} is ${shown(value)}, expected a list`, { path, key });
  return value.map((item, i) => {
    const bytes: unknown = item?.bytes;
    const wrong = !Array.isArray(bytes) || bytes.length === 0 || bytes.length > longestToken;
    if (wrong || !bytes.every((byte) => Number.isInteger(byte) && byte >= 0 && byte < 256)) {
      throw new GrokError("format", `${path}: ${key}[${i}] has no bytes, or more than ${longestToken}`, { path, key });
    }
    return { bytes: Uint8Array.from(bytes), id: checkId(path, `${key}[${i}]`, item.token, vocab) };
  });
}

/**
 * The pairs that make each token, in the order of their ranks: what tiktoken merges a token's bytes to with the ranks below its own. A
 * token that no two others make is one that tiktoken gives for a whole piece alone; in a GGUF file of this kind it has no merge, and
 * its parts come in its place.
 */
function mergesOf(regular: readonly Token[]): string[] {
  const key = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  const ranks = new Map(regular.map(({ bytes, id }) => [key(bytes), id]));
  const byRank = regular.filter(({ bytes }) => bytes.length > 1).sort((a, b) => a.id - b.id);
  const merges: string[] = [];
  for (const { bytes, id } of byRank) {
    const parts = mergeBelow(key(bytes), ranks, id);
    if (parts.length !== 2) continue;
    merges.push(parts.map((part) => encodeAlphabet(Buffer.from(part, "latin1"))).join(" "));
  }
  return merges;
}

/** Merges the pair of the lowest rank, as long as one is below `most`. */
function mergeBelow(text: string, ranks: ReadonlyMap<string, number>, most: number): string[] {
  const parts = [...text];
  for (;;) {
    let best = -1;
    let lowest = most;
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = ranks.get(parts[i]! + parts[i + 1]!);
      if (rank !== undefined && rank < lowest) [best, lowest] = [i, rank];
    }
    if (best < 0) return parts;
    parts.splice(best, 2, parts[best]! + parts[best + 1]!);
  }
}
