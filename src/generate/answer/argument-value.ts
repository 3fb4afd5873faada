import { parseJson } from "../../bytes/json.ts";

/** Types of JSON values, as schemas name them. */
export type ValueType = "string" | "number" | "integer" | "boolean" | "null" | "object" | "array";

type Schema = Readonly<Record<string, unknown>>;

/** References are followed no further: one may lead to itself. */
const mostReferences = 16;

/** What an argument may be by its tool's schema, where that says so in a way that is plain to see; undefined: anything. */
export function typesOf(schema: unknown, root: unknown, depth = 0): ReadonlySet<ValueType> | undefined {
  if (!isObject(schema) || depth > mostReferences) return undefined;
  const { $ref: reference, type, enum: values, const: value, anyOf, oneOf = anyOf, allOf } = schema;
  if (typeof reference === "string") return typesOf(resolve(reference, root), root, depth + 1);
  if (typeof type === "string") return new Set([type as ValueType]);
  if (Array.isArray(type)) return new Set(type);
  if (Array.isArray(values)) return new Set(values.map(typeOf));
  if (value !== undefined) return new Set([typeOf(value)]);
  const found = (some: unknown) => (Array.isArray(some) ? some.map((one) => typesOf(one, root, depth + 1)) : []);
  const either = found(oneOf);
  if (either.length > 0) {
    return either.includes(undefined) ? undefined : new Set(either.flatMap((types) => [...types!]));
  }
  return found(allOf).find((types) => types !== undefined);
}

/** What a reference within a schema stands for; undefined: nothing that is there. */
export function resolve(reference: string, root: unknown): unknown {
  if (!reference.startsWith("#/")) return undefined;
  let at = root;
  for (const name of reference.slice(2).split("/")) {
    const key = name.replaceAll("~1", "/").replaceAll("~0", "~");
    at = isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined;
  }
  return at;
}

/** The schema of one of a tool's arguments. */
export function schemaOf(parameters: unknown, name: string): unknown {
  const properties = isObject(parameters) ? parameters.properties : undefined;
  return isObject(properties) && Object.hasOwn(properties, name) ? properties[name] : undefined;
}

/** Whether an argument is text and nothing else, so that what is written is taken as it is. */
export const isText = (types: ReadonlySet<ValueType> | undefined) => types?.size === 1 && types.has("string");

/**
 * An argument that was written bare, as JSON: as what it is where its types allow that, and a text otherwise. Python's names of constants
 * are taken too, which templates write that render arguments as texts.
 */
export function argumentOf(written: string, types: ReadonlySet<ValueType> | undefined): string {
  if (isText(types)) return JSON.stringify(written);
  const bare = written.trim();
  const constant = { True: "true", False: "false", None: "null" }[bare];
  const json = constant !== undefined && types !== undefined ? constant : bare;
  const type = typeIn(json);
  const allowed = type && (types === undefined || types.has(type) || (type === "integer" && types.has("number")));
  return allowed ? json : JSON.stringify(written);
}

function typeIn(json: string): ValueType | undefined {
  try {
    return typeOf(parseJson(json));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function typeOf(value: unknown): ValueType {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value as "string" | "boolean" | "object";
}

const isObject = (value: unknown): value is Schema =>
  typeof value === "object" && value !== null && !Array.isArray(value);
