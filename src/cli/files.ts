import { readTextStream } from "../bytes/text-file.ts";

/** What standard input is called in messages. */
export const standardInput = "standard input";

/** All of standard input, as text. @throws GrokError as `readTextStream`. */
export function readStandardInput(): Promise<string> {
  return readTextStream(process.stdin, standardInput);
}
