import { GrokError, shown } from "../errors.ts";
import { choice, type Expression, empty, type Ranges, repeat, sequence } from "./expression.ts";
import { allCharacters } from "./ranges.ts";
import { parseRegex, type RegexNode } from "./regex-parser.ts";

/** How a character of a set of code points is written. */
export type WriteCharacter = (codePoints: Ranges) => Expression;

/**
 * Texts that are a match of an ECMAScript regular expression, all of each.
 * @throws GrokError `argument` for one that is none, `unsupported` for what no automaton without memory can hold to
 */
export function fullMatch(source: string, write: WriteCharacter): Expression {
  return choice(...branchesOf(parseRegex(source)).map((branch) => toExpression(trim(branch).body, write, source)));
}

/** Texts that have a match in them. @throws as {@link fullMatch} */
export function anyMatch(source: string, write: WriteCharacter): Expression {
  const anything = repeat(write(allCharacters), 0, Number.POSITIVE_INFINITY);
  const branches = branchesOf(parseRegex(source)).map((branch) => {
    const { body, fromStart, toEnd } = trim(branch);
    const middle = toExpression(body, write, source);
    return sequence(fromStart ? empty : anything, middle, toEnd ? empty : anything);
  });
  return choice(...branches);
}

function branchesOf(node: RegexNode): readonly RegexNode[] {
  if (node.kind === "choice") return node.items.flatMap(branchesOf);
  if (node.kind === "sequence" && node.items.length === 1) return branchesOf(node.items[0]!);
  return [node];
}

/** Without `^` at its beginning and `$` at its end. */
function trim(node: RegexNode) {
  const items = node.kind === "sequence" ? [...node.items] : [node];
  const first = items.findIndex(({ kind }) => kind !== "start");
  const from = first < 0 ? items.length : first;
  let to = items.length;
  while (to > from && items[to - 1]!.kind === "end") to--;
  const body: RegexNode = { kind: "sequence", items: items.slice(from, to) };
  return { body, fromStart: from > 0, toEnd: to < items.length };
}

function toExpression(node: RegexNode, write: WriteCharacter, source: string): Expression {
  const inner = (item: RegexNode) => toExpression(item, write, source);
  switch (node.kind) {
    case "set":
      return write(node.codePoints);
    case "sequence":
      return sequence(...node.items.map(inner));
    case "choice":
      return choice(...node.items.map(inner));
    case "repeat":
      return repeat(inner(node.item), node.min, node.max);
    default: {
      const anchor = node.kind === "start" ? "^" : "$";
      const message = `regular expression ${shown(source)}: ${anchor} in the middle is not supported`;
      throw new GrokError("unsupported", message, { source });
    }
  }
}
