import { type Expression, empty, nothing, optional, repeat, sequence } from "../expression.ts";
import { between, comma, space } from "../json-text.ts";
import type { Schema } from "./document.ts";
import { refuse } from "./document.ts";
import type { Flat } from "./expand.ts";
import type { Facts } from "./facts.ts";
import type { SchemaCompiler } from "./parts.ts";

const mostPlaces = 256;

/** Lists of so many items: the first ones by their place, the others alike. */
export function arrayOf(flat: Flat, { items: { min, max } }: Facts, compiler: SchemaCompiler): Expression {
  const { reader, document, expand, valueFor } = compiler;
  for (const schema of flat) {
    if (reader.flag(schema, "uniqueItems") && max > 1) {
      refuse(`${document.placeOf(schema)}/uniqueItems`, "uniqueItems is not supported");
    }
  }
  const places = flat.map((schema) => reader.items(schema));
  const count = Math.max(0, ...places.map(({ first }) => first.length));
  if (count > mostPlaces) refuse(document.placeOf(flat[0]!), `more than ${mostPlaces} schemas of single items`);
  const schemasAt = (place: number): readonly Schema[] => places.map(({ first, rest }) => first[place] ?? rest);
  let most = max;
  for (let place = 0; place <= count; place++) if (expand(schemasAt(place)).length === 0) most = Math.min(most, place);
  if (min > most) return nothing;

  /** What comes at a place and behind it. */
  const commaBefore = (place: number) => (place > 0 ? comma : empty);
  const first = Math.min(count, most);
  let rest: Expression = first < most ? others() : empty;
  for (let place = first - 1; place >= 0; place--) {
    const more = sequence(commaBefore(place), valueFor(schemasAt(place)), rest);
    rest = place < min ? more : optional(more);
  }
  // Without items, whitespace is where it is in front of them.
  return between("[", rest === empty ? empty : withSpace(rest), "]");

  function others(): Expression {
    const other = valueFor(schemasAt(count));
    const [least, atMost] = [Math.max(0, min - count), most - count];
    if (count > 0) return repeat(sequence(comma, other), least, atMost);
    const some = sequence(other, repeat(sequence(comma, other), Math.max(0, least - 1), atMost - 1));
    return least === 0 ? optional(some) : some;
  }
}

const withSpace = (items: Expression) =>
  items.kind === "repeat" && items.min === 0 && items.max === 1
    ? optional(sequence(items.item, space))
    : sequence(items, space);
