import { fault } from "./allowance.ts";
import { createExpressionParser, type ExpressionParser } from "./expressions.ts";
import { type Place, tokenize } from "./lexer.ts";
import type { Body, Expression, MacroUses, Signature, Statement, Target } from "./syntax.ts";
import { describe, readTokens, type Tokens } from "./tokens.ts";

/** Tags of jinja2 that a chat template, which is one file, cannot use. */
const refused: ReadonlySet<string> = new Set(["extends", "include", "import", "from", "autoescape"]);

/**
 * A template's statements. @throws GrokError for a template that jinja2 does not take, and for what is refused; `place` then has
 * its line.
 */
export function parse(source: string, place: Place): Body {
  const tokens = readTokens(tokenize(source, place), place);
  return createParser(tokens).parseBody([]);
}

function createParser(tokens: Tokens) {
  const expressions: ExpressionParser = createExpressionParser(tokens);
  const { parseExpression, parseTuple, parseFilters, withSoftNames } = expressions;
  /** Loops around the statement, which `break` and `continue` need. */
  let loops = 0;

  /** Statements up to a block that begins with one of the names, which is then the current token. */
  function parseBody(ends: readonly string[]): Body {
    const body: Statement[] = [];
    let items: Expression[] = [];
    const flush = (): void => {
      if (items.length > 0) body.push({ type: "output", items, line: items[0]!.line });
      items = [];
    };
    tokens.enter();
    for (;;) {
      const token = tokens.current;
      if (token.type === "data") {
        items.push({ type: "data", value: token.value, line: token.line });
        tokens.next();
      } else if (token.type === "variable-begin") {
        tokens.next();
        items.push(parseTuple());
        tokens.expect("variable-end");
      } else if (token.type === "block-begin") {
        flush();
        tokens.next();
        if (tokens.isName(...ends)) break;
        body.push(parseStatement(ends));
        tokens.expect("block-end");
      } else break;
    }
    flush();
    tokens.leave();
    if (ends.length > 0 && tokens.current.type === "end") {
      fault(`Unexpected end of template. Jinja was looking for the following tags: ${listOf(ends)}.`);
    }
    return body;
  }

  const listOf = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(" or ");

  /** The body of a block whose beginning has been read so far; `soft` as for {@link ExpressionParser.withSoftNames}. */
  function parseBlock(ends: readonly string[], soft = false): Body {
    tokens.skipOperator(":");
    tokens.expect("block-end");
    return withSoftNames(soft, () => parseBody(ends));
  }

  /** As {@link parseBlock}, and takes the one end along. */
  function parseWhole(end: string, soft = false): Body {
    const body = parseBlock([end], soft);
    tokens.next();
    return body;
  }

  /** A body that runs apart from the loop around it. */
  function parseApart(end: string): Body {
    const outer = loops;
    loops = 0;
    const body = parseWhole(end);
    loops = outer;
    return body;
  }

  function parseStatement(ends: readonly string[]): Statement {
    const { line } = tokens.current;
    const name = tokens.current.type === "name" ? tokens.expectName() : fault("tag name expected");
    switch (name) {
      case "if":
        return parseIf(line);
      case "for":
        return parseFor(line);
      case "set":
        return parseSet(line);
      case "with":
        return parseWith(line);
      case "macro": {
        const start = tokens.position;
        const macro = tokens.expectName();
        const signature = parseSignature();
        const body = parseApart("endmacro");
        return { type: "macro", name: macro, signature, body, uses: usesSince(start), line };
      }
      case "call":
        return parseCallBlock(line);
      case "filter": {
        const filter = parseFilters(undefined, true)!;
        return { type: "filter-block", filter, body: parseWhole("endfilter"), line };
      }
      case "print": {
        const items: Expression[] = [];
        while (tokens.current.type !== "block-end") {
          if (items.length > 0) tokens.expectOperator(",");
          items.push(parseExpression());
        }
        return { type: "output", items, line };
      }
      case "generation":
        return { type: "generation", body: parseApart("endgeneration"), line };
      case "block":
        return parseNamedBlock(line);
      case "break":
      case "continue":
        if (loops === 0) fault(`'${name}' outside loop`);
        return { type: name, line };
    }
    if (refused.has(name)) fault(`{% ${name} %} is not supported in a chat template`);
    const looking = ends.length > 0 ? ` Jinja was looking for the following tags: ${listOf(ends)}.` : "";
    return fault(`Encountered unknown tag '${name}'.${looking}`);
  }

  function parseIf(line: number): Statement {
    const branches: (readonly [Expression, Body])[] = [];
    const branch = (): void => {
      const test = withSoftNames(true, () => parseTuple({ choice: false }));
      branches.push([test, parseBlock(["elif", "else", "endif"], true)]);
    };
    branch();
    while (tokens.skipName("elif")) branch();
    const otherwise = tokens.skipName("else") ? parseBlock(["endif"], true) : [];
    tokens.next();
    return { type: "if", branches, otherwise, line };
  }

  function parseFor(line: number): Statement {
    const target = parseTarget(false, "in");
    tokens.expectName("in");
    const over = parseTuple({ choice: false, endName: "recursive" });
    const test = tokens.skipName("if") ? parseExpression() : undefined;
    const recursive = tokens.skipName("recursive");
    loops++;
    const body = parseBlock(["endfor", "else"]);
    loops--;
    const otherwise = tokens.skipName("else") ? parseBlock(["endfor"]) : [];
    tokens.next();
    return { type: "for", target, over, test, recursive, body, otherwise, line };
  }

  function parseSet(line: number): Statement {
    const target = parseTarget(true);
    if (tokens.skipOperator("=")) return { type: "set", target, value: parseTuple(), line };
    const filter = parseFilters(undefined);
    return { type: "set-block", target, filter, body: parseWhole("endset"), line };
  }

  /** A name, in `set` also a namespace's field, or several with commas between. */
  function parseTarget(fields: boolean, end?: string): Target {
    const items: Target[] = [];
    let isTuple = false;
    for (;;) {
      if (tokens.current.type === "block-end" || tokens.isOperator(")")) break;
      if (end !== undefined && tokens.isName(end)) break;
      items.push(parseOneTarget(fields));
      if (!tokens.skipOperator(",")) break;
      isTuple = true;
    }
    if (isTuple) return { type: "tuple", items };
    return items[0] ?? fault(`Expected an expression, got '${describe(tokens.current)}'`);
  }

  function parseOneTarget(fields: boolean): Target {
    if (tokens.skipOperator("(")) {
      tokens.enter();
      const target = parseTarget(fields);
      tokens.leave();
      tokens.expectOperator(")");
      return target;
    }
    const name = tokens.expectName();
    if (/^([tT]rue|[fF]alse|[nN]one)$/.test(name)) fault("can't assign to 'const'");
    return fields && tokens.skipOperator(".")
      ? { type: "field", name, field: tokens.expectName() }
      : { type: "name", name };
  }

  function parseWith(line: number): Statement {
    const targets: (readonly [Target, Expression])[] = [];
    while (tokens.current.type !== "block-end") {
      if (targets.length > 0) tokens.expectOperator(",");
      const target = parseOneTarget(false);
      tokens.expectOperator("=");
      targets.push([target, parseExpression()]);
    }
    return { type: "with", targets, body: parseWhole("endwith"), line };
  }

  function parseSignature(): Signature {
    const parameters: string[] = [];
    const defaults: Expression[] = [];
    tokens.expectOperator("(");
    while (!tokens.isOperator(")")) {
      if (parameters.length > 0) tokens.expectOperator(",");
      const name = tokens.expectName();
      if (parameters.includes(name)) fault(`duplicate argument '${name}' in function definition`);
      parameters.push(name);
      if (tokens.skipOperator("=")) defaults.push(parseExpression());
      else if (defaults.length > 0) fault("non-default argument follows default argument");
    }
    tokens.next();
    return { parameters, defaults };
  }

  const usesSince = (start: number): MacroUses => ({
    varargs: tokens.hasName("varargs", start),
    kwargs: tokens.hasName("kwargs", start),
    caller: tokens.hasName("caller", start),
  });

  function parseCallBlock(line: number): Statement {
    const signature = tokens.isOperator("(") ? parseSignature() : { parameters: [], defaults: [] };
    const call = parseExpression();
    if (call.type !== "call") return fault("expected call");
    const start = tokens.position;
    const body = parseApart("endcall");
    return { type: "call-block", call, signature, body, uses: usesSince(start), line };
  }

  function parseNamedBlock(line: number): Statement {
    const name = tokens.expectName();
    const scoped = tokens.skipName("scoped");
    tokens.skipName("required");
    const body = parseApart("endblock");
    tokens.skipName(name);
    return { type: "block", scoped, body, line };
  }

  return { parseBody };
}
