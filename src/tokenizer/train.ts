/** Training of a SentencePiece BPE model: from texts to the bytes of a `tokenizer.model`. */

import { toUtf8 } from "../bytes/utf8.ts";
import { GrokError, whyNotText } from "../errors.ts";
import { maxPieceBytes } from "./pieces.ts";
import { createMessage } from "./protobuf-write.ts";
import { pieceTypes } from "./tokenizer.ts";
import { chooseCharacters, learnMerges } from "./train-merges.ts";
import { anyOf, countWords, type WordCounts } from "./train-words.ts";

export interface TokenizerTrainingOptions {
  /** Pieces in all: the four of every model, markers, 256 bytes, characters and what was learned. */
  readonly vocabSize: number;
  /**
   * Markers that only the program can put into a text, such as those of a chat template: ordinary text that has the same
   * characters is never taken for them. Default none.
   */
  readonly controlSymbols?: readonly string[];
  /** Strings of ordinary text that are always one token, such as "\n". Default none. */
  readonly userSymbols?: readonly string[];
  /** Share of the texts' characters that get pieces of their own; the others fall back to bytes. Default 0.9995. */
  readonly characterCoverage?: number;
  /** Characters of a piece at most. Default 16. */
  readonly maxPieceLength?: number;
  /** Strings that part texts and are not learned from. Default `<|endoftext|>`. */
  readonly separators?: readonly string[];
}

export const defaultTokenizerTraining = {
  controlSymbols: [],
  userSymbols: [],
  characterCoverage: 0.9995,
  maxPieceLength: 16,
  separators: ["<|endoftext|>"],
} as const satisfies Omit<TokenizerTrainingOptions, "vocabSize">;

export interface TrainedTokenizer {
  /** The `tokenizer.model` (ModelProto). */
  readonly bytes: Uint8Array;
  readonly vocabSize: number;
  /** Single characters among the pieces. */
  readonly characters: number;
  /** Pieces learned by joining. */
  readonly learned: number;
  /** Different words in the texts. */
  readonly words: number;
}

/** Gathers texts, then trains. */
export interface TokenizerTrainer {
  /** Counts a text. Lines are sentences: a text may come in parts that end with a line. */
  add(text: string): void;
  /** @throws GrokError `argument` when the texts do not have what the vocabulary asks for. */
  train(): TrainedTokenizer;
}

/** Ids and names as in Grok-1's own model: padding 0, beginning 1, end 2, unknown 3. */
const namedPieces = [
  ["[PAD]", pieceTypes.control],
  ["[BOS]", pieceTypes.control],
  ["[EOS]", pieceTypes.control],
  ["[UNK]", pieceTypes.unknown],
] as const;

/**
 * A trainer of SentencePiece BPE models like Grok-1's own: identity normalization with the dummy prefix, byte fallback,
 * digits one by one, pieces of one script, pieces of spaces alone allowed.
 *
 * @throws GrokError `argument` for options out of their range.
 */
export function createTokenizerTrainer(options: TokenizerTrainingOptions): TokenizerTrainer {
  const settings = { ...defaultTokenizerTraining, ...options };
  checkOptions(settings);
  const meta: (readonly [string, number])[] = [
    ...namedPieces,
    ...settings.controlSymbols.map((name) => [name, pieceTypes.control] as const),
    ...settings.userSymbols.map((name) => [name, pieceTypes.userDefined] as const),
    ...Array.from({ length: 256 }, (_, byte) => [byteName(byte), pieceTypes.byte] as const),
  ];
  const reserved = anyOf([...meta.map(([name]) => name.replaceAll("\u2581", " ")), ...settings.separators]);
  const counts: WordCounts = new Map();
  return {
    add(text) {
      const why = whyNotText(text);
      if (why !== undefined) throw new GrokError("argument", `tokenizer training: a text is none: ${why}`);
      countWords(text, counts, reserved);
    },
    train() {
      if (counts.size === 0) throw new GrokError("argument", "tokenizer training: the texts are empty");
      // Control characters stay out, a NUL and a tab above all, as in the library; user-defined pieces exist already.
      const without = new Set(["\u0000", "\t", " ", "\u2585", ...settings.userSymbols]);
      const characters = chooseCharacters(counts, settings.characterCoverage, without);
      const wanted = settings.vocabSize - meta.length - characters.length;
      if (wanted < 0) {
        const least = meta.length + characters.length;
        throw new GrokError(
          "argument",
          `tokenizer training: a vocabulary of ${settings.vocabSize} is too small: ${meta.length} markers and bytes and ${characters.length} characters make ${least}`,
          { vocabSize: settings.vocabSize, least },
        );
      }
      const learned = learnMerges(counts, characters, wanted, { maxPieceLength: settings.maxPieceLength });
      if (learned.length < wanted) {
        const most = meta.length + characters.length + learned.length;
        throw new GrokError(
          "argument",
          `tokenizer training: a vocabulary of ${settings.vocabSize} is too large: the texts have pairs for ${most} pieces`,
          { vocabSize: settings.vocabSize, most },
        );
      }
      return {
        bytes: writeModel(settings, meta, [...learned, ...characters]),
        vocabSize: settings.vocabSize,
        characters: characters.length,
        learned: learned.length,
        words: counts.size,
      };
    },
  };
}

function byteName(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

function checkOptions(settings: Required<TokenizerTrainingOptions>): void {
  const fail = (what: string): never => {
    throw new GrokError("argument", `tokenizer training: ${what}`);
  };
  const { vocabSize, characterCoverage, maxPieceLength } = settings;
  if (!Number.isSafeInteger(vocabSize) || vocabSize < 261 || vocabSize > 1 << 20) {
    fail(`vocabulary size ${vocabSize}: expected a whole number from 261 to ${1 << 20}`);
  }
  if (!(characterCoverage > 0 && characterCoverage <= 1)) {
    fail(`character coverage ${characterCoverage}: expected a share above 0, at most 1`);
  }
  if (!Number.isSafeInteger(maxPieceLength) || maxPieceLength < 1 || maxPieceLength > 64) {
    fail(`longest piece ${maxPieceLength}: expected a whole number from 1 to 64`);
  }
  const seen = new Set<string>(namedPieces.map(([name]) => name));
  for (const symbol of [...settings.controlSymbols, ...settings.userSymbols]) {
    if (symbol === "" || symbol.includes("\u0000") || /^<0x[0-9A-F]{2}>$/.test(symbol)) {
      fail(`${JSON.stringify(symbol)} cannot be a symbol`);
    }
    if (toUtf8(symbol).length >= maxPieceBytes) fail(`a symbol has ${symbol.length} characters, which is too long`);
    if (seen.has(symbol)) fail(`the symbol ${JSON.stringify(symbol)} stands twice`);
    seen.add(symbol);
  }
}

/** ModelProto of sentencepiece_model.proto: pieces (1), trainer_spec (2), normalizer_spec (3). */
function writeModel(
  settings: Required<TokenizerTrainingOptions>,
  meta: readonly (readonly [string, number])[],
  learned: readonly string[],
): Uint8Array {
  const trainer = createMessage()
    .integer(3, 2) // model_type: BPE
    .integer(4, settings.vocabSize)
    .float(10, settings.characterCoverage)
    .integer(20, settings.maxPieceLength)
    .integer(21, 1) // split_by_unicode_script
    .integer(22, 1) // split_by_whitespace
    .integer(23, 1) // split_by_number
    .integer(24, 0) // treat_whitespace_as_suffix
    .integer(25, 1) // split_digits
    .integer(26, 1); // allow_whitespace_only_pieces
  for (const symbol of settings.controlSymbols) trainer.text(30, symbol);
  for (const symbol of settings.userSymbols) trainer.text(31, symbol);
  trainer
    .integer(35, 1) // byte_fallback
    .integer(40, 3) // unk_id
    .integer(41, 1) // bos_id
    .integer(42, 2) // eos_id
    .integer(43, 0) // pad_id
    .text(45, "[UNK]")
    .text(46, "[BOS]")
    .text(47, "[EOS]")
    .text(48, "[PAD]");
  const normalizer = createMessage()
    .text(1, "identity")
    .integer(3, 1) // add_dummy_prefix
    .integer(4, 0) // remove_extra_whitespaces
    .integer(5, 1); // escape_whitespaces

  const model = createMessage();
  for (const [name, type] of meta) {
    model.message(1, createMessage().text(1, name).float(2, 0).integer(3, type));
  }
  for (const [rank, piece] of learned.entries()) {
    model.message(1, createMessage().text(1, piece).float(2, -rank));
  }
  return model.message(2, trainer).message(3, normalizer).bytes();
}
