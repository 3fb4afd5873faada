import { type CallsReader, createCallsReader, mostSpace } from "./calls-reader.ts";
import type { AnswerPart } from "./parts.ts";
import type { AnswerSyntax, CallSyntax } from "./syntax.ts";

/** Tells the parts of an answer apart, as it comes. */
export interface AnswerReader {
  /** Takes more of it; gives what is certain. However a text is cut, its parts are the same together. */
  push(text: string): readonly AnswerPart[];
  /** The answer has ended: what was held back. */
  end(): readonly AnswerPart[];
}

export interface AnswerReaderOptions extends AnswerSyntax {
  /** Whether the prompt ends with the mark that opens a thought. */
  readonly thinks?: boolean;
  /** The tools that were offered, and the schemas of their arguments, by name; undefined: none were, and what looks like a call is text. */
  readonly tools?: ReadonlyMap<string, unknown> | undefined;
  /** Whether calls are held to a grammar, so that they have the mark that opens them. Default false. */
  readonly held?: boolean;
  /** Whether an answer that calls begins with that: in one that begins otherwise marks are text. Default false. */
  readonly callsFirst?: boolean;
}

/**
 * Thoughts stand at the beginning of an answer alone: a text may talk of `<think>`. What is marked as a call and is none stays text
 * as it was written.
 */
export function createAnswerReader(options: AnswerReaderOptions): AnswerReader {
  const { reasoning, calls, thinks = false, tools, callsFirst = false, held: isHeld = false } = options;
  const syntax = tools === undefined ? undefined : calls;
  const bare = syntax?.kind === "object" && syntax.bare === true;
  /** What opens calls; none: they can come no more. */
  let marks = syntax === undefined ? [] : openingsOf(syntax, isHeld);
  let parts: AnswerPart[] = [];
  /** Not yet told apart, the end of so much that was pushed. */
  let held = "";
  let pushed = 0;
  let state: "start" | "reasoning" | "text" | "calls" = thinks ? "reasoning" : reasoning ? "start" : "text";
  /** Whether whitespace that comes next is no part of anything. */
  let skips = thinks;
  /** Whether nothing of the text has come yet. */
  let first = true;
  let reader: CallsReader | undefined;
  let count = 0;

  const emit = (part: AnswerPart) => {
    if (part.type === "call") count = part.index + 1;
    const last = parts.at(-1);
    // Arguments come unit by unit.
    if (part.type === "arguments" && last?.type === "arguments") {
      parts[parts.length - 1] = { ...part, text: last.text + part.text };
    } else parts.push(part);
  };
  const give = (type: "text" | "reasoning", text: string) => {
    if (text === "") return;
    if (type === "reasoning") return emit({ type, text });
    first = false;
    emit({ type, text, at: pushed - held.length });
  };

  function skipSpace(): void {
    if (!skips) return;
    held = held.trimStart();
    skips = held === "";
  }

  /** Gives text up to the first of some marks, and takes that; or gives what can be no part of one. */
  function upTo(wanted: readonly string[], type: "text" | "reasoning", ended: boolean): string | undefined {
    skipSpace();
    const places = wanted.map((mark) => ({ mark, at: held.indexOf(mark) })).filter(({ at }) => at >= 0);
    if (places.length > 0) {
      const { mark, at } = places.reduce((one, other) => (other.at < one.at ? other : one));
      give(type, held.slice(0, at - spaceAtEnd(held.slice(0, at))));
      held = held.slice(at + mark.length);
      return mark;
    }
    // A thought that never ended ends without its whitespace all the same.
    const keeps = !ended
      ? Math.max(0, ...wanted.map((mark) => heldBack(held, mark)))
      : type === "text"
        ? 0
        : spaceAtEnd(held);
    const end = held.length - keeps;
    give(type, held.slice(0, end));
    held = ended ? "" : held.slice(end);
    return undefined;
  }

  function open(mark: string): void {
    const accepts = (name: string) => mark !== "" || tools!.has(name);
    reader = createCallsReader({
      ...{ syntax: syntax!, opened: mark, first: count, accepts, emit, at: pushed - held.length - mark.length },
      parametersOf: (name) => tools!.get(name),
    });
    state = "calls";
  }

  /** Whether what comes next, behind whitespace, is one of some marks; undefined: not yet known. */
  function beginsWith(wanted: readonly string[], ended: boolean): boolean | undefined {
    const text = held.trimStart();
    if (held.length - text.length > mostSpace) return false;
    if (wanted.some((mark) => text.startsWith(mark))) return true;
    return !ended && wanted.some((mark) => mark.startsWith(text)) ? undefined : false;
  }

  /** @returns whether there is more to do */
  function step(ended: boolean): boolean {
    switch (state) {
      case "start": {
        const begins = beginsWith([reasoning!.open], ended);
        if (begins === undefined) return false;
        if (begins) {
          held = held.trimStart().slice(reasoning!.open.length);
          state = "reasoning";
          skips = true;
        } else state = "text";
        return true;
      }
      case "reasoning":
        if (upTo([reasoning!.close], "reasoning", ended) === undefined) return false;
        state = "text";
        skips = true;
        return true;
      case "text": {
        skipSpace();
        if (bare && first) {
          const text = held.trimStart();
          const near = held.length - text.length <= mostSpace;
          if (near && text === "" && !ended) return false;
          if (near && text.startsWith("{")) {
            open("");
            return true;
          }
        }
        if (callsFirst && marks.length > 0) {
          const begins = beginsWith(marks, ended);
          if (begins === undefined) return false;
          if (!begins) marks = [];
        }
        const mark = upTo(marks, "text", ended);
        if (mark === undefined) return false;
        open(mark);
        return true;
      }
      case "calls": {
        const before = parts.length;
        const rest = reader!.push(held, ended);
        held = rest ?? "";
        if (rest === undefined) return false;
        // Of what was no call the text goes on as it is.
        const last = parts.slice(before).at(-1)?.type;
        skips = last !== "text" && last !== "failed";
        if (callsFirst && !skips) marks = [];
        first = false;
        state = "text";
        return true;
      }
    }
  }

  function read(ended: boolean): readonly AnswerPart[] {
    while (step(ended)) if (held === "" && !ended) break;
    const read = parts;
    parts = [];
    return read;
  }

  return {
    push(text) {
      if (text === "") return [];
      held += text;
      pushed += text.length;
      return read(false);
    },
    end: () => read(true),
  };
}

/** What a call begins with. Models that learned Qwen3-Coder's way leave the outer mark out now and then. */
function openingsOf(syntax: CallSyntax, isHeld: boolean): readonly string[] {
  if (syntax.kind === "object") return [syntax.open];
  const { open, before } = syntax;
  if (open === undefined) return [before];
  return syntax.kind === "tagged" && !isHeld ? [open, before] : [open];
}

/** How much of a text's end must wait: what may be the beginning of a mark, and whitespace that may stand before one. */
function heldBack(text: string, mark: string): number {
  let partial = Math.min(mark.length - 1, text.length);
  while (partial > 0 && !text.endsWith(mark.slice(0, partial))) partial--;
  return partial + spaceAtEnd(text.slice(0, text.length - partial));
}

const spaceAtEnd = (text: string) => Math.min(text.length - text.trimEnd().length, mostSpace);
