import { type Allowance, fault } from "./allowance.ts";
import { applyFilter, applyTest } from "./filters.ts";
import { iterate, toIterable } from "./iterate.ts";
import { attribute, item, sliceOf } from "./lookup.ts";
import { binary, compare, negate, plus } from "./operators.ts";
import { toText } from "./printing.ts";
import { lookUp, type Scope } from "./scope.ts";
import type { Arguments, Expression } from "./syntax.ts";
import { concat, plainText, type Text } from "./text.ts";
import {
  type Args,
  isTrue,
  makeDict,
  makeFloat,
  makeInt,
  makeList,
  makeTuple,
  makeUndefined,
  no,
  none,
  toBool,
  typeName,
  type Value,
  yes,
} from "./values.ts";

/** The value of an expression. */
export function evaluate(run: Allowance, scope: Scope, node: Expression): Value {
  run.step();
  run.enter();
  run.line = node.line;
  const value = compute(run, scope, node);
  run.leave();
  return value;
}

function compute(run: Allowance, scope: Scope, node: Expression): Value {
  switch (node.type) {
    case "data":
      return plainText(run, node.value);
    case "constant":
      return constant(run, node.value);
    case "name":
      return node.name === "self" ? fault("'self' is not supported") : lookUp(scope, node.name);
    case "attribute":
      return attribute(run, evaluate(run, scope, node.of), node.name);
    case "item":
      return item(run, evaluate(run, scope, node.of), evaluate(run, scope, node.key));
    case "slice": {
      const of = evaluate(run, scope, node.of);
      const [start, stop, step] = node.bounds.map((bound) => (bound ? evaluate(run, scope, bound) : none));
      return sliceOf(run, of, start!, stop!, step!);
    }
    case "call":
      return call(run, evaluate(run, scope, node.of), evaluateArguments(run, scope, node.args));
    case "filter":
      return evaluateFilter(run, scope, node, undefined);
    case "test": {
      const of = evaluate(run, scope, node.of);
      return toBool(applyTest(run, node.name, of, evaluateArguments(run, scope, node.args)));
    }
    case "binary":
      return binary(run, node.operator, evaluate(run, scope, node.left), evaluate(run, scope, node.right));
    case "compare":
      return evaluateComparison(run, scope, node);
    case "and": {
      const left = evaluate(run, scope, node.left);
      return isTrue(run, left) ? evaluate(run, scope, node.right) : left;
    }
    case "or": {
      const left = evaluate(run, scope, node.left);
      return isTrue(run, left) ? left : evaluate(run, scope, node.right);
    }
    case "not":
      return isTrue(run, evaluate(run, scope, node.of)) ? no : yes;
    case "negate":
      return negate(run, evaluate(run, scope, node.of));
    case "plus":
      return plus(run, evaluate(run, scope, node.of));
    case "concat":
      return concat(
        run,
        node.items.map((part) => toText(run, evaluate(run, scope, part))),
      );
    case "choice":
      if (isTrue(run, evaluate(run, scope, node.test))) return evaluate(run, scope, node.value);
      if (node.otherwise) return evaluate(run, scope, node.otherwise);
      return makeUndefined("the inline if-expression evaluated to false and no else section was defined.");
    case "list":
      return makeList(run, evaluateAll(run, scope, node.items));
    case "tuple":
      return makeTuple(run, evaluateAll(run, scope, node.items));
    case "dict":
      return makeDict(
        run,
        node.pairs.map(([key, value]) => [evaluate(run, scope, key), evaluate(run, scope, value)] as const),
      );
  }
}

const evaluateAll = (run: Allowance, scope: Scope, nodes: readonly Expression[]): Value[] =>
  nodes.map((node) => evaluate(run, scope, node));

function constant(run: Allowance, value: bigint | number | boolean | null): Value {
  if (value === null) return none;
  if (typeof value === "boolean") return toBool(value);
  return typeof value === "bigint" ? makeInt(run, value) : makeFloat(run, value);
}

function evaluateComparison(run: Allowance, scope: Scope, node: Extract<Expression, { type: "compare" }>): Value {
  let left = evaluate(run, scope, node.first);
  for (const [operator, expression] of node.rest) {
    const right = evaluate(run, scope, expression);
    if (!compare(run, operator, left, right)) return no;
    left = right;
  }
  return yes;
}

export function evaluateArguments(run: Allowance, scope: Scope, given: Arguments): Args {
  const positional = evaluateAll(run, scope, given.positional);
  const named = new Map<string, Value>();
  const keywords = new Map<string, Text>();
  for (const [name, value] of given.named) named.set(name, evaluate(run, scope, value));
  if (given.rest) {
    for (const value of toIterable(iterate(run, evaluate(run, scope, given.rest)))) {
      run.take(4);
      positional.push(value);
    }
  }
  if (given.namedRest) {
    const mapping = evaluate(run, scope, given.namedRest);
    if (mapping.kind !== "dict") return fault(`argument after ** must be a mapping, not ${typeName(mapping)}`);
    for (const [key, value] of mapping.entries.values()) {
      if (key.kind !== "str") return fault("keywords must be strings");
      if (named.has(key.value)) return fault(`got multiple values for keyword argument '${key.value}'`);
      run.take(16);
      named.set(key.value, value);
      keywords.set(key.value, key);
    }
  }
  return { positional, named, keywords };
}

export function call(run: Allowance, value: Value, args: Args): Value {
  if (value.kind === "undefined") return fault(value.message);
  if (value.kind !== "thing" || !value.call) return fault(`'${typeName(value)}' object is not callable`);
  run.step();
  return value.call(run, args);
}

/** Applies a chain of filters; `input` is what the first of them gets where the chain has no value of its own. */
export function evaluateFilter(run: Allowance, scope: Scope, node: Expression, input: Value | undefined): Value {
  if (node.type !== "filter") return evaluate(run, scope, node);
  const of = node.of === undefined ? input! : evaluateFilter(run, scope, node.of, input);
  const args = evaluateArguments(run, scope, node.args);
  run.line = node.line;
  return applyFilter(run, node.name, of, args);
}
