import { describeValue, GrokError, shown } from "../../errors.ts";

/** A JSON Schema (draft 2020-12, or what 7 and 2019-09 have in common with it). */
export type Schema = boolean | SchemaObject;
export type SchemaObject = Readonly<Record<string, unknown>>;

/** A schema with all that is in it, which references name. */
export interface SchemaDocument {
  readonly root: Schema;
  /** What a `$ref` names. @throws GrokError */
  resolve(reference: string, from: SchemaObject): Schema;
  /** Where a part stands, as a JSON pointer. */
  placeOf(part: object): string;
}

const mostObjects = 20_000;
const deepest = 100;

/** @throws GrokError `argument` for what is no schema, `unsupported` for one that is too large */
export function readSchema(schema: unknown): SchemaDocument {
  const places = new Map<object, string>();
  const anchors = new Map<string, Schema>();

  function visit(part: unknown, place: string, depth: number): void {
    if (typeof part !== "object" || part === null) return;
    if (places.size >= mostObjects) throw new GrokError("unsupported", `the schema has more than ${mostObjects} parts`);
    if (depth > deepest) throw new GrokError("unsupported", `the schema is nested more than ${deepest} deep`);
    places.set(part, place);
    for (const [key, value] of Object.entries(part)) {
      visit(value, `${place}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`, depth + 1);
    }
    const { $anchor: anchor } = part as { readonly $anchor?: unknown };
    if (typeof anchor === "string") anchors.set(anchor, part as SchemaObject);
  }
  visit(schema, "#", 0);
  const placeOf = (part: object) => places.get(part) ?? "#";
  const root = asSchema(schema, "#");
  const id = typeof root === "object" && typeof root.$id === "string" ? root.$id.replace(/#$/, "") : undefined;

  function resolve(reference: string, from: SchemaObject): Schema {
    const place = `${placeOf(from)}/$ref`;
    const [base, fragment = ""] = reference.split("#", 2) as [string, string?];
    if (base !== "" && base !== id) refuse(place, `$ref to ${shown(reference)}: other documents are not read`);
    let pointer: string;
    try {
      pointer = decodeURIComponent(fragment);
    } catch {
      refuse(place, `$ref ${shown(reference)} is no reference`);
    }
    if (pointer !== "" && !pointer.startsWith("/")) {
      return anchors.get(pointer) ?? refuse(place, `$ref ${shown(reference)} names nothing`);
    }
    let part: unknown = root;
    for (const step of pointer.split("/").slice(1)) {
      const key = step.replaceAll("~1", "/").replaceAll("~0", "~");
      const inside = typeof part === "object" && part !== null && Object.hasOwn(part, key);
      if (!inside) refuse(place, `$ref ${shown(reference)} names nothing`);
      part = (part as Record<string, unknown>)[key];
      const inner = part as { readonly $id?: unknown } | null;
      if (typeof inner === "object" && typeof inner?.$id === "string") {
        refuse(place, "$id inside of a schema, on the way to what $ref names, is not supported");
      }
    }
    return asSchema(part, reference);
  }
  return { root, resolve, placeOf };
}

/** @throws GrokError `argument` for what is neither an object nor true or false */
export function asSchema(value: unknown, place: string): Schema {
  if (typeof value === "boolean") return value;
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as SchemaObject;
  throw new GrokError("argument", `schema ${place}: ${describeValue(value)}, expected a schema`, { place });
}

/** What a schema asks for that is not held to here. */
export function refuse(place: string, message: string): never {
  throw new GrokError("unsupported", `schema ${place}: ${message}`, { place });
}
