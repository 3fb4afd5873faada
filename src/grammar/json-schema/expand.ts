import { refuse, type Schema, type SchemaDocument, type SchemaObject } from "./document.ts";
import { checkKeywords, type KeywordReader } from "./keywords.ts";

/**
 * Schemas that all hold for one value, without what joins schemas (`$ref`, `allOf`, `anyOf`, `oneOf`): of each only the keywords count
 * that say something themselves.
 */
export type Flat = readonly SchemaObject[];

const mostFlats = 64;
const longestFlat = 128;

/** Checks that of several schemas a value is valid by one alone. */
export type CheckApart = (branches: readonly (readonly Flat[])[], schema: SchemaObject) => void;

/**
 * What values may be for which all of some schemas hold: one of the flat ones, or another.
 * @throws GrokError `unsupported` for references that go round in a circle, and for too many ways
 */
export function createExpand(document: SchemaDocument, reader: KeywordReader, checkApart: CheckApart) {
  const known = new Map<SchemaObject, readonly Flat[]>();
  const underWay = new Set<SchemaObject>();

  function cross(a: readonly Flat[], b: readonly Flat[], place: string): readonly Flat[] {
    if (a.length * b.length > mostFlats) refuse(place, `anyOf, oneOf and allOf give more than ${mostFlats} forms`);
    if (isFree(a)) return b;
    if (isFree(b)) return a;
    return a.flatMap((first) =>
      b.map((second) => {
        const all = [...new Set([...first, ...second])];
        return all.length <= longestFlat ? all : refuse(place, `more than ${longestFlat} schemas for one value`);
      }),
    );
  }

  function expandOne(schema: Schema): readonly Flat[] {
    if (typeof schema === "boolean") return schema ? [[]] : [];
    const before = known.get(schema);
    if (before !== undefined) return before;
    if (underWay.has(schema)) refuse(document.placeOf(schema), "$ref comes back to itself without end");
    underWay.add(schema);
    const flats = expandObject(schema);
    underWay.delete(schema);
    known.set(schema, flats);
    return flats;
  }

  function expandObject(schema: SchemaObject): readonly Flat[] {
    checkKeywords(schema, document);
    const place = document.placeOf(schema);
    let flats: readonly Flat[] = [[schema]];
    const reference = reader.text(schema, "$ref");
    if (reference !== undefined) flats = cross(flats, expandOne(document.resolve(reference, schema)), place);
    for (const part of reader.schemas(schema, "allOf") ?? []) flats = cross(flats, expandOne(part), place);
    const any = reader.schemas(schema, "anyOf");
    if (any !== undefined) flats = cross(flats, any.flatMap(expandOne), place);
    const one = reader.schemas(schema, "oneOf")?.map(expandOne);
    if (one === undefined) return flats;
    checkApart(
      one.map((branch) => cross(flats, branch, place)),
      schema,
    );
    return cross(flats, one.flat(), place);
  }

  return (schemas: readonly Schema[]): readonly Flat[] => {
    let flats: readonly Flat[] = [[]];
    for (const schema of schemas) {
      flats = cross(flats, expandOne(schema), typeof schema === "object" ? document.placeOf(schema) : "#");
    }
    return flats;
  };
}

const isFree = (flats: readonly Flat[]) => flats.length === 1 && flats[0]!.length === 0;
