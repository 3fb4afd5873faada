import { GrokError } from "../../errors.ts";
import { parseRegex, type RegexNode } from "../../grammar/regex-parser.ts";

/** Finds whether a text has a match of a regular expression, in time that grows with the text and not with what else it could match. */
export type Search = (text: string) => boolean;

/** Steps of the machine: a character of these ranges, both of two ways, one of the text's ends, or the end of a match. */
type Step =
  | { readonly kind: "set"; readonly codePoints: readonly number[]; readonly next: number }
  | { readonly kind: "split"; readonly next: number; readonly other: number }
  | { readonly kind: "start" | "end"; readonly next: number }
  | { readonly kind: "match" };

const mostSteps = 20_000;

/**
 * Thompson's machine, simulated: all ways at once, each step of it at most once a character (Cox, Regular Expression Matching Can Be Simple
 * And Fast). JavaScript's own engine tries one way after the other, which a text can make take years.
 * @throws GrokError as {@link parseRegex}; `argument` for one that is too large
 */
export function compileSearch(source: string): Search {
  const steps: Step[] = [{ kind: "match" }];
  const add = (step: Step): number => {
    if (steps.length >= mostSteps) throw new GrokError("argument", `the expression ${source} is too large`, { source });
    return steps.push(step) - 1;
  };

  /** Where to begin so that `node` is read and then `next` goes on. Built from the end to the beginning. */
  function build(node: RegexNode, next: number): number {
    switch (node.kind) {
      case "set":
        return add({ kind: "set", codePoints: node.codePoints, next });
      case "sequence":
        return node.items.reduceRight((after, item) => build(item, after), next);
      case "choice":
        return node.items
          .map((item) => build(item, next))
          .reduceRight((other, one) => add({ kind: "split", next: one, other }));
      case "repeat":
        return buildRepeat(node, next);
      default:
        return add({ kind: node.kind, next });
    }
  }

  function buildRepeat({ item, min, max }: Extract<RegexNode, { kind: "repeat" }>, next: number): number {
    let begin = next;
    if (max === Number.POSITIVE_INFINITY) {
      begin = add({ kind: "split", next: 0, other: next });
      steps[begin] = { kind: "split", next: build(item, begin), other: next };
    } else {
      for (let i = min; i < max; i++) begin = add({ kind: "split", next: build(item, begin), other: next });
    }
    for (let i = 0; i < min; i++) begin = build(item, begin);
    return begin;
  }

  const first = build(parseRegex(source), 0);
  /** At which character a step was last reached. */
  const reached = new Int32Array(steps.length);

  return (text) => {
    reached.fill(-1);
    let current: number[] = [];
    const characters = [...text];
    for (let at = 0; at <= characters.length; at++) {
      const next: number[] = [];
      // A match can begin anywhere.
      const open = [...current, first];
      const character = characters[at]?.codePointAt(0);
      while (open.length > 0) {
        const index = open.pop()!;
        if (reached[index] === at) continue;
        reached[index] = at;
        const step = steps[index]!;
        if (step.kind === "match") return true;
        if (step.kind === "split") open.push(step.next, step.other);
        else if (step.kind === "set") {
          if (character !== undefined && includes(step.codePoints, character)) next.push(step.next);
        } else if (step.kind === "start" ? at === 0 : character === undefined) open.push(step.next);
      }
      current = next;
    }
    return false;
  };
}

/** Ranges of first and last, ascending. */
function includes(ranges: readonly number[], codePoint: number): boolean {
  let [low, high] = [0, ranges.length / 2 - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (codePoint < ranges[2 * middle]!) high = middle - 1;
    else if (codePoint > ranges[2 * middle + 1]!) low = middle + 1;
    else return true;
  }
  return false;
}
