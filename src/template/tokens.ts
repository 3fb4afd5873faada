import { fault } from "./allowance.ts";
import type { Place, Token } from "./lexer.ts";

/** A token's place in a list, which a parser moves along; the line for messages goes with it. */
export interface Tokens {
  readonly current: Token;
  /** The token after the current one. */
  look(): Token;
  next(): Token;
  /** Whether the current token is this operator, or this name. */
  isOperator(value: string): boolean;
  isName(...values: string[]): boolean;
  skipOperator(value: string): boolean;
  skipName(value: string): boolean;
  expectOperator(value: string): void;
  expectName(value?: string): string;
  expect(type: Token["type"]): void;
  /** Goes a level deeper in the syntax. @throws GrokError beyond the deepest. */
  enter(): void;
  leave(): void;
  /** The current token's place in the list. */
  readonly position: number;
  /** Whether the name stands among the tokens from `start` to the current one, other than behind a dot. */
  hasName(name: string, start: number): boolean;
}

/** Levels of nesting in a template's syntax; jinja2's own parser ends at some 80. */
const mostLevels = 100;

export function readTokens(tokens: readonly Token[], place: Place): Tokens {
  let position = 0;
  let levels = 0;
  const current = (): Token => tokens[position]!;
  const next = (): Token => {
    const token = current();
    if (position < tokens.length - 1) position++;
    place.line = current().line;
    return token;
  };
  const is = (type: Token["type"], value: string): boolean => current().type === type && current().value === value;
  const unexpected = (wanted: string): never => {
    if (current().type === "end") return fault(`unexpected end of template, expected '${wanted}'`);
    return fault(`expected token '${wanted}', got '${describe(current())}'`);
  };
  place.line = current().line;
  return {
    get current() {
      return current();
    },
    get position() {
      return position;
    },
    look: () => tokens[Math.min(position + 1, tokens.length - 1)]!,
    next,
    isOperator: (value) => is("operator", value),
    isName: (...values) => current().type === "name" && values.includes(current().value as string),
    skipOperator(value) {
      const found = is("operator", value);
      if (found) next();
      return found;
    },
    skipName(value) {
      const found = is("name", value);
      if (found) next();
      return found;
    },
    expectOperator(value) {
      if (!is("operator", value)) unexpected(value);
      next();
    },
    expectName(value) {
      if (value === undefined ? current().type !== "name" : !is("name", value)) unexpected(value ?? "name");
      return next().value as string;
    },
    expect(type) {
      if (current().type !== type) unexpected(typeNames[type] ?? type);
      next();
    },
    hasName(name, start) {
      const before = (index: number) => tokens[index - 1];
      return tokens
        .slice(start, position)
        .some(({ type, value }, i) => type === "name" && value === name && before(start + i)?.value !== ".");
    },
    enter() {
      if (++levels > mostLevels) fault(`it nests deeper than ${mostLevels} levels`);
    },
    leave() {
      levels--;
    },
  };
}

const typeNames: Readonly<Partial<Record<Token["type"], string>>> = {
  "block-begin": "begin of statement block",
  "block-end": "end of statement block",
  "variable-begin": "begin of print statement",
  "variable-end": "end of print statement",
  data: "template data / text",
  end: "end of template",
};

export function describe(token: Token): string {
  return token.type === "name" || token.type === "operator" ? token.value : (typeNames[token.type] ?? token.type);
}
