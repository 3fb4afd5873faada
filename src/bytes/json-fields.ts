import { type ErrorCode, GrokError } from "../errors.ts";

/**
 * Readers of the entries of a JSON object, for configurations and checkpoints. An entry without a default has to be there; one whose
 * default is null may be absent. Every error names the file and the entry.
 */
export interface Fields {
  /** @throws GrokError. */
  fail(key: string, what: string): never;
  /** Whatever `accepts` takes. */
  value(key: string, expected: string, accepts: (value: unknown) => boolean, usual?: unknown): unknown;
  text(key: string): string;
  text(key: string, usual: string): string;
  text(key: string, usual: null): string | undefined;
  integer(key: string, least: number, most?: number): number;
  integer(key: string, least: number, most: number | undefined, usual: number): number;
  integer(key: string, least: number, most: number | undefined, usual: null): number | undefined;
  number(key: string, least: number, most: number, usual?: number): number;
  numbers(key: string, least: number, most: number, usual: readonly number[]): readonly number[];
  choice<T extends string>(key: string, choices: readonly T[], usual?: T): T;
  /** A number of at least 0 and below 1, or a text. */
  shareOrText(key: string, usual: number, read: (text: string) => string): number | string;
  object(key: string, usual?: object): Fields;
  /** A list of at least one object. */
  objects(key: string): Fields[];
  /** @throws GrokError for an entry that nobody asked for. */
  finish(): void;
}

/** Fields of a value that should be an object. What is wrong is a GrokError of the code given, naming the file and the entry. */
export function createFields(value: unknown, path: string, place: string, code: ErrorCode = "argument"): Fields {
  const full = (key: string) => (place === "" ? key : `${place}.${key}`);
  const failAt = (where: string, what: string): never => {
    throw new GrokError(code, `${path}: ${where === "" ? "" : `${where}: `}${what}`, { path, entry: where });
  };
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return failAt(place, `expected an object, found ${show(value)}`);
  }
  const entries = value as Readonly<Record<string, unknown>>;
  const asked = new Set<string>();
  /** The entry when `accepts` says so; its default when it is absent. */
  const read = <T>(
    key: string,
    expected: string,
    usual: T | null | undefined,
    accepts: (value: unknown) => boolean,
  ) => {
    asked.add(key);
    const found = Object.hasOwn(entries, key) ? entries[key] : undefined;
    if (found === undefined && usual !== undefined) return usual ?? undefined;
    if (!accepts(found)) failAt(full(key), `expected ${expected}, found ${show(found)}`);
    return found as T;
  };
  const within = (least: number, most: number) => (found: unknown) =>
    typeof found === "number" && found >= least && found <= most;
  const fields = {
    fail: (key: string, what: string) => failAt(full(key), what),
    value: (key: string, expected: string, accepts: (value: unknown) => boolean, usual?: unknown) =>
      read(key, expected, usual, accepts),
    text: (key: string, usual?: string | null) =>
      read(key, "a text", usual, (found) => typeof found === "string" && found !== ""),
    integer(key: string, least: number, most = Number.MAX_SAFE_INTEGER, usual?: number | null) {
      const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
      return read(
        key,
        `a whole number ${range}`,
        usual,
        (found) => Number.isSafeInteger(found) && within(least, most)(found),
      );
    },
    number: (key: string, least: number, most: number, usual?: number) =>
      read(key, `a number from ${least} to ${most}`, usual, within(least, most)),
    numbers: (key: string, least: number, most: number, usual: readonly number[]) =>
      read(
        key,
        `numbers from ${least} to ${most}`,
        usual,
        (found) => Array.isArray(found) && found.every(within(least, most)),
      ),
    choice: (key: string, choices: readonly string[], usual?: string) =>
      read(key, `one of ${choices.join(", ")}`, usual, (found) => typeof found === "string" && choices.includes(found)),
    shareOrText(key: string, usual: number, resolveText: (text: string) => string) {
      const found = read<number | string>(
        key,
        "a share of at least 0 and below 1, or the path of files",
        usual,
        (entry) =>
          (typeof entry === "number" && entry >= 0 && entry < 1) || (typeof entry === "string" && entry !== ""),
      );
      return typeof found === "string" ? resolveText(found) : found;
    },
    object: (key: string, usual?: object) =>
      createFields(
        read(key, "an object", usual, (found) => typeof found === "object" && found !== null),
        path,
        full(key),
        code,
      ),
    objects(key: string) {
      const list = read<unknown[]>(
        key,
        "a list of objects",
        undefined,
        (found) => Array.isArray(found) && found.length > 0,
      );
      return list!.map((item, index) => createFields(item, path, `${full(key)}[${index}]`, code));
    },
    finish() {
      const strange = Object.keys(entries).find((key) => !asked.has(key));
      if (strange !== undefined) failAt(full(strange), `there is no such entry; known are ${[...asked].join(", ")}`);
    },
  };
  return fields as unknown as Fields;
}

/** A value as JSON, short; one that is nested too deep for that by its kind. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    return Array.isArray(value) ? "a list" : "an object";
  }
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
