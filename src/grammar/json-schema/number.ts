import { both, choice, type Expression, empty, literal, nothing, oneByte, optional, sequence } from "../expression.ts";

/** What may be said of a number. Bounds are as float64 has them. */
export interface NumberBounds {
  readonly min: number;
  readonly max: number;
  /** Whether the bounds themselves are left out. */
  readonly aboveMin: boolean;
  readonly belowMax: boolean;
}

/**
 * No more digits are written before the point: float64 has every whole number of as many, so that what is compared here as text is
 * the same as numbers.
 */
const mostDigits = 15;
/** And behind it, where nothing asks for fewer. */
const mostDecimals = 10;

/** Whole numbers within bounds, without exponent. */
export function wholeNumber(bounds: NumberBounds): Expression {
  return withinBounds(bounds, 0);
}

/** Numbers within bounds, without exponent. */
export function decimalNumber(bounds: NumberBounds): Expression {
  // Near a bound that is left out no number may round to it.
  const near = [bounds.aboveMin ? bounds.min : 0, bounds.belowMax ? bounds.max : 0].filter(Number.isFinite);
  const digits = Math.max(...near.map((bound) => Math.trunc(Math.abs(bound)).toFixed().length), 1);
  return withinBounds(bounds, Math.max(0, Math.min(mostDecimals, mostDigits - digits)));
}

function withinBounds({ min, max, aboveMin, belowMax }: NumberBounds, decimals: number): Expression {
  const most = 10n ** BigInt(mostDigits + decimals) - 1n;
  let low = scale(min, decimals, "up") ?? -most;
  let high = scale(max, decimals, "down") ?? most;
  if (aboveMin && isExactly(low, min, decimals)) low++;
  if (belowMax && isExactly(high, max, decimals)) high--;
  low = low < -most ? -most : low;
  high = high > most ? most : high;
  if (low > high) return nothing;
  const positive = high < 0n ? nothing : fromZero(low > 0n ? low : 0n, high, decimals);
  const negative = low >= 0n ? nothing : fromZero(high < 0n ? -high : 1n, -low, decimals);
  return choice(positive, sequence(literal("-"), negative));
}

/** A number times 10^decimals, rounded inwards; undefined where it is infinite. */
function scale(value: number, decimals: number, towards: "up" | "down"): bigint | undefined {
  if (!Number.isFinite(value)) return undefined;
  const { digits, exponent } = decompose(value);
  const shift = exponent + decimals;
  if (shift >= 0) return digits * 10n ** BigInt(shift);
  const unit = 10n ** BigInt(-shift);
  const cut = digits / unit;
  if (cut * unit === digits) return cut;
  if (towards === "up") return digits > 0n ? cut + 1n : cut;
  return digits < 0n ? cut - 1n : cut;
}

function isExactly(scaled: bigint, value: number, decimals: number): boolean {
  if (!Number.isFinite(value)) return false;
  const { digits, exponent } = decompose(value);
  const shift = exponent + decimals;
  return shift >= 0 ? scaled === digits * 10n ** BigInt(shift) : scaled * 10n ** BigInt(-shift) === digits;
}

/** The shortest decimal that is this float64: digits · 10^exponent. */
function decompose(value: number): { readonly digits: bigint; readonly exponent: number } {
  const [mantissa, power = "0"] = String(value).split("e");
  const [whole, fraction = ""] = mantissa!.split(".");
  return { digits: BigInt(whole! + fraction), exponent: Number(power) - fraction.length };
}

/** Numbers from `low` to `high`, neither below 0, in units of 10^-decimals. */
function fromZero(low: bigint, high: bigint, decimals: number): Expression {
  const unit = 10n ** BigInt(decimals);
  const [lowWhole, highWhole] = [low / unit, high / unit];
  const whole = (n: bigint) => literal(n.toString());
  if (lowWhole === highWhole) return sequence(whole(lowWhole), point(low % unit, high % unit, decimals));
  return choice(
    sequence(whole(lowWhole), point(low % unit, unit - 1n, decimals)),
    sequence(wholeBetween(lowWhole + 1n, highWhole - 1n), point(0n, unit - 1n, decimals)),
    sequence(whole(highWhole), point(0n, high % unit, decimals)),
  );
}

/** Whole numbers of any length, without zeros in front. */
function wholeBetween(low: bigint, high: bigint): Expression {
  const branches: Expression[] = [];
  for (let length = 1, from = 0n; from <= high; length++, from = 10n ** BigInt(length - 1)) {
    const to = 10n ** BigInt(length) - 1n;
    const [first, last] = [low > from ? low : from, high < to ? high : to];
    if (first <= last) branches.push(digitsBetween(first, last, length));
  }
  return choice(...branches);
}

const digitsOf = (from: number, to: number) => oneByte([0x30 + from, 0x30 + to]);

/** Exactly so many digits, from those of `low` to those of `high`. */
function digitsBetween(low: bigint, high: bigint, length: number): Expression {
  return byFirstDigit(low, high, length, (first, last, rest) =>
    rest === 0 ? empty : digitsBetween(first, last, rest),
  );
}

/** A point and digits behind it, as far as they are wanted: from `low` to `high` in units of the last one. */
function point(low: bigint, high: bigint, length: number): Expression {
  if (length === 0) return empty;
  const some = sequence(literal("."), decimalsBetween(low, high, length));
  return low === 0n ? optional(some) : some;
}

/** At least one digit; those that are left out are zeros. */
function decimalsBetween(low: bigint, high: bigint, length: number): Expression {
  return byFirstDigit(low, high, length, (first, last, rest) => {
    if (rest === 0) return empty;
    const more = decimalsBetween(first, last, rest);
    return first === 0n ? optional(more) : more;
  });
}

/** Numbers of `length` digits by their first digit; `restOf` says what comes after it. */
function byFirstDigit(
  low: bigint,
  high: bigint,
  length: number,
  restOf: (low: bigint, high: bigint, length: number) => Expression,
): Expression {
  const unit = 10n ** BigInt(length - 1);
  const [first, last] = [Number(low / unit), Number(high / unit)];
  const [lowRest, highRest] = [low % unit, high % unit];
  const full = (rest: Expression, from: number, to: number) => sequence(digitsOf(from, to), rest);
  if (first === last) return full(restOf(lowRest, highRest, length - 1), first, first);
  const branches: Expression[] = [];
  const from = lowRest === 0n ? first : first + 1;
  const to = highRest === unit - 1n ? last : last - 1;
  if (from > first) branches.push(full(restOf(lowRest, unit - 1n, length - 1), first, first));
  if (from <= to) branches.push(full(restOf(0n, unit - 1n, length - 1), from, to));
  if (to < last) branches.push(full(restOf(0n, highRest, length - 1), last, last));
  return choice(...branches);
}

/** Whole numbers that a whole number divides, as rules that count in remainders: `add` makes a rule, `define` says what it is. */
export function multiplesOf(
  divisor: number,
  add: () => { readonly rule: Expression; readonly define: (body: Expression) => void },
): Expression {
  const rules = Array.from({ length: divisor }, add);
  const digit = (value: number) => literal(String(value));
  for (const [remainder, { define }] of rules.entries()) {
    const next = Array.from({ length: 10 }, (_, value) =>
      sequence(digit(value), rules[(remainder * 10 + value) % divisor]!.rule),
    );
    define(choice(...next, ...(remainder === 0 ? [empty] : [])));
  }
  const first = Array.from({ length: 9 }, (_, i) => sequence(digit(i + 1), rules[(i + 1) % divisor]!.rule));
  return choice(digit(0), sequence(optional(literal("-")), choice(...first)));
}

/** Whole numbers within bounds that `multiples` has too. */
export const multipleWithin = (bounds: NumberBounds, multiples: Expression) => both(wholeNumber(bounds), multiples);

/** Whether there are any. */
export function hasMultiple({ min, max, aboveMin, belowMax }: NumberBounds, divisor: number): boolean {
  const least = Math.ceil(Math.max(min, -(10 ** mostDigits) + 1) / divisor) * divisor;
  const first = aboveMin && least === min ? least + divisor : least;
  return belowMax ? first < Math.min(max, 10 ** mostDigits) : first <= Math.min(max, 10 ** mostDigits - 1);
}
