type Random = () => number;

const below = (random: Random, count: number) => Math.floor(random() * count);
const oneOf = <T>(random: Random, items: readonly T[]): T => items[below(random, items.length)]!;
const maybe = (random: Random, chance: number) => random() < chance;
const some = (object: object, keep: boolean) => (keep ? object : {});

const names = ["id", "name", "tags", 'quo"te', "é", "a/b~c", "long name", "x"];

/** A schema as people write them, of bounded depth, seldom one that cannot be held to. */
export function randomSchema(random: Random, depth = 3): object {
  const leaves = [
    randomString,
    randomNumber,
    randomInteger,
    randomValues,
    () => ({ type: oneOf(random, ["boolean", "null"]) }),
  ];
  const branches = [randomObject, randomObject, randomArray, randomMap, randomChoice, randomTuple, randomAll];
  return oneOf(random, depth > 0 && maybe(random, 0.75) ? branches : leaves)(random, depth - 1);
}

function randomString(random: Random): object {
  const min = below(random, 4);
  return {
    type: "string",
    ...some({ minLength: min }, maybe(random, 0.3)),
    ...some({ maxLength: min + below(random, 30) }, maybe(random, 0.5)),
    ...some(
      { pattern: oneOf(random, ["^[a-z]+$", "^\\d{3}-\\d{2}$", "[A-Z]", "^(foo|bar)?x*$", "\\s", '^[^\\\\"]*$']) },
      maybe(random, 0.3),
    ),
  };
}

function randomNumber(random: Random): object {
  const min = Math.round(random() * 2000 - 1000) / oneOf(random, [1, 10, 1000]);
  return {
    type: "number",
    ...some({ [oneOf(random, ["minimum", "exclusiveMinimum"])]: min }, maybe(random, 0.5)),
    ...some({ [oneOf(random, ["maximum", "exclusiveMaximum"])]: min + random() * 100 }, maybe(random, 0.5)),
  };
}

function randomInteger(random: Random): object {
  const min = below(random, 2000) - 1000;
  return {
    type: "integer",
    ...some({ minimum: min }, maybe(random, 0.5)),
    ...some({ exclusiveMaximum: min + 1 + below(random, 10 ** below(random, 6)) }, maybe(random, 0.5)),
    ...some({ multipleOf: 1 + below(random, 12) }, maybe(random, 0.2)),
  };
}

const randomValues = (random: Random): object =>
  maybe(random, 0.3)
    ? { const: oneOf(random, ["fixed", 7, true, null, { a: [1] }]) }
    : { enum: ["red", "green", 'b"lue', 3, -1.5, null].slice(0, 2 + below(random, 5)) };

function randomObject(random: Random, depth: number): object {
  const own = names.filter(() => maybe(random, 0.4));
  return {
    type: "object",
    properties: Object.fromEntries(own.map((name) => [name, randomSchema(random, depth)])),
    required: own.filter(() => maybe(random, 0.5)),
    ...some({ additionalProperties: maybe(random, 0.6) ? false : randomSchema(random, 0) }, maybe(random, 0.7)),
    ...some({ maxProperties: own.length }, maybe(random, 0.1)),
  };
}

const randomMap = (random: Random, depth: number): object => ({
  type: "object",
  ...(maybe(random, 0.5)
    ? { additionalProperties: randomSchema(random, depth) }
    : { patternProperties: { "^[a-c]": randomSchema(random, depth) }, additionalProperties: false }),
  ...some({ propertyNames: { maxLength: 5 } }, maybe(random, 0.3)),
  ...some({ minProperties: 1 }, maybe(random, 0.3)),
  maxProperties: 1 + below(random, 3),
});

function randomArray(random: Random, depth: number): object {
  const min = below(random, 3);
  return {
    type: "array",
    items: randomSchema(random, depth),
    ...some({ minItems: min }, maybe(random, 0.5)),
    maxItems: min + 3,
  };
}

const randomTuple = (random: Random, depth: number): object => ({
  type: "array",
  prefixItems: Array.from({ length: 1 + below(random, 3) }, () => randomSchema(random, depth)),
  items: maybe(random, 0.5) ? false : randomSchema(random, 0),
  minItems: below(random, 2),
  maxItems: 4,
});

const randomChoice = (random: Random, depth: number): object => ({
  [oneOf(random, ["anyOf", "anyOf", "oneOf"])]: Array.from({ length: 2 + below(random, 2) }, () =>
    randomSchema(random, depth),
  ),
});

const randomAll = (random: Random, depth: number): object => ({
  allOf: [randomObject(random, depth), { properties: { more: randomSchema(random, 0) }, required: ["more"] }],
});
