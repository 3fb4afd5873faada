import {
  both,
  choice,
  type Expression,
  empty,
  except,
  literal,
  nothing,
  oneOfTexts,
  optional,
  repeat,
  sequence,
} from "../expression.ts";
import { afterColon, anyString, between, characterOf, comma, quoted, space } from "../json-text.ts";
import { anyMatch } from "../regex.ts";
import { refuse, type Schema, type SchemaObject } from "./document.ts";
import type { Flat } from "./expand.ts";
import { accepts, automatonOf, type Facts } from "./facts.ts";
import type { SchemaCompiler } from "./parts.ts";
import { plainString } from "./string.ts";

const mostMembers = 512;
const mostPatterns = 4;
/** Rules that count members. */
const mostCounts = 4096;

interface Member {
  /** With its name. */
  readonly whole: Expression;
  readonly required: boolean;
}

/**
 * Objects: members that the schema names in its order, then any others. Where it names some and says nothing of others, there are
 * none: whoever reads the answer asked for these.
 */
export function objectOf(flat: Flat, facts: Facts, compiler: SchemaCompiler): Expression {
  const { reader, document, addRule } = compiler;
  const place = document.placeOf(flat[0] ?? {});
  const { min, max, required } = facts.members;
  const names = [
    ...new Set([...flat.flatMap((schema) => [...reader.named(schema, "properties").keys()]), ...required]),
  ];
  if (names.length > mostMembers) refuse(place, `more than ${mostMembers} properties`);
  const nameText = nameOf(flat, compiler);
  const members: Member[] = [];
  for (const name of names) {
    const value = valueOfMember(name, flat, nameText, compiler);
    if (value === nothing && required.has(name)) return nothing;
    if (value === nothing) continue;
    members.push({ whole: sequence(literal(JSON.stringify(name)), afterColon, value), required: required.has(name) });
  }
  const other = otherMembers(flat, names, nameText, compiler);
  const needed = members.filter((member) => member.required).length;
  if (needed > max || (other === nothing && min > members.length)) return nothing;
  // Names that are free may come twice, and then are one.
  if (other !== nothing && min > needed + 1) {
    refuse(place, `minProperties ${min}, with names that the schema does not say, is not supported`);
  }
  const counts = min > needed || max < (other === nothing ? members.length : Number.POSITIVE_INFINITY);
  const most = counts ? Math.min(members.length, Math.max(min, Number.isFinite(max) ? max : 0)) : 1;
  if (counts && members.length * (most + 1) > mostCounts) {
    refuse(place, `minProperties and maxProperties of ${members.length} properties are not supported`);
  }

  const known = new Map<string, Expression>();
  /** The members from number `at` on, where `count` have come, or at least so many. */
  function from(at: number, count: number): Expression {
    if (at === members.length) return last(count);
    const key = `${at} ${count}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    const { rule, define } = addRule(`${place} after ${at} properties`);
    known.set(key, rule);
    const member = members[at]!;
    const next = Math.min(most, count + 1);
    const taken =
      counts && count >= max ? nothing : sequence(count > 0 ? comma : empty, member.whole, from(at + 1, next));
    define(member.required ? taken : choice(taken, from(at + 1, count)));
    return rule;
  }

  /** Others, and the end. */
  function last(count: number): Expression {
    const left = max - count;
    const least = Math.max(0, min - count);
    const end = count > 0 ? space : empty;
    if (other === nothing || left === 0) return least > 0 ? nothing : end;
    if (least > 1) return nothing;
    if (count > 0) return sequence(repeat(sequence(comma, other), least, left), end);
    const some = sequence(other, repeat(sequence(comma, other), 0, left - 1), space);
    return least > 0 ? some : optional(some);
  }
  return between("{", from(0, 0), "}");
}

/** What `propertyNames` says of names, between the quotation marks; undefined where it says nothing. */
function nameOf(flat: Flat, compiler: SchemaCompiler): Expression | undefined {
  const { reader, expand, facts, document } = compiler;
  const schemas = flat.map((schema) => reader.schema(schema, "propertyNames")).filter((inner) => inner !== undefined);
  if (schemas.length === 0) return undefined;
  return choice(
    ...expand(schemas).map((inner) => {
      const { types, values, strings } = facts.factsOf(inner);
      if (values !== undefined) refuse(`${document.placeOf(inner[0]!)}`, "enum and const of names are not supported");
      return types.has("string") ? plainString(strings, compiler) : nothing;
    }),
  );
}

const textOf = (name: string) => JSON.stringify(name).slice(1, -1);

function valueOfMember(
  name: string,
  flat: Flat,
  nameText: Expression | undefined,
  { facts, expand, valueFor }: SchemaCompiler,
): Expression {
  if (nameText !== undefined && !accepts(automatonOf(nameText), textOf(name))) return nothing;
  const schemas = flat.flatMap((schema) => facts.schemasOfMember(schema, name));
  return expand(schemas).length === 0 ? nothing : valueFor(schemas);
}

/** One member by a name that the schema does not say. */
function otherMembers(
  flat: Flat,
  names: readonly string[],
  nameText: Expression | undefined,
  compiler: SchemaCompiler,
): Expression {
  const { reader, document, expand, valueFor } = compiler;
  const says = flat.some((schema) =>
    ["additionalProperties", "patternProperties", "propertyNames"].some((keyword) => Object.hasOwn(schema, keyword)),
  );
  if (!says && names.length > 0) return nothing;
  const patterns = [...new Set(flat.flatMap((schema) => [...reader.named(schema, "patternProperties").keys()]))];
  if (patterns.length > mostPatterns) {
    refuse(document.placeOf(flat[0]!), `patternProperties: more than ${mostPatterns} patterns`);
  }
  const branches: Expression[] = [];
  // Each set of patterns that a name may match, of them all and no other.
  for (let chosen = 0; chosen < 1 << patterns.length; chosen++) {
    const matches = patterns.filter((_, i) => (chosen >> i) & 1);
    const schemas = flat.flatMap((schema) => schemasOfOther(schema, matches));
    if (expand(schemas).length === 0) continue;
    const name = nameOfOther(matches, patterns, names, nameText, compiler);
    if (name !== nothing) branches.push(sequence(name, afterColon, valueFor(schemas)));
  }
  return choice(...branches);

  function schemasOfOther(schema: SchemaObject, matches: readonly string[]): readonly Schema[] {
    const own = [...reader.named(schema, "patternProperties")].filter(([pattern]) => matches.includes(pattern));
    if (own.length > 0) return own.map(([, inner]) => inner);
    const rest = reader.schema(schema, "additionalProperties");
    return rest === undefined ? [] : [rest];
  }
}

function nameOfOther(
  matches: readonly string[],
  patterns: readonly string[],
  names: readonly string[],
  nameText: Expression | undefined,
  compiler: SchemaCompiler,
): Expression {
  const unlike = patterns.filter((pattern) => !matches.includes(pattern));
  if (nameText === undefined && patterns.length === 0 && names.length === 0) return anyString;
  const match = (pattern: string) => anyMatch(pattern, characterOf);
  const free = plainString({ min: 0, max: Number.POSITIVE_INFINITY, patterns: [] }, compiler);
  const like = [...(nameText === undefined ? [] : [nameText]), ...matches.map(match)];
  const wanted = like.length === 0 ? free : like.reduce(both);
  const name = except(wanted, choice(...unlike.map(match), oneOfTexts(names.map(textOf))));
  return compiler.isImpossible(name) ? nothing : quoted(name);
}
