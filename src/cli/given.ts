import { readFileSync } from "node:fs";
import { checkText } from "../bytes/text.ts";
import { usageError } from "./exit.ts";

/**
 * What Node could not read as UTF-8 of arguments and variables, it gives as U+FFFD. Linux tells the bytes themselves.
 * @throws GrokError `argument` naming the argument or variable
 */
export function checkGiven(argv: readonly string[], environment: NodeJS.ProcessEnv): void {
  if (argv.some(isDoubtful)) {
    const given = entriesOf("cmdline").slice(2 - argv.length);
    for (const [i, bytes] of given.entries()) checkBytes(bytes, `argument ${i + 1}`);
  }
  if (!Object.entries(environment).some(([name, value]) => isOurs(name) && isDoubtful(value ?? ""))) return;
  for (const bytes of entriesOf("environ")) {
    const [name] = bytes.toString("latin1").split("=", 1);
    if (isOurs(name!)) checkBytes(bytes.subarray(name!.length + 1), name!);
  }
}

const isOurs = (name: string) => name.startsWith("GROK1_");
const isDoubtful = (text: string) => text.includes("\ufffd");

/** Each ends with NUL; none where the system is another. */
function entriesOf(file: "cmdline" | "environ"): readonly Buffer[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(`/proc/self/${file}`);
  } catch {
    return [];
  }
  const entries: Buffer[] = [];
  for (let start = 0, end = 0; start < bytes.length; start = end + 1) {
    const found = bytes.indexOf(0, start);
    end = found < 0 ? bytes.length : found;
    entries.push(bytes.subarray(start, end));
  }
  return entries;
}

function checkBytes(bytes: Buffer, name: string): void {
  try {
    checkText(bytes, name);
  } catch (error) {
    throw usageError((error as Error).message);
  }
}
