/**
 * Text to token ids and back. One interface over SentencePiece models and byte-level BPE.
 *
 * Strings are encoded as UTF-8 first; one with a lone surrogate, which web encoders take for U+FFFD, is refused: it is no text.
 */

import type { Steps } from "./steps.ts";

/** Kinds of pieces, numbered as in SentencePiece's ModelProto and in GGUF's `tokenizer.ggml.token_type`. */
export const pieceTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** "none": what stands in for one that a model's file lacks. */
export type TokenizerKind = "sentencepiece-bpe" | "sentencepiece-unigram" | "byte-bpe" | "none";

export interface EncodeOptions {
  /** Read control tokens such as `<|im_start|>` in the text as such; otherwise they are ordinary text. Default false. */
  readonly special?: boolean;
  /**
   * Where a text has no control tokens in spite of `special`: ranges [from, to) of UTF-16 units, flat, ascending, never
   * touching. A control token has no character in them; ordinary tokens may cross their ends.
   */
  readonly ordinary?: readonly number[];
  /** Put the beginning-of-text token first. Default false. */
  readonly bos?: boolean;
}

export interface DecodeOptions {
  /** Show control tokens by their names; otherwise they are invisible. Default false. */
  readonly special?: boolean;
}

export interface StreamOptions extends DecodeOptions {
  /** The tokens go on after earlier text, so that a leading space of the first one is kept. Default false. */
  readonly continuation?: boolean;
}

/** Turns ids to text one by one. All that `push` gave, and `end`, is together exactly `decode` of the ids. */
export interface TokenStream {
  /** Text that is certain now: never part of a character. @throws GrokError `argument` for an id out of range. */
  push(id: number): string;
  /** What is left: U+FFFD for bytes that never became a character. The stream is then as new. */
  end(): string;
}

export interface TokenizerInfo {
  readonly kind: TokenizerKind;
  readonly vocabSize: number;
  /** Name of the pre-tokenizer, for byte-level BPE. */
  readonly preTokenizer?: string;
  readonly merges?: number;
  readonly byteFallback?: boolean;
  readonly addDummyPrefix?: boolean;
  readonly removeExtraWhitespaces?: boolean;
  readonly normalization?: "identity" | "charsmap";
  /** Pieces of texts that never come, since a later one has the same bytes. */
  readonly duplicates: number;
  readonly counts: {
    readonly normal: number;
    readonly control: number;
    readonly userDefined: number;
    readonly byte: number;
    readonly unused: number;
  };
}

export interface Tokenizer {
  readonly kind: TokenizerKind;
  readonly vocabSize: number;
  readonly bos?: number;
  readonly eos?: number;
  readonly pad?: number;
  readonly unknown?: number;
  /** Ids after which a model has nothing more to say: end of text, of turn, of message. */
  readonly endOfGeneration: ReadonlySet<number>;
  /** Whether the model's file asks for `bos` before, or `eos` after, a prompt. `encode` adds only what it is told to. */
  readonly addBos: boolean;
  readonly addEos: boolean;
  readonly info: TokenizerInfo;
  /** @throws GrokError `argument` for half a character; when `bos` is asked for and the model has none. */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /** The same in steps. Several texts may be under way. */
  encodeSteps(text: string, options?: EncodeOptions): Steps<Int32Array>;
  /** @throws GrokError `argument` for an id out of range. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** The bytes an id stands for inside a text; empty for control tokens. @throws GrokError `argument`. */
  bytes(id: number): Uint8Array;
  /** The id's name in the vocabulary, such as `▁the`, `<0x0A>` or `Ġthe`. @throws GrokError `argument`. */
  piece(id: number): string;
  /** The id with this name, if there is one. */
  idOf(piece: string): number | undefined;
  decoder(options?: StreamOptions): TokenStream;
}
