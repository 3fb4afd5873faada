import { both, type Expression, repeat } from "../expression.ts";
import { characterOf } from "../json-text.ts";
import { allCharacters } from "../ranges.ts";
import { anyMatch } from "../regex.ts";
import { refuse, type Schema, type SchemaDocument, type SchemaObject } from "./document.ts";
import type { CheckApart, Flat } from "./expand.ts";
import type { FactReader, Facts } from "./facts.ts";
import type { TypeName } from "./keywords.ts";

/** Members of members that are looked at to tell two objects apart. */
const deepest = 4;

interface Parts {
  readonly document: SchemaDocument;
  readonly facts: FactReader;
  readonly fits: (value: unknown, flat: Flat) => boolean;
  readonly expand: (schemas: readonly Schema[]) => readonly Flat[];
  readonly isImpossible: (expression: Expression) => boolean;
}

/** A check that no value is valid by two branches of `oneOf`, as far as it can be seen; what cannot is refused. */
export function createCheckApart({ document, facts, fits, expand, isImpossible }: Parts): CheckApart {
  const { factsOf, schemasOfMember } = facts;

  /** Whether nothing that is written for `a` is valid by `b`. */
  function excludes(a: Flat, b: Flat, depth: number): boolean {
    const [ofA, ofB] = [factsOf(a), factsOf(b)];
    for (const { values } of [ofA, ofB]) {
      if (values?.every((value) => !(fits(value, a) && fits(value, b)))) return true;
    }
    return commonTypes(ofA.types, ofB.validTypes).every((type) => {
      if (type === "string") return areStringsApart(ofA.strings, ofB.strings);
      if (type === "number" || type === "integer") return areNumbersApart(ofA.numbers, ofB.numbers);
      if (type === "array") return isBeyond(ofA.items, ofB.items);
      return type === "object" && excludesObjects(a, b, depth);
    });
  }

  function excludesObjects(a: Flat, b: Flat, depth: number): boolean {
    const [ofA, ofB] = [factsOf(a).members, factsOf(b).members];
    if (isBeyond(ofA, ofB)) return true;
    const membersOf = (flat: Flat, name: string) => expand(flat.flatMap((schema) => schemasOfMember(schema, name)));
    return [...new Set([...ofA.required, ...ofB.required])].some((name) => {
      const [inA, inB] = [membersOf(a, name), membersOf(b, name)];
      // One has to have it, and the other may not.
      if (inA.length === 0 || inB.length === 0) return true;
      if (!ofA.required.has(name) || !ofB.required.has(name) || depth === deepest) return false;
      return inA.every((first) => inB.every((second) => excludes(first, second, depth + 1)));
    });
  }

  function areStringsApart(a: Facts["strings"], b: Facts["strings"]): boolean {
    if (isBeyond(a, b)) return true;
    const patterns = [...a.patterns, ...b.patterns].map((pattern) => anyMatch(pattern, characterOf));
    if (patterns.length === 0) return false;
    const lengths = [a, b].map(({ min, max }) => repeat(characterOf(allCharacters), min, max));
    return isImpossible([...patterns, ...lengths].reduce(both));
  }

  return (branches, schema: SchemaObject) => {
    for (const [i, first] of branches.entries()) {
      for (const [j, second] of branches.entries()) {
        if (i === j || first.every((a) => second.every((b) => excludes(a, b, 0)))) continue;
        const place = `${document.placeOf(schema)}/oneOf`;
        refuse(place, `oneOf: its branches ${i} and ${j} may both hold for a value; anyOf is supported`);
      }
    }
  };
}

function commonTypes(written: Facts["types"], valid: Facts["validTypes"]): readonly TypeName[] {
  const has = (type: TypeName) =>
    valid.has(type) || (type === "integer" && valid.has("number")) || (type === "number" && valid.has("integer"));
  return [...written].filter(has);
}

interface Counts {
  readonly min: number;
  readonly max: number;
}

const isBeyond = (a: Counts, b: Counts) => a.min > b.max || b.min > a.max;

function areNumbersApart(a: Facts["numbers"], b: Facts["numbers"]): boolean {
  const min = Math.max(a.min, b.min);
  const max = Math.min(a.max, b.max);
  if (min !== max) return min > max;
  const isOut = (bounds: Facts["numbers"]) =>
    (bounds.aboveMin && bounds.min === min) || (bounds.belowMax && bounds.max === max);
  return isOut(a) || isOut(b);
}
