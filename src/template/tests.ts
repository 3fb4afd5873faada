import type { Allowance } from "./allowance.ts";
import { letterTests } from "./letters.ts";
import { binary, type CompareOperator, compare } from "./operators.ts";
import { toText } from "./printing.ts";
import { equals, makeInt, numberOf, type Value } from "./values.ts";

/** A test: whether it holds of a value; `parameters` are those beside the value. */
export interface Test {
  readonly parameters: string;
  holds(run: Allowance, value: Value, ...given: (Value | undefined)[]): boolean;
}

const test = (parameters: string, holds: Test["holds"]): Test => ({ parameters, holds });

const comparing = (operator: CompareOperator): Test =>
  test("/ other", (run, value, other) => compare(run, operator, value, other!));

const dividing = (by: number, rest: number): Test =>
  test("", (run, value) => leaves(run, value, makeInt(run, by), rest));

const leaves = (run: Allowance, value: Value, by: Value, rest: number): boolean =>
  equals(run, binary(run, "%", value, by), makeInt(run, rest));

const ofKind = (...kinds: Value["kind"][]): Test => test("", (_, value) => kinds.includes(value.kind));

const letters = (name: string): Test =>
  test("", (run, value) => {
    const { value: text } = toText(run, value);
    run.step(text.length >> 3);
    return letterTests[name]!(text);
  });

const equalTo = comparing("==");
const unequalTo = comparing("!=");
const greaterThan = comparing(">");
const lessThan = comparing("<");

export const tests: Readonly<Record<string, Test>> = {
  defined: test("", (_, value) => value.kind !== "undefined"),
  undefined: ofKind("undefined"),
  none: ofKind("none"),
  boolean: ofKind("bool"),
  true: test("", (_, value) => value.kind === "bool" && value.value),
  false: test("", (_, value) => value.kind === "bool" && !value.value),
  integer: ofKind("int"),
  float: ofKind("float"),
  number: test("", (_, value) => numberOf(value) !== undefined),
  string: ofKind("str"),
  mapping: ofKind("dict"),
  // What has a length and can be indexed, as Python asks; an undefined value has both.
  sequence: ofKind("str", "list", "tuple", "dict", "range", "undefined"),
  iterable: test("", (_, value) => {
    const { kind } = value;
    if (kind === "thing") return value.items !== undefined;
    return kind !== "none" && kind !== "bool" && kind !== "int" && kind !== "float";
  }),
  callable: test("", (_, value) => value.kind === "undefined" || (value.kind === "thing" && value.call !== undefined)),
  odd: dividing(2, 1),
  even: dividing(2, 0),
  divisibleby: test("num", (run, value, by) => leaves(run, value, by!, 0)),
  lower: letters("islower"),
  upper: letters("isupper"),
  escaped: test("", (_, value) => value.kind === "str" && value.markup),
  in: test("seq", (run, value, container) => compare(run, "in", value, container!)),
  sameas: test("other", (_, value, other) => isSame(value, other!)),
  ...{ "==": equalTo, eq: equalTo, equalto: equalTo, "!=": unequalTo, ne: unequalTo },
  ...{ ">": greaterThan, gt: greaterThan, greaterthan: greaterThan, "<": lessThan, lt: lessThan, lessthan: lessThan },
  ...{ ">=": comparing(">="), ge: comparing(">="), "<=": comparing("<="), le: comparing("<=") },
};

/** `value is other`. Small integers are one object in Python; of texts and larger numbers that depends. */
function isSame(value: Value, other: Value): boolean {
  if (value.kind === "none" || value.kind === "bool" || value.kind === "int") {
    return other.kind === value.kind && (value.kind === "none" || value.value === (other as typeof value).value);
  }
  if (value.kind === "str") return other.kind === "str" && value.value === other.value;
  return value === other;
}
