import { describeValue, GrokError } from "../../errors.ts";
import { asSchema, refuse, type Schema, type SchemaDocument, type SchemaObject } from "./document.ts";

/** Types of JSON values. A number that is whole is an integer too. */
export const typeNames = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;
export type TypeName = (typeof typeNames)[number];

/** Keywords that say nothing about which values are valid, or only what others already do. */
const annotations = new Set([
  ...["title", "description", "default", "examples", "example", "$comment", "deprecated", "readOnly", "writeOnly"],
  ...["$schema", "$id", "$anchor", "$defs", "definitions", "$vocabulary", "discriminator", "externalDocs", "nullable"],
  ...["contentEncoding", "contentMediaType", "contentSchema"],
]);

/** Keywords of one type of value each. */
export const keywordsOf: Readonly<Record<"object" | "array" | "string" | "number", readonly string[]>> = {
  object: [
    ...["properties", "required", "additionalProperties", "patternProperties", "propertyNames"],
    ...["minProperties", "maxProperties"],
  ],
  array: ["items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"],
  string: ["minLength", "maxLength", "pattern"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
};

const known = new Set([
  ...annotations,
  ...Object.values(keywordsOf).flat(),
  ...["type", "enum", "const", "format", "$ref", "allOf", "anyOf", "oneOf"],
]);

/** What is only a part of another keyword, and nothing without it. */
const companions = new Map([
  ...["then", "else"].map((keyword) => [keyword, "if"] as const),
  ...["minContains", "maxContains"].map((keyword) => [keyword, "contains"] as const),
]);

/** @throws GrokError `unsupported` naming a keyword that is not held to here */
export function checkKeywords(schema: SchemaObject, document: SchemaDocument): void {
  for (const keyword of Object.keys(schema)) {
    if (known.has(keyword) || keyword.startsWith("x-")) continue;
    const companion = companions.get(keyword);
    if (companion !== undefined && !Object.hasOwn(schema, companion)) continue;
    if (keyword === "if" && !Object.hasOwn(schema, "then") && !Object.hasOwn(schema, "else")) continue;
    refuse(`${document.placeOf(schema)}/${keyword}`, `${keyword} is not supported`);
  }
}

/** A keyword's value, of a schema that has it as its own. */
export function ownValue(schema: SchemaObject, keyword: string): unknown {
  return Object.hasOwn(schema, keyword) ? schema[keyword] : undefined;
}

/** Reads keywords as what they have to be. @throws GrokError `argument` naming the place */
export function createReader(document: SchemaDocument) {
  function read<T>(schema: SchemaObject, keyword: string, expected: string, isRight: (value: unknown) => value is T) {
    const value = ownValue(schema, keyword);
    if (value === undefined || isRight(value)) return value;
    const place = `${document.placeOf(schema)}/${keyword}`;
    throw new GrokError("argument", `schema ${place}: ${describeValue(value)}, expected ${expected}`, { place });
  }
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  const isNumber = (value: unknown): value is number => Number.isFinite(value);
  const isText = (value: unknown): value is string => typeof value === "string";
  const isFlag = (value: unknown): value is boolean => typeof value === "boolean";
  const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);
  const isObject = (value: unknown): value is SchemaObject =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  const isTexts = (value: unknown): value is readonly string[] => isList(value) && value.every(isText);

  const schemaIn = (schema: SchemaObject, keyword: string): Schema | undefined => {
    const value = ownValue(schema, keyword);
    return value === undefined ? undefined : asSchema(value, `${document.placeOf(schema)}/${keyword}`);
  };
  const schemas = (schema: SchemaObject, keyword: string): readonly Schema[] | undefined =>
    read(schema, keyword, "a list of schemas", isList)?.map((item, i) =>
      asSchema(item, `${document.placeOf(schema)}/${keyword}/${i}`),
    );
  return {
    count: (schema: SchemaObject, keyword: string) => read(schema, keyword, "a whole number of at least 0", isCount),
    number: (schema: SchemaObject, keyword: string) => read(schema, keyword, "a number", isNumber),
    text: (schema: SchemaObject, keyword: string) => read(schema, keyword, "a text", isText),
    texts: (schema: SchemaObject, keyword: string) => read(schema, keyword, "a list of texts", isTexts),
    flag: (schema: SchemaObject, keyword: string) => read(schema, keyword, "true or false", isFlag),
    list: (schema: SchemaObject, keyword: string) => read(schema, keyword, "a list", isList),
    ...{ schema: schemaIn, schemas },
    /** Schemas by names. */
    named(schema: SchemaObject, keyword: string): ReadonlyMap<string, Schema> {
      const entries = Object.entries(read(schema, keyword, "an object of schemas", isObject) ?? {});
      const place = `${document.placeOf(schema)}/${keyword}`;
      return new Map(entries.map(([name, value]) => [name, asSchema(value, `${place}/${name}`)]));
    },
    types(schema: SchemaObject): readonly TypeName[] | undefined {
      const value = ownValue(schema, "type");
      const isType = (type: unknown): type is TypeName => typeNames.includes(type as TypeName);
      if (isType(value)) return [value];
      return read(schema, "type", typeNames.join(", ").concat(" or a list of these"), (list): list is TypeName[] =>
        isList(list) ? list.length > 0 && list.every(isType) : false,
      );
    },
    /** The first schemas of a list's places, and that of all places after them. */
    items(schema: SchemaObject): { readonly first: readonly Schema[]; readonly rest: Schema } {
      // Until draft 2019-09 `items` could be a list.
      const old = isList(ownValue(schema, "items"));
      const first = schemas(schema, old ? "items" : "prefixItems") ?? [];
      return { first, rest: schemaIn(schema, old ? "additionalItems" : "items") ?? true };
    },
  };
}

export type KeywordReader = ReturnType<typeof createReader>;
