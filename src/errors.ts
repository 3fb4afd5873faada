/**
 * The one error type of grok1. An error is data: a `code` to branch on, `details` to show or log, and a message that
 * names the file, the place in it, and what was expected.
 */
export type ErrorCode =
  /** A file could not be opened, read, mapped or written. */
  | "io"
  /** A file's bytes contradict its format: truncated, damaged or hostile. */
  | "format"
  /** Well-formed, but something grok1 does not run: an architecture, a tensor type, a tokenizer. */
  | "unsupported"
  /** A tensor is missing or its shape is not the one the model's metadata asks for. */
  | "shape"
  /** A caller's argument or option is out of its range. */
  | "argument"
  /** A request needs more context, pages or memory than there is. */
  | "capacity"
  /** The caller cancelled. */
  | "cancelled"
  /** A broken promise inside grok1: a defect, please report it. */
  | "internal";

export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | readonly (string | number)[]>>;

export class GrokError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "GrokError";
    this.code = code;
    this.details = details;
  }
}
