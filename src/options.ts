import { describeValue, GrokError, whyNotText } from "./errors.ts";

/**
 * Refuses options that do not exist: to pass one over in silence would let a slip of the pen do nothing.
 * @throws GrokError `argument` naming the option and the known one that it is nearest to.
 */
export function checkNames(place: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== "object" || options === null) {
    throw new GrokError("argument", `${place}: the options are ${describeValue(options)}, expected an object`);
  }
  for (const option of Object.keys(options)) {
    if (known.includes(option)) continue;
    const nearest = nearestName(option, known);
    throw new GrokError("argument", `${place}: there is no option ${option}, did you mean ${nearest}?`, {
      option,
      nearest,
    });
  }
}

/** Options over their defaults. One that is undefined is not given. */
export function withDefaults<O extends object, K extends keyof O>(
  options: O,
  defaults: { readonly [Name in K]: NonNullable<O[Name]> },
): O & Required<Pick<O, K>> {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given) } as O & Required<Pick<O, K>>;
}

/** Of known names the one that takes the fewest changes. */
export function nearestName(name: string, known: readonly string[]): string {
  const distances = known.map((other) => countEdits(name.toLowerCase(), other.toLowerCase()));
  return known[distances.indexOf(Math.min(...distances))]!;
}

/** Characters to insert, delete or replace to make `b` of `a` (Levenshtein 1965). */
export function countEdits(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(same, above[j]! + 1, row[j - 1]! + 1));
    }
    above = row;
  }
  return above[b.length]!;
}

/** @throws GrokError `argument` for an option that has to be a text and is none. */
export function checkText(option: string, value: unknown): void {
  const why = typeof value === "string" ? whyNotText(value) : undefined;
  if (typeof value === "string" && value !== "" && why === undefined) return;
  const found = why ?? (value === "" ? "empty" : describeValue(value));
  throw new GrokError("argument", `${option} is ${found}, expected a text`, {
    option,
  });
}

/** @throws GrokError `argument` for an option that has to be a list of at least one and is none. */
export function checkList(option: string, value: unknown): void {
  if (Array.isArray(value) && value.length > 0) return;
  const found = Array.isArray(value) ? "empty" : describeValue(value);
  throw new GrokError("argument", `${option} is ${found}, expected a list of at least one`, { option });
}

/** @throws GrokError `argument` for an option that has to be a list of texts, such as paths, and is none. */
export function checkTexts(option: string, value: unknown): void {
  if (!Array.isArray(value)) {
    throw new GrokError("argument", `${option} is ${describeValue(value)}, expected a list of texts`, { option });
  }
  for (const [i, each] of value.entries()) checkText(`${option}[${i}]`, each);
}

/** @throws GrokError `argument` for an option that has to be a whole number from `least` to `most` and is none. */
export function checkWhole(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new GrokError(
    "argument",
    `${name} is ${describeValue(value)}, expected a whole number from ${least} to ${most}`,
    {
      option: name,
      value: typeof value === "number" ? value : describeValue(value),
      least,
      most,
    },
  );
}
