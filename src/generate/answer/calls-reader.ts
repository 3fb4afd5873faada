import { createArgumentsReader, createObjectReader, type ItemEvents, type ItemReader } from "./object-reader.ts";
import type { AnswerPart } from "./parts.ts";
import type { CallSyntax } from "./syntax.ts";
import { createTaggedReader } from "./tagged-reader.ts";

/** Reads the calls of one place in an answer, from behind the mark that opens it. */
export interface CallsReader {
  /**
   * Takes more text, or with `ended` the news that there is none. Gives what is no part of the calls any more, once they are over.
   */
  push(text: string, ended?: boolean): string | undefined;
}

export interface CallsOptions {
  readonly syntax: CallSyntax;
  /** The mark that was read: of what turns out to be no call it is a part. */
  readonly opened: string;
  /** Where that begins in all that was written. */
  readonly at: number;
  /** Index of the first call. */
  readonly first: number;
  /** Whether there may be a tool of this name. */
  readonly accepts: (name: string) => boolean;
  /** The schema of a tool's arguments, where it has one. */
  readonly parametersOf: (name: string) => unknown;
  readonly emit: (part: AnswerPart) => void;
}

/** Whitespace around marks is no part of a text, as far as it is held back: no further than this. */
export const mostSpace = 1024;

/** A name of a tool that is longer is none. */
const longestName = 256;

type Step = "wait" | "again" | "over" | "broken";

export function createCallsReader(options: CallsOptions): CallsReader {
  const { syntax, opened, first, accepts, parametersOf, emit } = options;
  /** Not yet taken. */
  let held = "";
  /** Since the last whole call, and where that begins. */
  let raw = opened;
  let { at } = options;
  let index = first;
  let begun = false;
  let item: ItemReader | undefined;
  let state: "between" | "name" | "item" | "after" = "between";
  let list: "none" | "open" | "closed" = "none";
  if (syntax.kind !== "object" && opened === syntax.before) state = "name";

  const events: ItemEvents = {
    begin(name) {
      if (!accepts(name)) return false;
      begun = true;
      emit({ type: "call", index, name });
      return true;
    },
    arguments: (text) => emit({ type: "arguments", index, text }),
  };

  function take(count: number): void {
    raw += held.slice(0, count);
    held = held.slice(count);
  }

  /** Whether `held` begins with a mark, behind whitespace; undefined: not yet known. */
  function begins(mark: string, ended: boolean): boolean | undefined {
    const text = held.trimStart();
    if (held.length - text.length > mostSpace) return false;
    if (text.startsWith(mark)) return true;
    return !ended && mark.startsWith(text) ? undefined : false;
  }

  const takeMark = (mark: string) => take(held.length - held.trimStart().length + mark.length);
  const over = (): Step => (index > first ? "over" : "broken");

  function startItem(name?: string): Step {
    if (syntax.kind === "object") item = createObjectReader(events);
    else if (syntax.kind === "named") item = createArgumentsReader(events);
    else item = createTaggedReader(syntax, parametersOf(name!), events);
    state = "item";
    return "again";
  }

  function endItem(): void {
    emit({ type: "called", index });
    index++;
    begun = false;
    at += raw.length;
    raw = "";
  }

  function between(ended: boolean): Step {
    const { close } = syntax;
    const text = held.trimStart();
    const next = text[0];
    if (held.length - text.length > mostSpace) return over();
    if (next === undefined) return ended ? over() : "wait";
    const closes = close === undefined ? false : begins(close, ended);
    if (closes === undefined) return "wait";
    if (closes) {
      if (index === first) return "broken";
      takeMark(close!);
      return "over";
    }
    if (syntax.kind !== "object") {
      const starts = begins(syntax.before, ended);
      if (starts === undefined) return "wait";
      if (!starts) return over();
      takeMark(syntax.before);
      state = "name";
      return "again";
    }
    if (next === "{" && list !== "closed") return startItem();
    if (next === "[" && list === "none" && index === first) list = "open";
    else if (next === "]" && list === "open" && index > first) list = "closed";
    else if (!(next === "," || next === ";") || list === "closed" || index === first) return over();
    takeMark(next);
    return "again";
  }

  function readName(ended: boolean): Step {
    const end = syntax.kind === "tagged" ? syntax.named : syntax.kind === "named" ? syntax.between : undefined;
    const at = end === undefined ? held.search(/(?<=\S)[\s<]/) : held.indexOf(end);
    if (at > longestName || (at < 0 && (ended || held.length > longestName + (end ?? "<").length))) return "broken";
    if (at < 0) return "wait";
    const name = held
      .slice(0, at)
      .replace(/\[CALL_ID\].*$/s, "")
      .trim();
    if (!/^[^\s"{}[\]<>]+$/.test(name) || !events.begin(name)) return "broken";
    take(at + (end?.length ?? 0));
    return startItem(name);
  }

  function readItem(ended: boolean): Step {
    for (let at = 0; at < held.length; at++) {
      const step = item!.push(held[at]!);
      if (step === "open") continue;
      take(at + 1);
      if (step === "broken") return "broken";
      endItem();
      state = "after";
      return "again";
    }
    take(held.length);
    return ended ? "broken" : "wait";
  }

  /** A call without its end is one nevertheless: its arguments are whole. */
  function after(ended: boolean): Step {
    const mark = syntax.kind === "named" ? syntax.after : undefined;
    const found = mark === undefined ? false : begins(mark, ended);
    if (found === undefined) return "wait";
    if (found) takeMark(mark!);
    state = "between";
    return "again";
  }

  function step(ended: boolean): Step {
    switch (state) {
      case "between":
        return between(ended);
      case "name":
        return readName(ended);
      case "item":
        return readItem(ended);
      case "after":
        return after(ended);
    }
  }

  return {
    push(text, ended = false) {
      held += text;
      let done = step(ended);
      while (done === "again") done = step(ended);
      if (done === "wait") return undefined;
      if (done === "broken") emit(begun ? { type: "failed", index, text: raw, at } : { type: "text", text: raw, at });
      return held;
    },
  };
}
