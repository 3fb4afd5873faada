import type { Schema, SchemaObject } from "./document.ts";
import type { Flat } from "./expand.ts";
import { type FactReader, type Facts, isSame } from "./facts.ts";
import type { KeywordReader } from "./keywords.ts";

/** Asks of values that a schema lists whether its other keywords, or another schema, allow them. */
export function createValidate(
  reader: KeywordReader,
  expand: (schemas: readonly Schema[]) => readonly Flat[],
  { factsOf, hasMatch, schemasOfMember }: FactReader,
) {
  const isValid = (value: unknown, schemas: readonly Schema[]): boolean =>
    expand(schemas).some((flat) => fits(value, flat));

  /** Whether a value is what a flat schema says. */
  function fits(value: unknown, flat: Flat): boolean {
    const facts = factsOf(flat);
    if (facts.values !== undefined && !facts.values.some((other) => isSame(value, other))) return false;
    if (!hasType(value, facts.validTypes)) return false;
    if (typeof value === "number") return fitsNumber(value, facts);
    if (typeof value === "string") return fitsString(value, facts);
    if (Array.isArray(value)) return fitsArray(value, flat, facts);
    return typeof value !== "object" || value === null || fitsObject(value as SchemaObject, flat, facts);
  }

  function fitsArray(value: readonly unknown[], flat: Flat, { items }: Facts): boolean {
    if (value.length < items.min || value.length > items.max) return false;
    return flat.every((schema) => {
      const { first, rest } = reader.items(schema);
      return value.every((item, i) => isValid(item, [first[i] ?? rest]));
    });
  }

  function fitsObject(value: SchemaObject, flat: Flat, { members }: Facts): boolean {
    const names = Object.keys(value);
    if (names.length < members.min || names.length > members.max) return false;
    if ([...members.required].some((name) => !Object.hasOwn(value, name))) return false;
    return flat.every((schema) => {
      const ofNames = reader.schema(schema, "propertyNames");
      return names.every(
        (name) =>
          (ofNames === undefined || isValid(name, [ofNames])) && isValid(value[name], schemasOfMember(schema, name)),
      );
    });
  }

  function fitsString(value: string, { strings: { min, max, patterns } }: Facts): boolean {
    const { length } = [...value];
    return length >= min && length <= max && patterns.every((pattern) => hasMatch(pattern, value));
  }

  return fits;
}

function hasType(value: unknown, types: Facts["validTypes"]): boolean {
  if (value === null) return types.has("null");
  if (Array.isArray(value)) return types.has("array");
  if (typeof value === "number") return types.has("number") || (types.has("integer") && Number.isInteger(value));
  return types.has(typeof value as "object" | "string" | "boolean");
}

function fitsNumber(value: number, { numbers }: Facts): boolean {
  const { min, max, aboveMin, belowMax, divisors } = numbers;
  if (value < min || value > max || (aboveMin && value === min) || (belowMax && value === max)) return false;
  return divisors.every((divisor) => Number.isInteger(value / divisor));
}
