import { GrokError } from "../errors.ts";
import { choice, type Expression, nothing, type Rules, repeat, sequence } from "./expression.ts";

/** Parts that expressions have together, and looks at them to find out what can be left out. */
const mostParts = 300_000;
const mostLooks = 3_000_000;

/** The same expressions with other ones in place of rules; parts that are shared stay shared. */
export function createRewrite(replace: (rule: number) => Expression): (expression: Expression) => Expression {
  const known = new Map<Expression, Expression>();
  function rewrite(expression: Expression): Expression {
    const before = known.get(expression);
    if (before !== undefined) return before;
    const after = make(expression);
    known.set(expression, after);
    return after;
  }
  function make(expression: Expression): Expression {
    switch (expression.kind) {
      case "sequence":
        return sequence(...expression.items.map(rewrite));
      case "choice":
        return choice(...expression.items.map(rewrite));
      case "repeat":
        return repeat(rewrite(expression.item), expression.min, expression.max);
      case "both":
        return { ...expression, first: rewrite(expression.first), second: rewrite(expression.second) };
      case "except":
        return { ...expression, item: rewrite(expression.item), excluded: rewrite(expression.excluded) };
      case "rule":
        return replace(expression.rule);
      case "bytes":
        return expression.ranges.length === 0 ? nothing : expression;
      default:
        return expression;
    }
  }
  return rewrite;
}

/**
 * Without what never comes to an end, such as a rule that always needs itself once more: whoever follows the rules then has a way to
 * the end from wherever they are.
 * @throws GrokError `unsupported` where nothing is left, or there is too much to look at
 */
export function prune(rules: Rules): Rules {
  const { bodies, names } = rules;
  const users = bodies.map((): number[] => []);
  for (const [rule, uses] of findUses(bodies).entries()) for (const used of uses) users[used]!.push(rule);
  const ends = bodies.map(() => false);
  const open = [...bodies.keys()];
  let looks = 0;

  function comesToEnd(expression: Expression): boolean {
    if (++looks > mostLooks) throw new GrokError("unsupported", "the grammar's rules are too entangled");
    switch (expression.kind) {
      case "bytes":
        return expression.ranges.length > 0;
      case "sequence":
        return expression.items.every(comesToEnd);
      case "choice":
        return expression.items.some(comesToEnd);
      case "repeat":
        return expression.min === 0 || comesToEnd(expression.item);
      case "rule":
        return ends[expression.rule]!;
      default:
        return true;
    }
  }

  for (let rule = open.pop(); rule !== undefined; rule = open.pop()) {
    if (ends[rule] || !comesToEnd(bodies[rule]!)) continue;
    ends[rule] = true;
    for (const user of users[rule]!) if (!ends[user]) open.push(user);
  }
  if (!ends[0]) throw new GrokError("unsupported", "the grammar, or the schema, allows no text that comes to an end");

  const leaveOut = createRewrite((rule) => (ends[rule] ? { kind: "rule", rule } : nothing));
  return { bodies: bodies.map((body, rule) => (ends[rule] ? leaveOut(body) : nothing)), names };
}

/** For each rule those that its body names. @throws GrokError `unsupported` for more than there may be */
function findUses(bodies: readonly Expression[]): readonly ReadonlySet<number>[] {
  let parts = 0;
  return bodies.map((body) => {
    const uses = new Set<number>();
    const seen = new Set<Expression>([body]);
    for (const part of seen) {
      if (++parts > mostParts) throw new GrokError("unsupported", `the grammar has more than ${mostParts} parts`);
      if (part.kind === "rule") uses.add(part.rule);
      for (const inner of partsOf(part)) seen.add(inner);
    }
    return uses;
  });
}

function partsOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case "sequence":
    case "choice":
      return expression.items;
    case "repeat":
      return [expression.item];
    case "both":
      return [expression.first, expression.second];
    case "except":
      return [expression.item, expression.excluded];
    default:
      return [];
  }
}
