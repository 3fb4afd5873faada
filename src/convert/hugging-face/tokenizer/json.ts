/** The tokenizers library's `tokenizer.json`: byte-level BPE, and SentencePiece's BPE as that library writes it. */
import { readJsonObject } from "../../../bytes/whole-file.ts";
import { GrokError, shown } from "../../../errors.ts";
import { byteOfPiece } from "../../../tokenizer/sentencepiece-model.ts";
import { pieceTypes } from "../../../tokenizer/tokenizer.ts";
import { findPreTokenizer, flatten } from "./pre-tokenizer.ts";
import { type AddedToken, addToken, checkId, emptyTokens, type SpecialTokens, type Vocabulary } from "./vocabulary.ts";

type Json = Readonly<Record<string, unknown>>;

/** Characters of a piece that merges make: what parts it in two is looked for at each of them. */
const longestPiece = 1024;

/** The largest published one has 34 MB. */
const maxJsonBytes = 2 ** 27;

export interface TokenizerJson {
  readonly path: string;
  readonly content: Json;
  readonly model: Json;
  readonly added: readonly AddedToken[];
  /** Whether it is SentencePiece's BPE, which has bytes as pieces of their own. */
  readonly byteFallback: boolean;
}

export function readTokenizerJson(path: string): TokenizerJson {
  const content = readJsonObject(path, maxJsonBytes);
  const model = object(content.model);
  if (model === undefined) throw new GrokError("format", `${path}: there is no model in it`, { path });
  // Files before 2021 do not name the type of their model.
  const type = model.type ?? (Array.isArray(model.merges) ? "BPE" : undefined);
  if (type !== "BPE") throw refuse(path, "model.type", type, "BPE");
  const added = list(path, "added_tokens", content.added_tokens ?? []).map((item) => readAdded(path, item));
  return { path, content, model, added, byteFallback: model.byte_fallback === true };
}

export function readAdded(path: string, item: unknown, id = object(item)?.id): AddedToken {
  const token = object(item);
  if (token === undefined || typeof token.content !== "string" || !Number.isSafeInteger(id) || (id as number) < 0) {
    throw new GrokError("format", `${path}: an added token without a content or an id`, { path });
  }
  if (token.single_word === true) throw refuse(path, `single_word of ${shown(token.content)}`, true, "false");
  return { id: id as number, content: token.content, special: token.special === true };
}

const refuse = (path: string, what: string, found: unknown, expected: string) =>
  new GrokError("unsupported", `${path}: ${what} is ${shown(found)}, expected ${expected}`, { path, field: what });

function object(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function list(path: string, what: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new GrokError("format", `${path}: ${what} is ${shown(value)}, expected a list`, { path, field: what });
}

/** The vocabulary of a model with `vocab` rows in its embedding. */
export function vocabularyOf(json: TokenizerJson, vocab: number, isGrok: boolean): Vocabulary {
  const { path, model, added } = json;
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if (model[key] !== undefined && model[key] !== null && model[key] !== "")
      throw refuse(path, `model.${key}`, model[key], "none");
  }
  const entries = Object.entries(object(model.vocab) ?? {});
  const { tokens, types } = emptyTokens(vocab);
  for (const [token, id] of entries) {
    tokens[checkId(path, token, id, vocab)] = token;
    types[id as number] = pieceTypes.normal;
  }
  const pairs = readMerges(json);
  const own = readTemplate(json);
  const vocabulary = json.byteFallback
    ? sentencePiece(json, { tokens, types, own }, pairs)
    : byteLevel(json, { tokens, types, own }, pairs, isGrok);
  for (const token of added) {
    if (types[token.id] !== pieceTypes.unknown) addToken(vocabulary, token);
  }
  return vocabulary;
}

/** Pairs in the order in which they merge. */
function readMerges({ path, model }: TokenizerJson): (readonly [string, string])[] {
  return list(path, "model.merges", model.merges).map((merge, rank) => {
    const pair = typeof merge === "string" ? merge.split(" ") : merge;
    if (Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === "string" && part !== "")) {
      return pair as [string, string];
    }
    throw new GrokError("format", `${path}: merge ${rank} is ${shown(merge)}, expected two tokens`, { path, rank });
  });
}

type Parts = Pick<Vocabulary, "tokens" | "types" | "own">;

function byteLevel(
  json: TokenizerJson,
  parts: Parts,
  pairs: readonly (readonly [string, string])[],
  isGrok: boolean,
): Vocabulary {
  const { path, content, model } = json;
  refuseNormalizer(path, content.normalizer);
  const pre = findPreTokenizer(path, content.pre_tokenizer, model.ignore_merges === true, isGrok);
  // A space inside a token is no part of the alphabet, but the format parts pairs by one.
  const spelled = (part: string) => part.replaceAll(" ", "Ġ");
  return {
    ...{ source: path, model: "gpt2", pre, ...parts, more: [] },
    merges: pairs.map(([a, b]) => `${spelled(a)} ${spelled(b)}`),
  };
}

function refuseNormalizer(path: string, normalizer: unknown): void {
  const found = object(normalizer);
  if (found === undefined || (found.type === "Sequence" && list(path, "normalizers", found.normalizers).length === 0))
    return;
  throw refuse(path, "normalizer", found.type, "none");
}

/**
 * SentencePiece ranks pieces where the tokenizers library ranks pairs. Both are the same where all pairs that make a piece follow one
 * another, and every way to part a piece in two is among them: the piece's score is then the rank of its pairs.
 */
function sentencePiece(json: TokenizerJson, parts: Parts, pairs: readonly (readonly [string, string])[]): Vocabulary {
  const { path, content, model } = json;
  const { tokens, types } = parts;
  const ids = new Map(tokens.map((token, id) => [token as string, id]));
  const scores = Float32Array.from(types, (type) => (type === pieceTypes.unused ? -10000 : 0));
  const found = new Map<string, number>();
  let last = "";
  for (const [rank, [a, b]] of pairs.entries()) {
    const piece = a + b;
    const id = piece.length > longestPiece ? undefined : ids.get(piece);
    if (id === undefined)
      throw new GrokError("format", `${path}: merge ${rank} makes ${shown(piece)}, which is no token`, { path, rank });
    const count = found.get(piece) ?? 0;
    if (count > 0 && piece !== last) throw apart(path, piece);
    if (count === 0) scores[id] = -found.size;
    found.set(piece, count + 1);
    last = piece;
  }
  for (const [piece, count] of found) {
    const points = [...piece];
    let ways = 0;
    let left = "";
    for (const point of points.slice(0, -1)) {
      left += point;
      if (ids.has(left) && ids.has(piece.slice(left.length))) ways++;
    }
    if (ways !== count) throw apart(path, piece);
  }
  for (const [token, id] of ids) {
    if (byteOfPiece(token) >= 0) types[id] = pieceTypes.byte;
    else if (token === model.unk_token) types[id] = pieceTypes.unknown;
  }
  const unknown = typeof model.unk_token === "string" ? ids.get(model.unk_token) : undefined;
  return {
    ...{ source: path, model: "llama", pre: "default", tokens, types, scores },
    own: { ...parts.own, unknown },
    more: [["add_space_prefix", { type: "bool", value: addsSpace(path, content) }]],
  };
}

const apart = (path: string, piece: string) =>
  new GrokError(
    "unsupported",
    `${path}: the merges that make ${shown(piece)} are not SentencePiece's: bring the tokenizer.model that they were made of`,
    { path },
  );

/** Whether a text gets a space in front, which a `Prepend` normalizer or a `Metaspace` pre-tokenizer says. */
function addsSpace(path: string, { normalizer, pre_tokenizer }: Json): boolean {
  let adds = false;
  let replaces = false;
  for (const step of flatten(normalizer, "normalizers")) {
    const pattern = object(step.pattern)?.String;
    if (step.type === "Prepend" && step.prepend === "▁") adds = true;
    else if (step.type === "Replace" && pattern === " " && step.content === "▁") replaces = true;
    else throw refuse(path, "a normalizer", step.type, 'Prepend "▁" and Replace " "');
  }
  for (const step of flatten(pre_tokenizer)) {
    if (step.type !== "Metaspace" || step.replacement !== "▁")
      throw refuse(path, "a pre-tokenizer", step.type, "Metaspace");
    // Words are cut apart only where the file says so, and older files say so by keeping silent.
    if (step.split !== false) throw refuse(path, "split of the pre-tokenizer Metaspace", step.split, "false");
    replaces = true;
    adds = (step.prepend_scheme ?? (step.add_prefix_space === false ? "never" : "always")) !== "never";
  }
  if (replaces) return adds;
  throw new GrokError("unsupported", `${path}: spaces do not become "▁", as they do in SentencePiece's texts`, {
    path,
  });
}

/** What the post-processor puts around a text: bos before, eos behind, or neither. */
function readTemplate({ path, content, added, model }: TokenizerJson): SpecialTokens {
  const idOf = (name: unknown): number | undefined => {
    const id = added.find((token) => token.content === name)?.id ?? object(model.vocab)?.[name as string];
    return typeof id === "number" ? id : undefined;
  };
  const processor = object(content.post_processor);
  if (processor === undefined) return {};
  const all = processor.type === "Sequence" ? list(path, "processors", processor.processors).map(object) : [processor];
  let special: SpecialTokens = {};
  for (const each of all) {
    if (each?.type === "ByteLevel") continue;
    if (each?.type !== "TemplateProcessing")
      throw refuse(path, "a post-processor", each?.type, "TemplateProcessing or ByteLevel");
    const single = list(path, "post_processor.single", each.single).map(object);
    const at = single.findIndex((item) => item?.Sequence !== undefined);
    const names = single.map((item) => object(item?.SpecialToken)?.id);
    if (at < 0 || at > 1 || single.length > at + 2)
      throw refuse(path, "post_processor.single", single, "at most a token before and one behind");
    const [before, behind] = [at === 1 ? names[0] : undefined, names[at + 1]];
    special = {
      ...{ addBos: before !== undefined, addEos: behind !== undefined },
      ...(before === undefined ? {} : { bos: idOf(before) }),
      ...(behind === undefined ? {} : { eos: idOf(behind) }),
    };
  }
  return special;
}
