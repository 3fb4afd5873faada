import { argumentOf, isText, schemaOf, typesOf, type ValueType } from "./argument-value.ts";
import type { ItemEvents, ItemReader } from "./object-reader.ts";
import type { TaggedSyntax } from "./syntax.ts";

/** A name of an argument that is longer is none. */
const longestKey = 256;
/** Whitespace between marks. */
const mostSpace = 1024;

/**
 * The arguments of a call that stand between marks one by one, up to the call's end: given as a JSON object, texts as they come, all else
 * once it is whole.
 *
 * @param parameters the tool's schema, which says what is text
 */
export function createTaggedReader(
  syntax: TaggedSyntax,
  parameters: unknown,
  { arguments: emit }: Pick<ItemEvents, "arguments">,
): ItemReader {
  const { key: keyMark, value: valueMarks, end, after, close, padded } = syntax;
  const ends = close === undefined ? [after] : [after, close];
  const keys = new Set<string>();
  let state: "between" | "key" | "mark" | "value" = "between";
  let held = "";
  /** Marks before a value that have been read. */
  let marks = 0;
  let types: ReadonlySet<ValueType> | undefined;
  /** Whether nothing of the value has come. */
  let first = true;
  /** Where in what may be JSON it is: a mark inside of a string is a part of that. */
  let json: "unknown" | "none" | "around" | "string" | "escape" = "unknown";

  const escaped = (text: string) => JSON.stringify(text).slice(1, -1);

  /** Whether `held` is one of some marks behind whitespace: which; "none": it can become none of them. */
  function markIn(wanted: readonly string[]): string | undefined {
    const text = held.trimStart();
    if (wanted.includes(text)) return text;
    const may = held.length - text.length <= mostSpace && wanted.some((mark) => mark.startsWith(text));
    return may ? undefined : "none";
  }

  function between(): "open" | "whole" | "broken" {
    const mark = markIn([keyMark, ...ends]);
    if (mark === undefined) return "open";
    if (mark === "none") return "broken";
    held = "";
    if (mark === keyMark) state = "key";
    else emit(keys.size === 0 ? "{}" : "}");
    return mark === keyMark ? "open" : "whole";
  }

  function readKey(): "open" | "broken" {
    const mark = valueMarks[0]!;
    if (!held.endsWith(mark)) return held.length > longestKey + mark.length ? "broken" : "open";
    const key = held.slice(0, -mark.length).trim();
    if (key === "" || keys.has(key)) return "broken";
    types = typesOf(schemaOf(parameters, key), parameters);
    emit(`${keys.size === 0 ? "{" : ", "}${JSON.stringify(key)}: ${isText(types) ? '"' : ""}`);
    keys.add(key);
    marks = 1;
    return nextMark();
  }

  function nextMark(): "open" {
    held = "";
    first = true;
    json = "unknown";
    state = marks < valueMarks.length ? "mark" : "value";
    return "open";
  }

  function readMark(): "open" | "broken" {
    const mark = markIn([valueMarks[marks]!]);
    if (mark === undefined) return "open";
    if (mark === "none") return "broken";
    marks++;
    return nextMark();
  }

  function followJson(unit: string): void {
    if (json === "unknown" && unit.trim() !== "")
      json = "[{".includes(unit) ? "around" : unit === '"' ? "string" : "none";
    else if (json === "escape") json = "string";
    else if (json === "string") json = unit === "\\" ? "escape" : unit === '"' ? "around" : "string";
    else if (json === "around" && unit === '"') json = "string";
  }

  function readValue(unit: string): "open" {
    if (first && padded && unit === "\n") held = "";
    first = false;
    if (!isText(types)) followJson(unit);
    if (held.endsWith(end) && json !== "string" && json !== "escape") {
      const value = held.slice(0, -end.length).replace(padded ? /\n$/ : "", "");
      emit(isText(types) ? `${escaped(value)}"` : argumentOf(value, types));
      held = "";
      state = "between";
    } else if (isText(types)) {
      const certain = held.length - heldBack();
      if (certain > 0) emit(escaped(held.slice(0, certain)));
      held = held.slice(certain);
    }
    return "open";
  }

  /** How much of a text's end may be the beginning of its mark, with the line break before it, or half a character. */
  function heldBack(): number {
    const mark = padded ? `\n${end}` : end;
    let most = /[\ud800-\udbff]$/.test(held) ? 1 : 0;
    for (const one of [mark, end]) {
      let partial = Math.min(one.length - 1, held.length);
      while (partial > 0 && !held.endsWith(one.slice(0, partial))) partial--;
      most = Math.max(most, partial);
    }
    return most;
  }

  return {
    push(unit) {
      held += unit;
      switch (state) {
        case "between":
          return between();
        case "key":
          return readKey();
        case "mark":
          return readMark();
        case "value":
          return readValue(unit);
      }
    },
  };
}
