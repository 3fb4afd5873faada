import { toUtf8 } from "../bytes/utf8.ts";
import { describeValue, GrokError, whyNotText } from "../errors.ts";
import { createDerivatives } from "./derivatives.ts";
import {
  both,
  choice,
  type Expression,
  empty,
  except,
  literal,
  nothing,
  type Rules,
  repeat,
  ruleOf,
  sequence,
} from "./expression.ts";
import { parseGbnf } from "./gbnf.ts";
import type { Grammar } from "./grammar.ts";
import { compilePlain, compileSchema } from "./json-schema/compile.ts";
import { anyValue } from "./json-text.ts";
import { createRewrite, prune } from "./prune.ts";
import { allCharacters } from "./ranges.ts";
import { fullMatch } from "./regex.ts";
import { controlMark } from "./token-trie.ts";
import { oneCharacter } from "./utf8-ranges.ts";

const forms = [
  "json",
  "schema",
  "plain",
  "regex",
  "gbnf",
  "text",
  "control",
  "until",
  "without",
  "sequence",
  "choice",
  "all",
  "repeat",
];
const deepest = 32;
/** Characters of a text that is looked for. */
const longestMark = 256;

const anyText = repeat(oneCharacter(allCharacters), 0, Number.POSITIVE_INFINITY);
const someText = repeat(oneCharacter(allCharacters), 1, Number.POSITIVE_INFINITY);

/**
 * Rules over bytes for a grammar, ready to be followed.
 * @throws GrokError `argument` for what is wrong with it, `unsupported` naming what cannot be held to, or is too large
 */
export function compileGrammar(grammar: Grammar): Rules {
  const bodies: Expression[] = [empty];
  const names: string[] = ["root"];

  /** The rules of another grammar, by new numbers. */
  function include(others: Rules): Expression {
    const first = bodies.length;
    const renumber = createRewrite((rule) => ruleOf(first + rule));
    bodies.push(...others.bodies.map(renumber));
    names.push(...others.names);
    return ruleOf(first);
  }

  function together(parts: readonly Expression[]): Expression {
    const all = parts.length === 0 ? nothing : parts.reduce(both);
    const { start, mayEnd, edges } = createDerivatives({ bodies: [all, ...bodies.slice(1)], names });
    if (mayEnd(start) || edges(start).length > 0) return all;
    throw new GrokError("unsupported", "the grammar has conditions on one text that nothing meets together");
  }

  function read(part: Grammar, depth: number): Expression {
    const form = formOf(part);
    if (depth > deepest) throw new GrokError("unsupported", `the grammar is nested more than ${deepest} deep`);
    const inner = (one: Grammar) => read(one, depth + 1);
    switch (form) {
      case "json": {
        const { value, object } = anyValue(ruleOf(bodies.length));
        bodies.push(value);
        names.push("value");
        return object;
      }
      case "schema":
      case "plain": {
        const compile = form === "schema" ? compileSchema : compilePlain;
        return include(readSchema(compile, valueIn(part, form), toolIn(part)));
      }
      case "regex":
        return fullMatch(textIn(part, form), oneCharacter);
      case "gbnf":
        return include(parseGbnf(textIn(part, form)));
      case "text":
        return literal(textIn(part, form));
      case "control":
        return { kind: "literal", bytes: Uint8Array.of(controlMark, ...toUtf8(textIn(part, form))) };
      case "until":
        return except(sequence(anyText, markIn(part, form)), sequence(anyText, markIn(part, form), someText));
      case "without":
        return except(anyText, sequence(anyText, markIn(part, form), anyText));
      case "sequence":
        return sequence(...listIn(part, form).map(inner));
      case "choice":
        return choice(...listIn(part, form).map(inner));
      case "all":
        return together(listIn(part, form).map(inner));
      default: {
        const [min, max] = [countIn(part, "min", 0), countIn(part, "max", Number.POSITIVE_INFINITY)];
        if (min <= max) return repeat(inner(valueIn(part, form) as Grammar), min, max);
        throw new GrokError("argument", `grammar: a repetition of min ${min} and max ${max}`, { option: "min" });
      }
    }
  }

  bodies[0] = read(grammar, 0);
  const rules = prune({ bodies, names });
  // What begins with itself is found out before anybody waits for a token.
  const { checkRule } = createDerivatives(rules);
  for (const rule of rules.bodies.keys()) checkRule(rule);
  return rules;
}

/** @throws GrokError `argument` for what is no grammar */
function formOf(grammar: unknown): string {
  if (typeof grammar !== "object" || grammar === null || Array.isArray(grammar)) {
    throw new GrokError("argument", `grammar is ${describeValue(grammar)}, expected an object`, { option: "grammar" });
  }
  const { min: _, max: __, tool: ___, ...named } = grammar as Readonly<Record<string, unknown>>;
  const [form, ...others] = Object.keys(named);
  if (form === undefined || others.length > 0 || !forms.includes(form)) {
    throw new GrokError("argument", `grammar: expected one of ${forms.join(", ")}`, { option: "grammar" });
  }
  return form;
}

/** @throws GrokError as {@link compileSchema}, which names the tool whose arguments are to be valid */
function readSchema(compile: (schema: unknown) => Rules, schema: unknown, tool: string | undefined): Rules {
  try {
    return compile(schema);
  } catch (error) {
    if (tool === undefined || !(error instanceof GrokError)) throw error;
    throw new GrokError(
      error.code,
      `tools: the parameters of ${tool}: ${error.message}`,
      { ...error.details, tool },
      error,
    );
  }
}

const valueIn = (grammar: Grammar, name: string) => (grammar as Readonly<Record<string, unknown>>)[name];

function toolIn(grammar: Grammar): string | undefined {
  return valueIn(grammar, "tool") === undefined ? undefined : textIn(grammar, "tool");
}

function textIn(grammar: Grammar, form: string): string {
  const value = valueIn(grammar, form);
  const why = typeof value === "string" ? whyNotText(value) : undefined;
  if (typeof value === "string" && why === undefined) return value;
  throw new GrokError("argument", `grammar: ${form} is ${why ?? describeValue(value)}, expected a text`, {
    option: form,
  });
}

function markIn(grammar: Grammar, form: string): Expression {
  const text = textIn(grammar, form);
  if (text !== "" && text.length <= longestMark) return literal(text);
  throw new GrokError("argument", `grammar: ${form} is empty or longer than ${longestMark} characters`, {
    option: form,
  });
}

function listIn(grammar: Grammar, form: string): readonly Grammar[] {
  const value = valueIn(grammar, form);
  if (Array.isArray(value)) return value;
  throw new GrokError("argument", `grammar: ${form} is ${describeValue(value)}, expected a list`, { option: form });
}

function countIn(grammar: Grammar, name: string, usual: number): number {
  const value = valueIn(grammar, name) ?? usual;
  if (value === usual || (Number.isSafeInteger(value) && (value as number) >= 0)) return value as number;
  throw new GrokError("argument", `grammar: ${name} is ${describeValue(value)}, expected a whole number`, {
    option: name,
  });
}
