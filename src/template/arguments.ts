import { fault } from "./allowance.ts";
import type { Text } from "./text.ts";
import { type Args, typeName, type Value } from "./values.ts";

/**
 * A call's arguments in the order of the parameters: their names between blanks, those that may be left out with a `?`. A `/`
 * stands after what cannot be given by name, and `*` takes all further places.
 */
export function bind(name: string, parameters: string, { positional, named }: Args): (Value | undefined)[] {
  const words = parameters === "" ? [] : parameters.split(" ");
  const nameless = words.indexOf("/");
  const list = words.filter((word) => word !== "/");
  if (positional.length > list.length) {
    fault(`${name}() takes at most ${list.length} ${plural(list.length)} (${positional.length} given)`);
  }
  const values: (Value | undefined)[] = list.map((_, index) => positional[index]);
  for (const [key, value] of named) {
    const index = list.findIndex((word) => word.replace("?", "") === key);
    if (index < 0 || index < nameless) fault(`${name}() got an unexpected keyword argument '${key}'`);
    if (values[index] !== undefined) fault(`${name}() got multiple values for argument '${key}'`);
    values[index] = value;
  }
  const missing = list.findIndex((word, index) => !word.endsWith("?") && values[index] === undefined);
  if (missing >= 0) fault(`${name}() missing required argument: '${list[missing]}'`);
  return values;
}

const plural = (count: number): string => (count === 1 ? "argument" : "arguments");

/** A whole number, booleans among them, cut to what JavaScript counts exactly. */
export function toIndex(value: Value): number {
  if (value.kind === "bool") return value.value ? 1 : 0;
  if (value.kind !== "int") return fault(`'${typeName(value)}' object cannot be interpreted as an integer`);
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value.value > most ? most : value.value < -most ? -most : value.value);
}

/** As {@link toIndex}; undefined for what is left out or none. */
export function toOptionalIndex(value: Value | undefined): number | undefined {
  return value === undefined || value.kind === "none" ? undefined : toIndex(value);
}

export function toStr(value: Value, what: string): Text {
  return value.kind === "str" ? value : fault(`${what} must be str, not ${typeName(value)}`);
}
