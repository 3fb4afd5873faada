import { parseJson } from "../../bytes/json.ts";
import { createJsonScanner, type JsonStep } from "./json-scanner.ts";

/** Reads one call, unit by unit. */
export interface ItemReader {
  push(unit: string): "open" | "whole" | "broken";
}

/** Told of a call as it is read. */
export interface ItemEvents {
  /** @returns whether there may be a tool of this name. */
  begin(name: string): boolean;
  arguments(text: string): void;
}

/** The arguments of a call whose name is known. */
export function createArgumentsReader({ arguments: emit }: Pick<ItemEvents, "arguments">): ItemReader {
  const scanner = createJsonScanner();
  let begun = false;
  return {
    push(unit) {
      const { state, text } = scanner.push(unit);
      begun ||= unit === "{";
      if (begun && state !== "broken") emit(text);
      return state;
    },
  };
}

const argumentNames: ReadonlySet<string> = new Set(["arguments", "parameters"]);

/**
 * An object with a tool's name and its arguments, in any order: arguments that come behind the name are passed on as they come.
 * They may also be JSON inside a text, as some models write them, or be missing.
 */
export function createObjectReader({ begin, arguments: emit }: ItemEvents): ItemReader {
  const scanner = createJsonScanner();
  let name: string | undefined;
  /** Of the member that is read. */
  let key = "";
  let value = "";
  let passes = false;
  /** Arguments that came before the name. */
  let early: string | undefined;
  let given = false;

  function endMember(): boolean {
    const member = key === "" ? "" : (parseJson(key) as string);
    if (member === "name") {
      if (name !== undefined) return false;
      const found = parseJson(value);
      if (typeof found !== "string" || found === "" || !begin(found)) return false;
      name = found;
      if (early !== undefined) emit(early);
      given ||= early !== undefined;
    } else if (argumentNames.has(member) && !passes) {
      const text = value.startsWith('"') ? (parseJson(value) as string).trim() : value === "null" ? "{}" : value;
      if (given || early !== undefined || !isObject(text)) return false;
      if (name === undefined) early = text;
      else {
        emit(text);
        given = true;
      }
    }
    key = value = "";
    passes = false;
    return true;
  }

  /** The first unit of a value: arguments whose tool is known need not be kept. */
  function beginValue(unit: string): boolean {
    if (unit !== "{" || name === undefined || !argumentNames.has(parseJson(key) as string)) return true;
    if (given) return false;
    passes = given = true;
    return true;
  }

  function take({ state, text, part }: JsonStep, unit: string): boolean {
    if (part === "name") key += text;
    else if (part === "value") {
      if (value === "" && !passes && !beginValue(text)) return false;
      if (passes) emit(text);
      else value += text;
    }
    if (part !== "around" || (unit !== "," && state !== "whole")) return true;
    return (key === "" && value === "") || endMember();
  }

  return {
    push(unit) {
      const step = scanner.push(unit);
      try {
        if (step.state === "broken" || !take(step, unit)) return "broken";
        if (step.state !== "whole") return "open";
        if (name === undefined) return "broken";
        if (!given) emit("{}");
        return "whole";
      } catch (error) {
        // A text that is half a character is none.
        if (error instanceof SyntaxError) return "broken";
        throw error;
      }
    },
  };
}

function isObject(text: string): boolean {
  try {
    const value = parseJson(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}
