import { createDerivatives } from "../derivatives.ts";
import { choice, type Expression, literal, nothing, oneOfTexts, type Rules, ruleOf, sequence } from "../expression.ts";
import { anyNumber, anyValue } from "../json-text.ts";
import { oneCharacter } from "../utf8-ranges.ts";
import { createCheckApart } from "./apart.ts";
import { arrayOf } from "./array.ts";
import { readSchema, refuse, type Schema } from "./document.ts";
import { createExpand, type Flat } from "./expand.ts";
import { createFactReader, type Facts } from "./facts.ts";
import { createReader } from "./keywords.ts";
import { decimalNumber, hasMultiple, multiplesOf, multipleWithin, wholeNumber } from "./number.ts";
import { objectOf } from "./object.ts";
import type { SchemaCompiler } from "./parts.ts";
import { plainString, stringOf } from "./string.ts";
import { createValidate } from "./validate.ts";

const mostRules = 20_000;
/** Characters of all values of `enum` and `const`, and lists of {@link createDerivatives} that are looked at. */
const mostEnumerated = 65_536;
const mostSearched = 50_000;
/** Remainders that a machine counts in. */
const mostDivisor = 1000;

/**
 * JSON texts whose values a schema allows: not all of them, as members come in the schema's order and whitespace is bounded, but none
 * that it does not allow.
 *
 * @throws GrokError `argument` for what is no schema; `unsupported` naming the place and the keyword for what cannot be held to
 */
export function compileSchema(schema: unknown): Rules {
  return compile(schema, ({ document, valueFor }) => valueFor([document.root]));
}

/** The same of values that are strings alone, written as they are. */
export function compilePlain(schema: unknown): Rules {
  return compile(schema, (compiler) => {
    const { document, expand, facts, fits } = compiler;
    const texts = expand([document.root]).map((flat) => {
      const { types, values, strings } = facts.factsOf(flat);
      if (values !== undefined) {
        return oneOfTexts(values.filter((value) => typeof value === "string" && fits(value, flat)) as string[]);
      }
      return types.has("string") ? plainString(strings, compiler, oneCharacter) : nothing;
    });
    return choice(...texts);
  });
}

function compile(schema: unknown, rootOf: (compiler: SchemaCompiler) => Expression): Rules {
  const document = readSchema(schema);
  const reader = createReader(document);
  const numbers = new Map<Schema, number>();
  const bodies: Expression[] = [];
  const names: string[] = [];
  const known = new Map<string, Expression>();

  const keyOf = (schemas: readonly Schema[]) =>
    [...new Set(schemas)]
      .filter((one) => one !== true)
      .map((one) => {
        if (!numbers.has(one)) numbers.set(one, numbers.size);
        return numbers.get(one)!;
      })
      .sort((a, b) => a - b)
      .join();

  let enumerated = 0;
  let searched = 0;
  /** Each search is bounded; so are all together. */
  function isImpossible(expression: Expression): boolean {
    const { start, mayEnd, edges, size } = createDerivatives({ bodies: [expression], names: [""] });
    const impossible = !mayEnd(start) && edges(start).length === 0;
    searched += size();
    if (searched > mostSearched) refuse("#", "its patterns and lengths take too long to compare");
    return impossible;
  }

  const facts = createFactReader(document, reader);
  const { factsOf } = facts;
  const expand = createExpand(document, reader, (branches, owner) => checkApart(branches, owner));
  const fits = createValidate(reader, expand, facts);
  const checkApart = createCheckApart({ document, facts, fits, expand, isImpossible });

  function addRule(name: string) {
    if (bodies.length >= mostRules) refuse("#", `it becomes more than ${mostRules} rules`);
    const number = bodies.push(nothing) - 1;
    names.push(name);
    const define = (body: Expression) => {
      bodies[number] = body;
    };
    return { rule: ruleOf(number), define };
  }

  /** Values that meet all of some schemas. */
  function valueFor(schemas: readonly Schema[]): Expression {
    const key = keyOf(schemas);
    const before = known.get(key);
    if (before !== undefined) return before;
    const first = schemas.find((one) => typeof one === "object");
    const { rule, define } = addRule(first === undefined ? "value" : document.placeOf(first as object));
    known.set(key, rule);
    define(choice(...expand(schemas).map(flatValue)));
    return rule;
  }

  function flatValue(flat: Flat): Expression {
    const facts = factsOf(flat);
    if (facts.values !== undefined) {
      const texts = facts.values.filter((value) => fits(value, flat)).map((value) => JSON.stringify(value));
      enumerated += texts.reduce((sum, text) => sum + text.length, 0);
      if (enumerated > mostEnumerated) refuse("#", `enum and const of more than ${mostEnumerated} characters`);
      return oneOfTexts(texts);
    }
    if (flat.every((schema) => Object.keys(schema).length === 0)) return anything();
    return choice(...[...facts.types].map((type) => valueOfType[type](flat, facts)));
  }

  function anything(): Expression {
    const before = known.get("anything");
    if (before !== undefined) return before;
    const { rule, define } = addRule("value");
    known.set("anything", rule);
    define(anyValue(rule).value);
    return rule;
  }

  function numberOf(flat: Flat, { numbers }: Facts, isWhole: boolean): Expression {
    const { divisors, ...bounds } = numbers;
    const [divisor] = divisors;
    if (divisors.length > 1) refuse(document.placeOf(flat[0]!), "multipleOf more than once is not supported");
    const isFree = !Number.isFinite(bounds.min) && !Number.isFinite(bounds.max);
    if (divisor === undefined || divisor === 1) {
      if (isWhole || divisor === 1) return wholeNumber(bounds);
      return isFree ? anyNumber : decimalNumber(bounds);
    }
    if (!Number.isInteger(divisor) || divisor < 1 || divisor > mostDivisor) {
      const place = document.placeOf(flat.find((one) => Object.hasOwn(one, "multipleOf"))!);
      refuse(`${place}/multipleOf`, `multipleOf ${divisor} is not supported, only whole numbers up to ${mostDivisor}`);
    }
    if (!hasMultiple(bounds, divisor)) return nothing;
    const key = `multiples of ${divisor}`;
    const multiples = known.get(key) ?? multiplesOf(divisor, () => addRule(key));
    known.set(key, multiples);
    return multipleWithin(bounds, multiples);
  }

  const compiler: SchemaCompiler = { document, reader, facts, expand, valueFor, isImpossible, addRule, fits };
  const word = (text: string) => () => literal(text);
  const valueOfType: Record<string, (flat: Flat, facts: Facts) => Expression> = {
    null: word("null"),
    boolean: () => choice(literal("true"), literal("false")),
    integer: (flat, facts) => numberOf(flat, facts, true),
    number: (flat, facts) => numberOf(flat, facts, false),
    string: (_, { strings }) => stringOf(strings, compiler),
    array: (flat, facts) => arrayOf(flat, facts, compiler),
    object: (flat, facts) => objectOf(flat, facts, compiler),
  };

  const whole = addRule("root");
  whole.define(sequence(rootOf(compiler)));
  return { bodies, names };
}
