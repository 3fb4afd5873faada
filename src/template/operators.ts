import { type Allowance, fault } from "./allowance.ts";
import { toIndex } from "./arguments.ts";
import { escapeHtml } from "./escape.ts";
import { iterate, listOf, toIterable } from "./iterate.ts";
import { formatPercent } from "./percent-format.ts";
import { comparePoints } from "./points.ts";
import { concat, repeat } from "./text.ts";
import {
  compareNumbers,
  equals,
  hashKey,
  type List,
  makeFloat,
  makeInt,
  makeList,
  makeTuple,
  numberOf,
  toFloat,
  typeName,
  type Value,
} from "./values.ts";

export type BinaryOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**";
export type CompareOperator = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";

/** Longest integer, in bits: far more than can be printed. */
const mostBits = 65_536;

export function binary(run: Allowance, operator: BinaryOperator, a: Value, b: Value): Value {
  if (a.kind === "undefined") return fault(a.message);
  if (b.kind === "undefined" && !(operator === "%" && a.kind === "str")) return fault(b.message);
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return arithmetic(run, operator, x, y, isCallers(a) || isCallers(b));
  if (operator === "%" && a.kind === "str") return formatPercent(run, a, b);
  if (operator === "+") {
    if (a.kind === "str" && b.kind === "str") {
      if (!a.markup && !b.markup) return concat(run, [a, b]);
      return concat(run, [escapeHtml(run, a), escapeHtml(run, b)], true);
    }
    if ((a.kind === "list" || a.kind === "tuple") && a.kind === b.kind) {
      run.take(4 * (a.items.length + b.items.length));
      return a.kind === "list" ? makeList(run, [...a.items, ...b.items]) : makeTuple(run, [...a.items, ...b.items]);
    }
    if (a.kind === "str") {
      return fault(`can only concatenate str (not "${typeName(b)}") to str`);
    }
  }
  if (operator === "*") {
    const [sequence, count] = x === undefined ? [a, b] : [b, a];
    if (count.kind === "int" || count.kind === "bool") {
      const times = Math.max(0, toIndex(count));
      if (sequence.kind === "str") return repeat(run, sequence, times);
      if (sequence.kind === "list" || sequence.kind === "tuple") return repeatItems(run, sequence, times);
    }
  }
  const sign = operator === "**" ? "** or pow()" : operator;
  return fault(`unsupported operand type(s) for ${sign}: '${typeName(a)}' and '${typeName(b)}'`);
}

const isCallers = (value: Value): boolean => "fromCaller" in value && value.fromCaller;

function repeatItems(run: Allowance, list: List, times: number): List {
  run.take(4 * times * list.items.length);
  const items = list.items.length === 0 ? [] : Array.from({ length: times }, () => list.items).flat();
  return list.kind === "list" ? makeList(run, items) : makeTuple(run, items);
}

function arithmetic(
  run: Allowance,
  operator: BinaryOperator,
  x: bigint | number,
  y: bigint | number,
  ofCaller: boolean,
): Value {
  if (typeof x === "bigint" && typeof y === "bigint") {
    const result = integerArithmetic(run, operator, x, y);
    return typeof result === "bigint" ? makeInt(run, result, ofCaller) : makeFloat(run, result, ofCaller);
  }
  return makeFloat(run, floatArithmetic(operator, toFloat(x), toFloat(y)), ofCaller);
}

function bitsOf(value: bigint): number {
  return 4 * value.toString(16).length;
}

function integerArithmetic(run: Allowance, operator: BinaryOperator, x: bigint, y: bigint): bigint | number {
  switch (operator) {
    case "+":
      return bounded(run, x + y);
    case "-":
      return bounded(run, x - y);
    case "*":
      return bounded(run, x * y);
    case "/":
      if (y === 0n) fault("division by zero");
      return divide(x, y);
    case "//":
    case "%": {
      if (y === 0n) fault("integer division or modulo by zero");
      const rest = x % y;
      // Python's rest has the divisor's sign, its quotient is rounded down.
      const across = rest !== 0n && rest < 0n !== y < 0n;
      if (operator === "%") return across ? rest + y : rest;
      return across ? x / y - 1n : x / y;
    }
    case "**": {
      if (y < 0n) {
        if (x === 0n) fault("0.0 cannot be raised to a negative power");
        return toFloat(x) ** toFloat(y);
      }
      if (x === 0n || x === 1n || x === -1n) return x ** (y === 0n ? 0n : 2n - (y % 2n));
      if (y > mostBits || bitsOf(x) * Number(y) > 2 * mostBits) fault("an integer grows too large");
      return bounded(run, x ** y);
    }
  }
}

/** The nearest float to a quotient. Beyond 2^53 the dividend is widened, so that it is not rounded twice. */
function divide(x: bigint, y: bigint): number {
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  if (x <= most && x >= -most && y <= most && y >= -most) return Number(x) / Number(y);
  const negative = x < 0n !== y < 0n;
  const [a, b] = [x < 0n ? -x : x, y < 0n ? -y : y];
  // 66 bits of quotient, the last of which says whether anything was left.
  const shift = Math.max(0, 66 + bitsOf(b) - bitsOf(a));
  const scaled = a << BigInt(shift);
  const quotient = ((scaled / b) << 1n) | (scaled % b === 0n ? 0n : 1n);
  const result = Number(quotient) / 2 ** (shift + 1);
  if (!Number.isFinite(result)) fault("integer division result too large for a float");
  return negative ? -result : result;
}

function bounded(run: Allowance, value: bigint): bigint {
  const small = value < 2n ** 64n && value > -(2n ** 64n);
  if (small) return value;
  const bits = bitsOf(value);
  run.step(bits >> 6);
  run.take(bits >> 3);
  return bits > mostBits ? fault("an integer grows too large") : value;
}

function floatArithmetic(operator: BinaryOperator, x: number, y: number): number {
  switch (operator) {
    case "+":
      return x + y;
    case "-":
      return x - y;
    case "*":
      return x * y;
    case "/":
      return y === 0 ? fault("float division by zero") : x / y;
    case "%": {
      if (y === 0) fault("float modulo");
      return remainder(x, y);
    }
    case "//": {
      if (y === 0) fault("float floor division by zero");
      const quotient = (x - remainder(x, y)) / y;
      // The quotient is near a whole number; rounding may have taken it to the wrong side.
      const floor = Math.floor(quotient);
      return quotient === 0 ? (x / y < 0 ? -0 : 0) : quotient - floor > 0.5 ? floor + 1 : floor;
    }
    case "**": {
      if (x === 0 && y < 0) fault("0.0 cannot be raised to a negative power");
      if (x < 0 && Number.isFinite(x) && Number.isFinite(y) && !Number.isInteger(y)) {
        fault("complex numbers are not supported");
      }
      // As C's pow, where JavaScript gives NaN.
      if (x === 1 || (x === -1 && !Number.isFinite(y) && !Number.isNaN(y))) return 1;
      const result = x ** y;
      if (!Number.isFinite(result) && Number.isFinite(x) && Number.isFinite(y)) fault("Numerical result out of range");
      return result;
    }
  }
}

function remainder(x: number, y: number): number {
  const rest = x % y;
  if (rest === 0) return y < 0 ? -0 : 0;
  return rest < 0 !== y < 0 ? rest + y : rest;
}

export function negate(run: Allowance, value: Value): Value {
  const number = numberOf(value);
  if (value.kind === "undefined") return fault(value.message);
  if (number === undefined) return fault(`bad operand type for unary -: '${typeName(value)}'`);
  return typeof number === "bigint"
    ? makeInt(run, -number, isCallers(value))
    : makeFloat(run, -number, isCallers(value));
}

export function plus(run: Allowance, value: Value): Value {
  const number = numberOf(value);
  if (value.kind === "undefined") return fault(value.message);
  if (number === undefined) return fault(`bad operand type for unary +: '${typeName(value)}'`);
  return typeof number === "bigint" ? makeInt(run, number, isCallers(value)) : value;
}

export function compare(run: Allowance, operator: CompareOperator, a: Value, b: Value): boolean {
  switch (operator) {
    case "==":
      return equals(run, a, b);
    case "!=":
      return !equals(run, a, b);
    case "in":
      return contains(run, b, a);
    case "not in":
      return !contains(run, b, a);
    default: {
      const order = orderOf(run, operator, a, b);
      if (operator === "<") return order < 0;
      if (operator === "<=") return order <= 0;
      return operator === ">" ? order > 0 : order >= 0;
    }
  }
}

/** Negative, 0 or positive; NaN where floats have no order. @throws GrokError for what Python does not compare. */
export function orderOf(run: Allowance, operator: "<" | "<=" | ">" | ">=", a: Value, b: Value): number {
  run.step();
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return compareNumbers(x, y);
  if (a.kind === "str" && b.kind === "str") {
    run.step(Math.min(a.value.length, b.value.length) >> 4);
    return comparePoints(a.value, b.value);
  }
  if ((a.kind === "list" || a.kind === "tuple") && a.kind === b.kind) {
    run.enter();
    const length = Math.min(a.items.length, b.items.length);
    let at = 0;
    while (at < length && equals(run, a.items[at]!, b.items[at]!)) at++;
    const order = at < length ? orderOf(run, operator, a.items[at]!, b.items[at]!) : a.items.length - b.items.length;
    run.leave();
    return order;
  }
  if (a.kind === "undefined") return fault(a.message);
  if (b.kind === "undefined") return fault(b.message);
  return fault(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

/** `item in container`. */
export function contains(run: Allowance, container: Value, item: Value): boolean {
  switch (container.kind) {
    case "str":
      if (item.kind !== "str") {
        return fault(`'in <string>' requires string as left operand, not ${typeName(item)}`);
      }
      run.step((container.value.length + item.value.length) >> 4);
      return container.value.includes(item.value);
    case "dict":
      return container.entries.has(hashKey(run, item));
    case "view":
      if (container.of === "keys") return container.dict.entries.has(hashKey(run, item));
      break;
    case "none":
    case "bool":
    case "int":
    case "float":
      return fault(`argument of type '${typeName(container)}' is not iterable`);
  }
  for (const other of toIterable(iterate(run, container))) if (equals(run, other, item)) return true;
  return false;
}

/** `sorted(values)`, stable, by the key of each. */
export function sortBy(run: Allowance, value: Value, key: (item: Value) => Value, reverse: boolean): Value[] {
  const items = listOf(run, value).map((item) => ({ item, key: key(item) }));
  run.take(16 * items.length);
  const sign = reverse ? -1 : 1;
  items.sort((a, b) => {
    const order = orderOf(run, "<", a.key, b.key);
    return Number.isNaN(order) ? 0 : sign * order;
  });
  return items.map(({ item }) => item);
}
