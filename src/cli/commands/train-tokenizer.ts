import { type Command, InvalidArgumentError } from "commander";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { checkDestination } from "../../bytes/destination.ts";
import { readTextLines } from "../../bytes/text-file.ts";
import { counted, GrokError } from "../../errors.ts";
import { createTokenizerTrainer, defaultTokenizerTraining } from "../../tokenizer/train.ts";
import { createProgress, formatSeconds, jsonDocument } from "../terminal.ts";
import { integer, number, path, type Reader, repeated, text } from "../values.ts";

interface TrainTokenizerOptions {
  readonly out: string;
  readonly vocabSize: number;
  readonly controlSymbol?: readonly string[];
  readonly userSymbol?: readonly string[];
  readonly separator?: readonly string[];
  readonly characterCoverage: number;
  readonly maxPieceLength: number;
  readonly json?: true;
}

export function addTrainTokenizer(program: Command): void {
  const defaults = defaultTokenizerTraining;
  program
    .command("train-tokenizer")
    .description("Learn a SentencePiece BPE tokenizer (byte fallback, single digits) from text files.")
    .argument("<files...>", "text files in UTF-8")
    .requiredOption("--out <file>", "where the tokenizer.model goes", path())
    .requiredOption("--vocab-size <n>", "pieces in all", integer(261, 1 << 20))
    .option(
      "--control-symbol <text>",
      "a marker that no text can write, for chat templates (repeatable)",
      repeated(text()),
    )
    .option("--user-symbol <text>", 'text that is always one token, such as "\\n" (repeatable)', repeated(escaped()))
    .option("--separator <text>", "text to leave out (repeatable; default: <|endoftext|>)", repeated(text()))
    .option(
      "--character-coverage <share>",
      "share of the characters that get a piece; the others fall back to bytes",
      number(0.5, 1),
      defaults.characterCoverage,
    )
    .option("--max-piece-length <n>", "characters of a piece at most", integer(1, 64), defaults.maxPieceLength)
    .option("--json", "one JSON document")
    .action(trainTokenizer);
}

async function trainTokenizer(files: readonly string[], options: TrainTokenizerOptions): Promise<void> {
  checkDestination(options.out, files, "one of the texts");
  const start = performance.now();
  const progress = createProgress(process.stderr, process.env);
  const trainer = createTokenizerTrainer({
    vocabSize: options.vocabSize,
    characterCoverage: options.characterCoverage,
    maxPieceLength: options.maxPieceLength,
    ...(options.controlSymbol && { controlSymbols: options.controlSymbol }),
    ...(options.userSymbol && { userSymbols: options.userSymbol }),
    ...(options.separator && { separators: options.separator }),
  });
  let bytes = 0;
  try {
    for (const [index, path] of files.entries()) {
      progress.show(`${index + 1}/${files.length}  ${path}`);
      let empty = true;
      for (const part of readTextLines(path)) {
        empty = false;
        bytes += Buffer.byteLength(part);
        trainer.add(part);
      }
      if (empty) throw new GrokError("format", `${path}: the file is empty`, { path });
    }
    progress.show("learning");
    const trained = trainer.train();
    await writeAtomic(options.out, [trained.bytes]);
    progress.clear();
    const { vocabSize, characters, learned, words } = trained;
    const seconds = (performance.now() - start) / 1000;
    process.stdout.write(
      options.json
        ? `${jsonDocument({ out: options.out, vocabSize, characters, learned, words, bytes, seconds })}\n`
        : `${options.out}: ${counted(vocabSize, "piece")}, ${learned} learned from ${counted(words, "different word")}, ${counted(characters, "character")} (${formatSeconds(seconds)})\n`,
    );
  } finally {
    progress.clear();
  }
}

/** `\n`, `\t` and `\\` in an option are a line end, a tab and a backslash. */
function escaped(): Reader<string> {
  const meanings: Readonly<Record<string, string>> = { n: "\n", t: "\t", "\\": "\\" };
  const nonEmpty = text();
  return (value) =>
    nonEmpty(value).replace(/\\(.?)/gs, (whole, letter: string) => {
      const meaning = meanings[letter];
      if (meaning === undefined) throw new InvalidArgumentError(`Expected \\n, \\t or \\\\, found ${whole}.`);
      return meaning;
    });
}
