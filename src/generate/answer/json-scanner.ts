/**
 * Reads a JSON object one UTF-16 unit at a time, so that what is read of it can be passed on before it is whole.
 * RFC 8259, but for one thing: a control character inside a string, as models write line breaks into code, is taken as its escape.
 */
export interface JsonScanner {
  /** Takes one more unit. After "broken" or "whole" nothing more may come. */
  push(unit: string): JsonStep;
}

export interface JsonStep {
  readonly state: "open" | "whole" | "broken";
  /** The unit as JSON has it: itself, or its escape. */
  readonly text: string;
  /** What it is a part of: the name of a member of the outermost object, the value of one, or what stands around these. */
  readonly part: "name" | "value" | "around";
}

/** Deeper nesting is no argument that a tool asks for. */
const deepest = 128;

const isSpace = (unit: string) => unit === " " || unit === "\n" || unit === "\t" || unit === "\r";

/** A number's states by the kind of what comes next. Those that it may end in are marked in `numberEnds`. */
const numberSteps: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  sign: { "0": "zero", digit: "whole" },
  zero: { ".": "point", e: "exponent" },
  whole: { "0": "whole", digit: "whole", ".": "point", e: "exponent" },
  point: { "0": "fraction", digit: "fraction" },
  fraction: { "0": "fraction", digit: "fraction", e: "exponent" },
  exponent: { "0": "power", digit: "power", sign: "power sign" },
  "power sign": { "0": "power", digit: "power" },
  power: { "0": "power", digit: "power" },
};
const numberEnds = new Set(["zero", "whole", "fraction", "power"]);

function kindInNumber(unit: string): string {
  if (unit >= "1" && unit <= "9") return "digit";
  if (unit === "E") return "e";
  return unit === "+" || unit === "-" ? "sign" : unit;
}

type Expected = "object" | "value" | "value or ]" | "name" | "name or }" | "colon" | "comma or end";

export function createJsonScanner(): JsonScanner {
  const open: ("{" | "[")[] = [];
  let expected: Expected = "object";
  let inString = false;
  let isName = false;
  /** Of an escape, what is still to come: -1 its letter, else so many hexadecimal digits. */
  let escaped = 0;
  let number: string | undefined;
  /** What is still to come of `true`, `false` or `null`. */
  let word = "";

  const step = (text: string, part: JsonStep["part"]): JsonStep => ({ state: "open", text, part });
  const broken: JsonStep = { state: "broken", text: "", part: "around" };
  /** Of what stands in a value, or around names and values where nothing but the outermost object is open. */
  const inValue = (): JsonStep["part"] => (open.length > 1 ? "value" : "around");

  function pushInString(unit: string): JsonStep {
    const part = isName && open.length === 1 ? "name" : "value";
    if (escaped === -1) {
      escaped = unit === "u" ? 4 : 0;
      return '"\\/bfnrtu'.includes(unit) ? step(unit, part) : broken;
    }
    if (escaped > 0) {
      escaped--;
      return /[\da-fA-F]/.test(unit) ? step(unit, part) : broken;
    }
    if (unit === "\\") escaped = -1;
    else if (unit === '"') {
      inString = false;
      expected = isName ? "colon" : "comma or end";
    } else if (unit < " ") return step(JSON.stringify(unit).slice(1, -1), part);
    return step(unit, part);
  }

  function beginValue(unit: string): JsonStep {
    expected = "comma or end";
    if (unit === '"') {
      inString = true;
      isName = false;
    } else if (unit === "{" || unit === "[") {
      if (open.length === deepest) return broken;
      open.push(unit);
      expected = unit === "{" ? "name or }" : "value or ]";
    } else if (unit === "t" || unit === "f" || unit === "n") word = { t: "rue", f: "alse", n: "ull" }[unit];
    else if (unit === "-" || (unit >= "0" && unit <= "9")) {
      number = unit === "-" ? "sign" : unit === "0" ? "zero" : "whole";
    } else return broken;
    return step(unit, "value");
  }

  function close(unit: string): JsonStep {
    if (open.pop() !== (unit === "}" ? "{" : "[")) return broken;
    expected = "comma or end";
    return { state: open.length === 0 ? "whole" : "open", text: unit, part: open.length === 0 ? "around" : "value" };
  }

  function push(unit: string): JsonStep {
    if (inString) return pushInString(unit);
    if (word !== "") {
      if (unit !== word[0]) return broken;
      word = word.slice(1);
      return step(unit, "value");
    }
    if (number !== undefined) {
      const next = numberSteps[number]?.[kindInNumber(unit)];
      if (next !== undefined) {
        number = next;
        return step(unit, "value");
      }
      if (!numberEnds.has(number)) return broken;
      number = undefined;
    }
    if (isSpace(unit)) return step(unit, inValue());
    switch (expected) {
      case "object":
        if (unit !== "{") return broken;
        open.push("{");
        expected = "name or }";
        return step(unit, "around");
      case "name or }":
      case "name":
        if (unit === "}" && expected === "name or }") return close(unit);
        if (unit !== '"') return broken;
        inString = isName = true;
        return step(unit, open.length === 1 ? "name" : "value");
      case "colon":
        if (unit !== ":") return broken;
        expected = "value";
        return step(unit, inValue());
      case "value or ]":
        return unit === "]" ? close(unit) : beginValue(unit);
      case "value":
        return beginValue(unit);
      case "comma or end":
        if (unit === "}" || unit === "]") return close(unit);
        if (unit !== ",") return broken;
        expected = open.at(-1) === "{" ? "name" : "value";
        return step(unit, inValue());
    }
  }
  return { push };
}
