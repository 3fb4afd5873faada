import { toUtf8 } from "../bytes/utf8.ts";
import { describeValue, GrokError, whyNotText } from "../errors.ts";
import { createIdList, type IdList, pushId, takeIds } from "./ids.ts";
import { createPieceTable, hashRange, type Pieces, type PieceTable, pieceText } from "./pieces.ts";
import { finish, type Steps } from "./steps.ts";
import { type EncodeOptions, pieceTypes, type Tokenizer, type TokenizerInfo } from "./tokenizer.ts";

/** What every kind of tokenizer's model says of its vocabulary. */
export interface Vocabulary {
  /** The file, for messages. */
  readonly source: string;
  readonly pieces: Pieces;
  /** One of `pieceTypes` a piece. */
  readonly types: Uint8Array;
  readonly unknown?: number;
  readonly bos?: number;
  readonly eos?: number;
  readonly pad?: number;
  readonly addBos: boolean;
  readonly addEos: boolean;
  readonly endOfGeneration: ReadonlySet<number>;
}

/** @throws GrokError `argument` for an id that is not in the vocabulary. */
export function checkId({ pieces, source }: Vocabulary, id: number): void {
  if (Number.isInteger(id) && id >= 0 && id < pieces.count) return;
  throw new GrokError("argument", `${source}: token ${describeValue(id)} is not in the vocabulary of ${pieces.count}`, {
    source,
    id: typeof id === "number" ? id : describeValue(id),
  });
}

/** What differs between kinds of tokenizers. */
export interface Codec extends Pick<Tokenizer, "decoder" | "bytes"> {
  /** Adds a text's ids to `out`; with `special`, control tokens are read as such outside the `ordinary` ranges. */
  encodeText(text: string, special: boolean, ordinary: readonly number[], out: IdList): Steps;
}

/** A tokenizer: what follows from the vocabulary alone, around a codec. */
export function createFace(
  model: Vocabulary,
  info: Omit<TokenizerInfo, "vocabSize" | "counts">,
  { encodeText, decoder, bytes }: Codec,
): Tokenizer {
  const { pieces, types, source, bos, eos, pad, unknown, endOfGeneration, addBos, addEos } = model;
  const { kind } = info;
  const vocabSize = pieces.count;
  const kept = createIdList();
  let all: PieceTable | undefined;

  function* encode(text: string, options: EncodeOptions, out: IdList): Steps<Int32Array> {
    out.count = 0;
    if (typeof text !== "string") {
      throw new GrokError("argument", `${source}: what is to be encoded is ${describeValue(text)}, expected a text`, {
        source,
      });
    }
    const why = whyNotText(text);
    if (why !== undefined)
      throw new GrokError("argument", `${source}: what is to be encoded is no text: ${why}`, { source });
    if (options.bos) {
      if (bos === undefined) {
        throw new GrokError("argument", `${source}: the tokenizer has no beginning-of-text token`, { source });
      }
      pushId(out, bos);
    }
    yield* encodeText(text, options.special === true, options.ordinary ?? [], out);
    // A text that spells its beginning out has one already.
    if (options.bos && options.special && out.count > 1 && out.ids[1] === bos) {
      out.ids.copyWithin(0, 1, out.count);
      out.count--;
    }
    return takeIds(out);
  }

  return {
    ...{ kind, vocabSize, bos, eos, pad, unknown, endOfGeneration, addBos, addEos },
    info: { ...info, vocabSize, counts: countTypes(types) },
    encode: (text, options = {}) => finish(encode(text, options, kept)),
    encodeSteps: (text, options = {}) => encode(text, options, createIdList()),
    decode(ids, options = {}) {
      if (typeof ids !== "object" || ids === null) {
        throw new GrokError("argument", `${source}: the tokens are ${describeValue(ids)}, expected a list of ids`, {
          source,
        });
      }
      let list: readonly number[];
      try {
        list = Array.from(ids);
      } catch (error) {
        throw new GrokError(
          "argument",
          `${source}: the tokens cannot be read: ${(error as Error).message}`,
          { source },
          error,
        );
      }
      const stream = decoder(options);
      let text = "";
      for (const id of list) text += stream.push(id);
      return text + stream.end();
    },
    decoder,
    bytes,
    piece(id) {
      checkId(model, id);
      return pieceText(pieces, id);
    },
    idOf(piece) {
      if (!piece.isWellFormed()) return undefined;
      all ??= createPieceTable(pieces, source, undefined);
      const name = toUtf8(piece);
      const id = all.find(name, 0, name.length, hashRange(name, 0, name.length));
      return id < 0 ? undefined : id;
    },
  };
}

/** Number of pieces of each type. */
function countTypes(types: Uint8Array): TokenizerInfo["counts"] {
  const counts = new Uint32Array(256);
  for (let i = 0; i < types.length; i++) counts[types[i]!]!++;
  return {
    normal: counts[pieceTypes.normal]!,
    control: counts[pieceTypes.control]!,
    userDefined: counts[pieceTypes.userDefined]!,
    byte: counts[pieceTypes.byte]!,
    unused: counts[pieceTypes.unused]!,
  };
}
