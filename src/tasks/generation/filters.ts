import type { Fields } from "../../bytes/json-fields.ts";
import { readPattern } from "../entries.ts";
import { findAll } from "../python/regexp.ts";
import { strip } from "../python/text.ts";

/** What is taken of an answer. */
export type Filter = (answer: string) => string;

/** What lm-evaluation-harness has where a pattern is not found. */
const nothingFound = "[invalid]";

/**
 * The one of all places where a pattern is found that `select` says, from the end when it is negative, without space around it: all of it,
 * or its first group that is not empty. lm-evaluation-harness's filter `regex`.
 */
export function regexFilter(pattern: RegExp, select = 0): Filter {
  return (answer) => {
    const found = findAll(pattern, answer);
    if (found.length === 0) return nothingFound;
    const chosen = found.at(select) ?? nothingFound;
    return strip(typeof chosen === "string" ? chosen : (chosen.find((group) => group !== "") ?? nothingFound));
  };
}

/** The text up to a block of code's end. lm-evaluation-harness's `build_predictions_instruct` of HumanEval. */
const beforeFence: Filter = (answer) => answer.split("```", 1)[0]!;

/** The first block of code, where the prompt has opened one. lm-evaluation-harness's `extract_code_blocks` of MBPP. */
const firstBlock: Filter = (answer) => {
  const block = /```(?:[\p{L}\p{N}_]+)?\n?([\s\S]*?)\n?```/u;
  const opened = `\`\`\`${answer}`;
  return (block.exec(opened) ?? block.exec(opened.replaceAll("```python", "```")))?.[1] ?? "";
};

const named: Readonly<Record<string, Filter>> = { "before-fence": beforeFence, "first-block": firstBlock };

/** `filters`: of each name what it takes, a filter by its name or a pattern. Without any, all of an answer is taken. */
export function readFilters(all: Fields): ReadonlyMap<string, Filter> {
  const given = all.value("filters", "an object", isObject, null);
  if (given === undefined) return new Map([["none", (answer: string) => answer]]);
  const fields = all.object("filters");
  const names = Object.keys(given as object);
  if (names.length === 0) all.fail("filters", "expected at least one");
  const filters = names.map((name): [string, Filter] => {
    if (typeof (given as Record<string, unknown>)[name] === "string") {
      return [name, named[fields.choice(name, Object.keys(named))]!];
    }
    const one = fields.object(name);
    const pattern = readPattern(one, "regex");
    const select = one.integer("select", -1, 1000, 0);
    one.finish();
    return [name, regexFilter(pattern, select)];
  });
  return new Map(filters);
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
