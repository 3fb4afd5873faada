import { fault } from "./allowance.ts";
import { isFilter, isTest } from "./filters.ts";
import type { BinaryOperator, CompareOperator } from "./operators.ts";
import type { Arguments, Expression } from "./syntax.ts";
import { describe, type Tokens } from "./tokens.ts";

/** Jinja's expressions, by descent in its order of precedence, loosest first: if, or, and, not, comparisons, + -, ~, * / // %, **. */
export interface ExpressionParser {
  /** With `choice` also `a if b else c`. */
  parseExpression(choice?: boolean): Expression;
  /** One expression, or several with commas between as a tuple. */
  parseTuple(options?: TupleOptions): Expression;
  /** Filters that follow a `|`, or begin with a name where `inline`. */
  parseFilters(of: Expression | undefined, inline?: boolean): Expression | undefined;
  /**
   * Inside `if` and conditional expressions an unknown filter is an error only when it is reached: runs `parse` in one of those, or
   * in a body of its own.
   */
  withSoftNames<T>(soft: boolean, parse: () => T): T;
}

export interface TupleOptions {
  readonly choice?: boolean;
  readonly endName?: string;
  readonly parenthesized?: boolean;
}

export function createExpressionParser(tokens: Tokens): ExpressionParser {
  let soft = false;

  function withSoftNames<T>(inside: boolean, parse: () => T): T {
    const before = soft;
    soft = inside;
    const result = parse();
    soft = before;
    return result;
  }

  function parseExpression(choice = true): Expression {
    tokens.enter();
    const result = choice ? parseChoice() : parseOr();
    tokens.leave();
    return result;
  }

  function parseChoice(): Expression {
    const { line } = tokens.current;
    const start = tokens.position;
    let result = parseOr();
    while (tokens.skipName("if")) {
      const test = withSoftNames(true, parseOr);
      let otherwise: Expression | undefined;
      if (tokens.skipName("else")) {
        tokens.enter();
        otherwise = withSoftNames(true, parseChoice);
        tokens.leave();
      }
      result = { type: "choice", line, test, value: result, otherwise };
    }
    if (result.type === "choice") forget(start);
    return result;
  }

  /** Unknown names since token `start` that turned out to lie in a conditional expression. */
  function forget(start: number): void {
    while (unknown.length > 0 && unknown[unknown.length - 1]!.position >= start) unknown.pop();
  }
  const unknown: { readonly position: number; readonly message: string }[] = [];

  /** The first unknown filter or test of what has been read, reported once a whole expression is known. */
  function checkNames(): void {
    if (unknown.length > 0) fault(unknown[0]!.message);
  }

  function chain(
    parse: () => Expression,
    operators: readonly string[],
    make: (operator: string, left: Expression, right: Expression, line: number) => Expression,
  ): Expression {
    const { line } = tokens.current;
    let left = parse();
    while (operators.some((operator) => tokens.isOperator(operator))) {
      const operator = tokens.next().value as string;
      left = make(operator, left, parse(), line);
    }
    return left;
  }

  const makeBinary = (operator: string, left: Expression, right: Expression, line: number): Expression => ({
    type: "binary",
    operator: operator as BinaryOperator,
    left,
    right,
    line,
  });

  function parseOr(): Expression {
    const { line } = tokens.current;
    let left = parseAnd();
    while (tokens.skipName("or")) left = { type: "or", left, right: parseAnd(), line };
    return left;
  }

  function parseAnd(): Expression {
    const { line } = tokens.current;
    let left = parseNot();
    while (tokens.skipName("and")) left = { type: "and", left, right: parseNot(), line };
    return left;
  }

  function parseNot(): Expression {
    const { line } = tokens.current;
    if (!tokens.skipName("not")) return parseCompare();
    tokens.enter();
    const of = parseNot();
    tokens.leave();
    return { type: "not", of, line };
  }

  function parseCompare(): Expression {
    const { line } = tokens.current;
    const first = parseSum();
    const rest: (readonly [CompareOperator, Expression])[] = [];
    for (;;) {
      const operator = compareOperator();
      if (operator === undefined) break;
      rest.push([operator, parseSum()]);
    }
    return rest.length === 0 ? first : { type: "compare", first, rest, line };
  }

  function compareOperator(): CompareOperator | undefined {
    if (["==", "!=", "<", "<=", ">", ">="].some((operator) => tokens.isOperator(operator))) {
      return tokens.next().value as CompareOperator;
    }
    if (tokens.skipName("in")) return "in";
    const { type, value } = tokens.look();
    if (!tokens.isName("not") || type !== "name" || value !== "in") return undefined;
    tokens.next();
    tokens.next();
    return "not in";
  }

  const parseSum = (): Expression => chain(parseConcat, ["+", "-"], makeBinary);

  function parseConcat(): Expression {
    const { line } = tokens.current;
    const items = [parseProduct()];
    while (tokens.skipOperator("~")) items.push(parseProduct());
    return items.length === 1 ? items[0]! : { type: "concat", items, line };
  }

  const parseProduct = (): Expression => chain(parsePower, ["*", "/", "//", "%"], makeBinary);
  const parsePower = (): Expression => chain(() => parseUnary(), ["**"], makeBinary);

  function parseUnary(withFilters = true): Expression {
    const { line } = tokens.current;
    let result: Expression;
    const sign = tokens.isOperator("-") ? "negate" : tokens.isOperator("+") ? "plus" : undefined;
    if (sign !== undefined) {
      tokens.next();
      tokens.enter();
      result = { type: sign, of: parseUnary(false), line };
      tokens.leave();
    } else result = parsePrimary();
    result = parsePostfix(result);
    return withFilters ? parseFilterExpression(result) : result;
  }

  function parsePrimary(): Expression {
    const token = tokens.current;
    const { line } = token;
    switch (token.type) {
      case "name":
        tokens.next();
        return parseName(token.value, line);
      case "string": {
        let value = "";
        while (tokens.current.type === "string") value += tokens.next().value as string;
        return { type: "data", value, line };
      }
      case "integer":
      case "float":
        tokens.next();
        return { type: "constant", value: token.value, line };
    }
    if (tokens.skipOperator("(")) {
      const result = parseTuple({ parenthesized: true });
      tokens.expectOperator(")");
      return result;
    }
    if (tokens.isOperator("[")) return parseList();
    if (tokens.isOperator("{")) return parseDict();
    return fault(`unexpected '${describe(token)}'`);
  }

  function parseName(name: string, line: number): Expression {
    if (name === "true" || name === "True") return { type: "constant", value: true, line };
    if (name === "false" || name === "False") return { type: "constant", value: false, line };
    if (name === "none" || name === "None") return { type: "constant", value: null, line };
    return { type: "name", name, line };
  }

  function parseTuple({ choice = true, endName, parenthesized = false }: TupleOptions = {}): Expression {
    const { line } = tokens.current;
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) tokens.expectOperator(",");
      const { type } = tokens.current;
      if (type === "variable-end" || type === "block-end" || tokens.isOperator(")")) break;
      if (endName !== undefined && tokens.isName(endName)) break;
      items.push(parseExpression(choice));
      if (!tokens.isOperator(",")) break;
      isTuple = true;
    }
    if (!isTuple && items.length > 0) return items[0]!;
    if (!isTuple && !parenthesized) fault(`Expected an expression, got '${describe(tokens.current)}'`);
    return { type: "tuple", items, line };
  }

  function parseList(): Expression {
    const { line } = tokens.next();
    const items: Expression[] = [];
    while (!tokens.isOperator("]")) {
      if (items.length > 0) tokens.expectOperator(",");
      if (tokens.isOperator("]")) break;
      items.push(parseExpression());
    }
    tokens.next();
    return { type: "list", items, line };
  }

  function parseDict(): Expression {
    const { line } = tokens.next();
    const pairs: (readonly [Expression, Expression])[] = [];
    while (!tokens.isOperator("}")) {
      if (pairs.length > 0) tokens.expectOperator(",");
      if (tokens.isOperator("}")) break;
      const key = parseExpression();
      tokens.expectOperator(":");
      pairs.push([key, parseExpression()]);
    }
    tokens.next();
    return { type: "dict", pairs, line };
  }

  function parsePostfix(of: Expression): Expression {
    let result = of;
    for (;;) {
      if (tokens.isOperator(".")) result = parseAttribute(result);
      else if (tokens.isOperator("[")) result = parseSubscript(result);
      else if (tokens.isOperator("(")) result = parseCall(result);
      else return result;
    }
  }

  function parseFilterExpression(of: Expression): Expression {
    let result = of;
    for (;;) {
      if (tokens.isOperator("|")) result = parseFilters(result)!;
      else if (tokens.isName("is")) result = parseTest(result);
      else if (tokens.isOperator("(")) result = parseCall(result);
      else return result;
    }
  }

  function parseAttribute(of: Expression): Expression {
    const { line } = tokens.next();
    const token = tokens.next();
    if (token.type === "name") return { type: "attribute", of, name: token.value, line };
    if (token.type !== "integer") return fault("expected name or number");
    return { type: "item", of, key: { type: "constant", value: token.value, line }, line };
  }

  function parseSubscript(of: Expression): Expression {
    const { line } = tokens.next();
    const keys: Expression[] = [];
    let slice: Expression | undefined;
    while (!tokens.isOperator("]")) {
      if (keys.length > 0 || slice !== undefined) tokens.expectOperator(",");
      const start = tokens.isOperator(":") ? undefined : parseExpression();
      if (!tokens.isOperator(":")) {
        keys.push(start!);
        continue;
      }
      slice = { type: "slice", of, bounds: parseBounds(start), line };
    }
    tokens.next();
    if (slice !== undefined) return keys.length === 0 ? slice : fault("several slices at once are not supported");
    return { type: "item", of, key: keys.length === 1 ? keys[0]! : { type: "tuple", items: keys, line }, line };
  }

  function parseBounds(start: Expression | undefined): Extract<Expression, { type: "slice" }>["bounds"] {
    const bound = (): Expression | undefined => {
      const ends = tokens.isOperator(":") || tokens.isOperator("]") || tokens.isOperator(",");
      return ends ? undefined : parseExpression();
    };
    tokens.expectOperator(":");
    const stop = bound();
    return [start, stop, tokens.skipOperator(":") ? bound() : undefined];
  }

  function parseCall(of: Expression): Expression {
    const { line } = tokens.current;
    return { type: "call", of, args: parseArguments(), line };
  }

  function parseArguments(): Arguments {
    const positional: Expression[] = [];
    const named: (readonly [string, Expression])[] = [];
    let rest: Expression | undefined;
    let namedRest: Expression | undefined;
    const ensure = (holds: boolean): void => {
      if (!holds) fault("invalid syntax for function call expression");
    };
    tokens.expectOperator("(");
    for (let first = true; !tokens.isOperator(")"); first = false) {
      if (!first) tokens.expectOperator(",");
      if (tokens.isOperator(")")) break;
      if (tokens.skipOperator("*")) {
        ensure(rest === undefined && namedRest === undefined);
        rest = parseExpression();
      } else if (tokens.skipOperator("**")) {
        ensure(namedRest === undefined);
        namedRest = parseExpression();
      } else if (tokens.current.type === "name" && tokens.look().type === "operator" && tokens.look().value === "=") {
        ensure(namedRest === undefined);
        const name = tokens.expectName();
        tokens.next();
        if (named.some(([other]) => other === name)) fault(`keyword argument repeated: ${name}`);
        named.push([name, parseExpression()]);
      } else {
        ensure(rest === undefined && namedRest === undefined && named.length === 0);
        positional.push(parseExpression());
      }
    }
    tokens.next();
    return { positional, named, rest, namedRest };
  }

  /** The name of a filter or test, which may have dots. */
  function parseDottedName(kind: "filter" | "test"): string {
    const { position } = tokens;
    let name = tokens.expectName();
    while (tokens.skipOperator(".")) name += `.${tokens.expectName()}`;
    if (!soft && !(kind === "filter" ? isFilter : isTest)(name)) {
      unknown.push({ position, message: `No ${kind} named '${name}'.` });
    }
    return name;
  }

  function parseFilters(of: Expression | undefined, inline = false): Expression | undefined {
    let result = of;
    let begins = inline;
    while (begins || tokens.skipOperator("|")) {
      begins = false;
      const { line } = tokens.current;
      const name = parseDottedName("filter");
      const args = tokens.isOperator("(") ? parseArguments() : noArguments;
      result = { type: "filter", name, of: result, args, line };
    }
    return result;
  }

  function parseTest(of: Expression): Expression {
    const { line } = tokens.next();
    const negated = tokens.skipName("not");
    const name = parseDottedName("test");
    let args = noArguments;
    const { type } = tokens.current;
    if (tokens.isOperator("(")) args = parseArguments();
    else if (
      ["name", "string", "integer", "float"].includes(type) ? !tokens.isName("else", "or", "and") : beginsValue()
    ) {
      if (tokens.isName("is")) fault("You cannot chain multiple tests with is");
      args = { ...noArguments, positional: [parsePostfix(parsePrimary())] };
    }
    const test: Expression = { type: "test", name, of, args, line };
    return negated ? { type: "not", of: test, line } : test;
  }

  const beginsValue = (): boolean => tokens.isOperator("[") || tokens.isOperator("{");

  /** Reads one whole expression, after which every name in it must be known. */
  const whole =
    <Rest extends unknown[], T>(parse: (...rest: Rest) => T) =>
    (...rest: Rest): T => {
      const result = parse(...rest);
      checkNames();
      return result;
    };

  return {
    parseExpression: whole(parseExpression),
    parseTuple: whole(parseTuple),
    parseFilters: whole(parseFilters),
    withSoftNames,
  };
}

const noArguments: Arguments = { positional: [], named: [], rest: undefined, namedRest: undefined };
