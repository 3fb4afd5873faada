import { toUtf8 } from "../../bytes/utf8.ts";
import { type Automaton, createAutomaton, dead } from "../automaton.ts";
import type { Expression } from "../expression.ts";
import { anyMatch } from "../regex.ts";
import { oneCharacter } from "../utf8-ranges.ts";
import { refuse, type Schema, type SchemaDocument, type SchemaObject } from "./document.ts";
import type { Flat } from "./expand.ts";
import { formats } from "./formats.ts";
import { type KeywordReader, keywordsOf, ownValue, type TypeName, typeNames } from "./keywords.ts";
import type { NumberBounds } from "./number.ts";

/** What flat schemas say, put together. */
export interface Facts {
  /** Types that are written. "integer" is never beside "number". */
  readonly types: ReadonlySet<TypeName>;
  /** Types that are valid: more, where a schema without `type` has keywords of one type alone and is taken for that. */
  readonly validTypes: ReadonlySet<TypeName>;
  /** Those that `const` and `enum` leave; undefined where there are none of these. */
  readonly values: readonly unknown[] | undefined;
  readonly numbers: NumberBounds & { readonly divisors: readonly number[] };
  readonly strings: { readonly min: number; readonly max: number; readonly patterns: readonly string[] };
  readonly items: { readonly min: number; readonly max: number };
  readonly members: { readonly min: number; readonly max: number; readonly required: ReadonlySet<string> };
}

export interface FactReader {
  factsOf(flat: Flat): Facts;
  /** Whether a text has a match of a pattern: asked of no engine that goes back, so that no pattern takes long. */
  hasMatch(pattern: string, text: string): boolean;
  /** Schemas that a member of an object has to meet, by what one schema says of it. */
  schemasOfMember(schema: SchemaObject, name: string): readonly Schema[];
}

/** @throws GrokError `argument` for keywords that are not what they should be; `unsupported` for formats that are not known */
export function createFactReader(document: SchemaDocument, reader: KeywordReader): FactReader {
  const gathered = new Map<Flat, Facts>();
  const patterns = new Map<string, Automaton>();

  function hasMatch(pattern: string, text: string): boolean {
    const automaton = patterns.get(pattern) ?? automatonOf(anyMatch(pattern, oneCharacter));
    patterns.set(pattern, automaton);
    return accepts(automaton, text);
  }

  return {
    factsOf(flat) {
      const facts = gathered.get(flat) ?? gatherFacts(flat, reader, document);
      gathered.set(flat, facts);
      return facts;
    },
    hasMatch,
    schemasOfMember(schema, name) {
      const own = reader.named(schema, "properties").get(name);
      const matching = [...reader.named(schema, "patternProperties")].filter(([pattern]) => hasMatch(pattern, name));
      const said = [...(own === undefined ? [] : [own]), ...matching.map(([, inner]) => inner)];
      if (said.length > 0) return said;
      const rest = reader.schema(schema, "additionalProperties");
      return rest === undefined ? [] : [rest];
    },
  };
}

function gatherFacts(flat: Flat, reader: KeywordReader, document: SchemaDocument): Facts {
  const counts = (keyword: string) => flat.map((schema) => reader.count(schema, keyword));
  const most = (keyword: string) => Math.max(0, ...counts(keyword).map((count) => count ?? 0));
  const least = (keyword: string) =>
    Math.min(Number.POSITIVE_INFINITY, ...counts(keyword).map((count) => count ?? Number.POSITIVE_INFINITY));
  const validTypes = typesOf(flat, reader);
  const saysType = flat.some((schema) => ["type", "enum", "const"].some((keyword) => Object.hasOwn(schema, keyword)));
  const types = saysType ? validTypes : (impliedType(flat) ?? validTypes);
  return {
    ...{ types, validTypes, values: valuesOf(flat, reader) },
    numbers: {
      ...boundsOf(flat, reader),
      divisors: flat.flatMap((schema) => reader.number(schema, "multipleOf") ?? []),
    },
    strings: {
      ...{ min: most("minLength"), max: least("maxLength") },
      patterns: flat.flatMap((schema) => [
        ...[reader.text(schema, "pattern") ?? []].flat(),
        ...patternsOfFormat(schema, reader, document, types),
      ]),
    },
    items: { min: most("minItems"), max: least("maxItems") },
    members: {
      ...{ min: most("minProperties"), max: least("maxProperties") },
      required: new Set(flat.flatMap((schema) => reader.texts(schema, "required") ?? [])),
    },
  };
}

function typesOf(flat: Flat, reader: KeywordReader): ReadonlySet<TypeName> {
  let types: readonly TypeName[] = typeNames;
  for (const schema of flat) {
    const own = reader.types(schema);
    if (own === undefined) continue;
    types = types.filter((type) => own.includes(type) || (type === "integer" && own.includes("number")));
  }
  return new Set(types.includes("number") ? types.filter((type) => type !== "integer") : types);
}

/** That of the keywords, where all are of one. */
function impliedType(flat: Flat): ReadonlySet<TypeName> | undefined {
  const about = (Object.keys(keywordsOf) as (keyof typeof keywordsOf)[]).filter((type) =>
    flat.some((schema) => keywordsOf[type].some((keyword) => Object.hasOwn(schema, keyword))),
  );
  return about.length === 1 ? new Set(about) : undefined;
}

function valuesOf(flat: Flat, reader: KeywordReader): readonly unknown[] | undefined {
  let values: readonly unknown[] | undefined;
  const keep = (allowed: readonly unknown[]) => {
    values = values?.filter((value) => allowed.some((other) => isSame(value, other))) ?? allowed;
  };
  for (const schema of flat) {
    const list = reader.list(schema, "enum");
    if (list !== undefined) keep(list);
    if (Object.hasOwn(schema, "const")) keep([schema.const]);
  }
  return values;
}

/** Whether two JSON values are the same. */
export function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [first, second] = [Object.entries(a), b as Record<string, unknown>];
  return (
    first.length === Object.keys(second).length &&
    first.every(([key, value]) => Object.hasOwn(second, key) && isSame(value, second[key]))
  );
}

function boundsOf(flat: Flat, reader: KeywordReader): NumberBounds {
  let [min, max, aboveMin, belowMax] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, false, false];
  const raise = (bound: number | undefined, excluded: boolean) => {
    if (bound === undefined || bound < min) return;
    aboveMin = bound > min ? excluded : aboveMin || excluded;
    min = bound;
  };
  const lower = (bound: number | undefined, excluded: boolean) => {
    if (bound === undefined || bound > max) return;
    belowMax = bound < max ? excluded : belowMax || excluded;
    max = bound;
  };
  for (const schema of flat) {
    raise(reader.number(schema, "minimum"), false);
    raise(reader.number(schema, "exclusiveMinimum"), true);
    lower(reader.number(schema, "maximum"), false);
    lower(reader.number(schema, "exclusiveMaximum"), true);
    if (ownValue(schema, "format") === "int32") {
      raise(-(2 ** 31), false);
      lower(2 ** 31 - 1, false);
    }
  }
  return { min, max, aboveMin, belowMax };
}

/** Formats of numbers, which bound what is written here anyway. */
const numberFormats = new Set(["int32", "int64", "float", "double"]);

function patternsOfFormat(
  schema: SchemaObject,
  reader: KeywordReader,
  document: SchemaDocument,
  types: ReadonlySet<TypeName>,
): readonly string[] {
  const format = reader.text(schema, "format");
  if (format === undefined || numberFormats.has(format)) return [];
  if (Object.hasOwn(formats, format)) return [formats[format]!];
  if (!types.has("string")) return [];
  const place = `${document.placeOf(schema)}/format`;
  return refuse(place, `the format "${format}" is not supported; known are ${Object.keys(formats).join(", ")}`);
}

export function automatonOf(expression: Expression): Automaton {
  return createAutomaton({ bodies: [expression], names: [""] });
}

export function accepts(automaton: Automaton, text: string): boolean {
  let state = automaton.start;
  for (const byte of toUtf8(text)) {
    state = automaton.next(state, byte);
    if (state === dead) return false;
  }
  return automaton.mayEnd(state);
}
