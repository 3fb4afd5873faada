import { once } from "node:events";
import { type Command, Option } from "commander";
import { parseJson } from "../../bytes/json.ts";
import { readStreamLines } from "../../bytes/text-file.ts";
import { formatBytes, GrokError } from "../../errors.ts";
import { availableMemory } from "../../machine/limits.ts";
import { openTokenizer } from "../../tokenizer/open.ts";
import type { EncodeOptions, Tokenizer } from "../../tokenizer/tokenizer.ts";
import { usageError } from "../exit.ts";
import { readStandardInput, standardInput } from "../files.ts";
import { findModel } from "../open-model.ts";
import { addSettings } from "../settings.ts";
import { escapeLine } from "../terminal.ts";
import { anyText, path } from "../values.ts";

interface TokenizeOptions {
  readonly model?: string;
  readonly tokenizer?: string;
  readonly prompt?: string;
  readonly jsonl?: true;
  readonly bos?: true;
  readonly special?: true;
}

export function addTokenize(program: Command): void {
  const command = program
    .command("tokenize")
    .description("Turn text from standard input into token ids.")
    .option("--tokenizer <file>", "a SentencePiece tokenizer.model, or a model file (GGUF)", path());
  addSettings(command, ["model"])
    .option("--jsonl", 'read {"text"} and write {"ids","decoded"}, one a line')
    .addOption(
      new Option("-p, --prompt <text>", "this text in place of standard input").argParser(anyText()).conflicts("jsonl"),
    )
    .option("--bos", "put the beginning-of-text token first")
    .option("--special", "read control tokens such as <|im_start|> in the text as such");
  command.action(async (options: TokenizeOptions) => {
    const path = options.tokenizer ?? findModel(options);
    if (path === undefined) throw usageError("no tokenizer: name one with --tokenizer FILE or -m FILE");
    const tokenizer = openTokenizer(path);
    const encoding = { bos: options.bos === true, special: options.special === true };
    if (options.jsonl) await tokenizeLines(tokenizer, encoding);
    else await showTokens(tokenizer, options.prompt ?? (await readStandardInput()), encoding);
  });
}

/** Output is gathered up to this many characters a write. */
const gatherLength = 1 << 18;

async function tokenizeLines(tokenizer: Tokenizer, encoding: EncodeOptions): Promise<void> {
  let output = "";
  let number = 0;
  try {
    for await (const line of readStreamLines(process.stdin, standardInput)) {
      number++;
      if (line.trim() === "") continue;
      const ids = tokenizer.encode(textOf(line, number), encoding);
      output += `{"ids":[${ids.join(",")}],"decoded":${JSON.stringify(tokenizer.decode(ids))}}\n`;
      if (output.length < gatherLength) continue;
      await write(output);
      output = "";
    }
  } finally {
    // Also what came before a bad line.
    await write(output);
  }
}

function textOf(line: string, number: number): string {
  let entry: unknown;
  try {
    entry = parseJson(line);
  } catch (error) {
    const message = `${standardInput}, line ${number}: expected JSON: ${(error as Error).message}`;
    throw new GrokError("format", message, { line: number }, error);
  }
  const found = typeof entry === "object" && entry !== null ? (entry as { text?: unknown }).text : undefined;
  if (typeof found === "string") return found;
  throw new GrokError("format", `${standardInput}, line ${number}: expected an object with "text"`, { line: number });
}

/** Of memory for each character of a text, measured with texts of 5 to 40 MB: byte-level BPE cuts texts into words first. */
const bytesPerCharacter = (kind: Tokenizer["kind"]): number => (kind === "byte-bpe" ? 13 : 40);

/** @throws GrokError `capacity` for a text whose tokens would take more memory than there is. */
export function checkRoom(
  { length }: Pick<string, "length">,
  { kind }: Pick<Tokenizer, "kind">,
  free = availableMemory(),
): void {
  const needed = length * bytesPerCharacter(kind);
  if (needed <= free) return;
  const message = `the text has ${length} characters, and tokenizing it at once takes up to ${formatBytes(needed)} of memory, of which ${formatBytes(free)} are there: give it in parts, such as line by line (--jsonl)`;
  throw new GrokError("capacity", message, { length, needed, free });
}

/** For people: one token a line, its id and its piece. */
async function showTokens(tokenizer: Tokenizer, content: string, encoding: EncodeOptions): Promise<void> {
  checkRoom(content, tokenizer);
  let output = "";
  for (const id of tokenizer.encode(content, encoding)) {
    output += `${String(id).padStart(7)}  ${escapeLine(tokenizer.piece(id))}\n`;
    if (output.length >= gatherLength) {
      await write(output);
      output = "";
    }
  }
  await write(output);
}

async function write(output: string): Promise<void> {
  if (output !== "" && !process.stdout.write(output)) await once(process.stdout, "drain");
}
