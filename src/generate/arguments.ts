import { describeValue, GrokError, whyNotText } from "../errors.ts";
import { checkNames } from "../options.ts";

/**
 * What callers give, read once and for all where it comes in: what is not of its kind is refused by name, and whatever reading it
 * does (a getter or a proxy can throw, or answer differently the next time) has happened before anything begins.
 */

/** Names of options, with the kind of those that nothing further on looks at closely. */
export type OptionKinds<T> = Readonly<Record<keyof T, OptionKind>>;

/** Kinds of options that whoever takes them checks. */
export function anyKinds<Name extends string>(names: readonly Name[]): Readonly<Record<Name, "any">> {
  return Object.fromEntries(names.map((name) => [name, "any"])) as Record<Name, "any">;
}

type OptionKind = "flag" | "function" | "signal" | "any";

/** @throws GrokError `argument` naming the place and the option. */
export function readOptions<T extends object>(place: string, options: T | undefined, kinds: OptionKinds<T>): T {
  if (options === undefined) return {} as T;
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new GrokError("argument", `${place}: the options are ${describeValue(options)}, expected an object`);
  }
  const read = readPlain(`${place}: the options`, options) as T;
  checkNames(place, read, Object.keys(kinds));
  for (const [option, value] of Object.entries(read)) {
    const expected = value === undefined ? undefined : whatElse(kinds[option as keyof T], value);
    if (expected === undefined) continue;
    throw new GrokError("argument", `${option} is ${describeValue(value)}, expected ${expected}`, { option });
  }
  return read;
}

function whatElse(kind: OptionKind, value: unknown): string | undefined {
  if (kind === "flag") return typeof value === "boolean" ? undefined : "true or false";
  if (kind === "function") return typeof value === "function" ? undefined : "a function";
  if (kind === "signal") return isSignal(value) ? undefined : "an AbortSignal";
  return undefined;
}

function isSignal(value: unknown): boolean {
  const { aborted, addEventListener } = (value ?? {}) as Partial<AbortSignal>;
  return typeof aborted === "boolean" && typeof addEventListener === "function";
}

/** Lists and plain objects in one another, at most. */
const deepest = 64;

/**
 * A copy of plain data: lists and objects; anything else in them is taken as it is.
 * @throws GrokError `argument` for what cannot be read, or has no end.
 */
export function readPlain<T>(name: string, value: T): T {
  const copy = (part: unknown, depth: number): unknown => {
    if (typeof part === "string") return readText(name, part);
    if (typeof part !== "object" || part === null) return part;
    if (depth > deepest) throw new GrokError("argument", `${name}: nested more than ${deepest} deep`);
    if (Array.isArray(part)) return Array.from(part, (item) => copy(item, depth + 1));
    const prototype: unknown = Object.getPrototypeOf(part);
    if (prototype !== Object.prototype && prototype !== null) return part;
    return Object.fromEntries(Object.entries(part).map(([key, item]) => [readText(name, key), copy(item, depth + 1)]));
  };
  try {
    return copy(value, 0) as T;
  } catch (error) {
    if (error instanceof GrokError) throw error;
    throw new GrokError("argument", `${name} cannot be read: ${(error as Error).message}`, {}, error);
  }
}

/** @throws GrokError `argument` */
export function readText(name: string, value: unknown): string {
  const why = typeof value === "string" ? whyNotText(value) : undefined;
  if (why !== undefined) throw new GrokError("argument", `${name}: ${why}`);
  if (typeof value === "string") return value;
  throw new GrokError("argument", `${name} is ${describeValue(value)}, expected a text`);
}
