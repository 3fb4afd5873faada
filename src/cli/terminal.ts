import type { WriteStream } from "node:tty";
import { displayWidth } from "./wrap.ts";

/**
 * What text looks like on the way to a terminal. Text that a model, a file or an error message brings along is not
 * trusted: printed as it is, it could move the cursor, change the window's title or answer for the user.
 */

// C0 without tab and line feed, DEL, and C1, whose members are one-character forms of ESC sequences.
const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

// What has no shape of its own, but changes what is seen of the rest: control and format characters (directions, zero width, tags),
// other line ends, half characters and fillers. The two that choose how an emoji looks stay.
const unseen = /(?!\t|\n|\ufe0e|\ufe0f)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * For what a model answers: every control character but tab and line feed in a visible form, such as `\x1b`. Joiners and marks of
 * direction stay: scripts and emoji need them.
 */
export function escapeControl(text: string): string {
  return text.replace(control, escaped);
}

/** For text from files and errors: every character that is not seen as such, but for tab and line feed, as `\x1b`, `\u202e`, `\u{e0041}`. */
export function escapeUnseen(text: string): string {
  return text.replace(unseen, escaped);
}

/** The same for text that has to stay on one line: line feeds and tabs are shown as `\n` and `\t`. */
export function escapeLine(text: string): string {
  return escapeUnseen(text).replaceAll("\n", "\\n").replaceAll("\t", "\\t");
}

function escaped(character: string): string {
  const code = character.codePointAt(0)!.toString(16);
  if (code.length <= 2) return `\\x${code.padStart(2, "0")}`;
  return code.length <= 4 ? `\\u${code.padStart(4, "0")}` : `\\u{${code}}`;
}

/** One JSON document, indented; what {@link escapeUnseen} escapes and JSON lets through is escaped too, to the same value. */
export function jsonDocument(value: unknown): string {
  const text = JSON.stringify(value, (_, part) => (typeof part === "bigint" ? part.toString() : part), 2);
  return text.replace(unseen, (character) =>
    [...Array(character.length).keys()]
      .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

type Output = NodeJS.WritableStream & Partial<Pick<WriteStream, "isTTY" | "columns">>;

/** Whether cursor movement and attributes are understood: a terminal, and not a dumb one. */
export function isRich(stream: Output, environment: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && environment.TERM !== "dumb";
}

/** Whether to use attributes such as dim; NO_COLOR after no-color.org: set and not empty means no. */
export function hasColor(stream: Output, environment: NodeJS.ProcessEnv): boolean {
  return isRich(stream, environment) && !environment.NO_COLOR;
}

export function dim(text: string, color: boolean): string {
  return color ? `\u001b[2m${text}\u001b[22m` : text;
}

export function bold(text: string, color: boolean): string {
  return color ? `\u001b[1m${text}\u001b[22m` : text;
}

/** A line that is rewritten in place. Off a terminal it shows nothing. */
export interface Progress {
  show(text: string): void;
  clear(): void;
}

export function createProgress(stream: Output, environment: NodeJS.ProcessEnv): Progress {
  if (!isRich(stream, environment)) return { show() {}, clear() {} };
  let shown = 0;
  // 0: a terminal that was never told its size.
  const width = () => stream.columns || 80;
  // A window that became narrower has broken the line: its beginning is some rows further up.
  const back = () => {
    const rows = Math.ceil(shown / width()) - 1;
    return `${rows > 0 ? `\u001b[${rows}A` : ""}\r`;
  };
  return {
    show(text) {
      // A line that wraps could not be rewritten.
      const line = escapeLine(text).slice(0, width() - 1);
      stream.write(`${back()}${line}\u001b[J`);
      shown = displayWidth(line);
    },
    clear() {
      if (shown > 0) stream.write(`${back()}\u001b[J`);
      shown = 0;
    },
  };
}

/** Tokens a second: 1776.2 → "1776", 4.04 → "4.0". */
export function formatSpeed(tokens: number): string {
  if (!Number.isFinite(tokens)) return "?";
  return tokens >= 100 ? String(Math.round(tokens)) : tokens.toPrecision(2);
}

/** 134515008 → "134.5 M". */
export function formatCount(count: number): string {
  const units = ["", " k", " M", " B", " T"];
  let value = count;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? String(count) : `${value.toFixed(1)}${units[unit]}`;
}

/** What of the training data did not fit the context, as the rest of a sentence; nothing when all did. */
export function describePassedOver({
  skipped,
  truncated,
  empty,
  firstEmpty = "",
}: {
  readonly skipped: number;
  readonly truncated: number;
  readonly empty: number;
  readonly firstEmpty?: string;
}): string {
  return [
    skipped > 0 ? `, ${skipped} too long and skipped` : "",
    truncated > 0 ? `, ${truncated} truncated` : "",
    empty > 0 ? `, ${empty} without anything to learn and skipped (the first: ${escapeLine(firstEmpty)})` : "",
  ].join("");
}

/** 3725 → "1 h 2 min", 65 → "1 min 5 s", 4.2 → "4.2 s". */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Rows in aligned columns, two spaces apart; `right` names the columns that align to the right. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows
    .map((row) => row.map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))))
    .map((cells) => `${cells.join("  ").trimEnd()}\n`)
    .join("");
}
