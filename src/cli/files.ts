import { readTextFile, readTextStream } from "../bytes/text-file.ts";
import { usageError } from "./exit.ts";

/** What standard input is called in messages. */
export const standardInput = "standard input";

/** All of standard input, as text. @throws GrokError as `readTextStream`. */
export function readStandardInput(): Promise<string> {
  return readTextStream(process.stdin, standardInput);
}

export interface PromptOptions {
  readonly prompt?: string;
  readonly file?: string;
}

/** The prompt that options name: a text, a file, or standard input as `-`. @throws GrokError `argument` where they name none. */
export async function readPrompt(options: PromptOptions): Promise<string> {
  if (options.prompt === undefined && options.file === undefined) {
    throw usageError("no prompt: give -p TEXT, -p - for standard input, or --file PATH");
  }
  if (options.prompt !== undefined && options.prompt !== "-") return options.prompt;
  const whole =
    options.prompt === "-" || options.file === "-" ? await readStandardInput() : readTextFile(options.file!);
  const prompt = whole.replace(/\r?\n$/, "");
  if (prompt === "") throw usageError(`the prompt is empty: ${options.file ?? "standard input"}`);
  return prompt;
}
