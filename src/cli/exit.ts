import { CommanderError } from "commander";
import { type ErrorCode, GrokError } from "../errors.ts";
import { escapeLine, escapeUnseen } from "./terminal.ts";

/** The one table from error codes to exit status: 0 done, 1 failed, 2 used wrongly, 130 interrupted. */
const statusOf: Readonly<Record<ErrorCode, number>> = {
  io: 1,
  format: 1,
  unsupported: 1,
  shape: 1,
  capacity: 1,
  internal: 1,
  "not-found": 1,
  denied: 1,
  forbidden: 1,
  "too-large": 1,
  busy: 1,
  limited: 1,
  refused: 1,
  argument: 2,
  cancelled: 130,
};

export const interruptedStatus = 130;

/** What a failed command leaves behind: its exit status and, where something is to be said, one line for people. */
export interface Failure {
  readonly status: number;
  readonly message: string | undefined;
}

/** A command line that cannot be carried out as written. */
export function usageError(message: string): GrokError {
  return new GrokError("argument", message);
}

/** Options of the command line that are not called what the library's are. */
const optionNames: Readonly<Record<string, string>> = { contextLength: "context", adapters: "lora", copies: "copy" };

/** A message that begins with a library's option, about the flag, variable or entry that people gave it by. */
function nameOption({ message, details: { option } }: GrokError, nameSource: (option: string) => string): string {
  if (typeof option !== "string" || !message.startsWith(`${option} `)) return message;
  return `${nameSource(optionNames[option] ?? option)}${message.slice(option.length)}`;
}

/**
 * The message says everything there is to say about a {@link GrokError}; anything else is a defect and shows its stack. `nameSource`
 * says what an option is known by to who gave it.
 */
export function failureOf(error: unknown, nameSource: (option: string) => string): Failure {
  // commander has already printed its own message, help or version.
  if (error instanceof CommanderError) return { status: error.exitCode === 0 ? 0 : 2, message: undefined };
  if (error instanceof GrokError) {
    const message = error.code === "cancelled" ? undefined : escapeLine(nameOption(error, nameSource));
    return { status: statusOf[error.code], message };
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { status: statusOf.internal, message: `a defect in grok1, please report it: ${escapeUnseen(text)}` };
}
