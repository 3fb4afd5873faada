/** Decimal forms of floats, exact: from the value's own bits, ties to even, as C's printf and Python. */

/** |value| as integer · 2^exponent. */
function parts(value: number): { readonly mantissa: bigint; readonly exponent: number } {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, Math.abs(value));
  const bits = view.getBigUint64(0);
  const raw = Number(bits >> 52n);
  const fraction = bits & 0xf_ffff_ffff_ffffn;
  return raw === 0
    ? { mantissa: fraction, exponent: -1074 }
    : { mantissa: fraction | (1n << 52n), exponent: raw - 1075 };
}

/** |value| · 10^power, rounded to a whole number. */
function scaled(value: number, power: number): bigint {
  const { mantissa, exponent } = parts(value);
  let [over, under] = [mantissa, 1n];
  if (exponent >= 0) over <<= BigInt(exponent);
  else under <<= BigInt(-exponent);
  if (power >= 0) over *= 10n ** BigInt(power);
  else under *= 10n ** BigInt(-power);
  const whole = over / under;
  const twice = 2n * (over % under);
  return twice > under || (twice === under && whole % 2n === 1n) ? whole + 1n : whole;
}

/** `%.{digits}f` of |value|. */
export function fixed(value: number, digits: number): string {
  const text = scaled(value, digits)
    .toString()
    .padStart(digits + 1, "0");
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** Digits of |value| and the power of ten of the first: `%.{digits}e`. */
function significant(value: number, digits: number): { readonly text: string; readonly power: number } {
  if (value === 0) return { text: "0".repeat(digits + 1), power: 0 };
  let power = Number(value.toExponential().split("e")[1]);
  let text = scaled(value, digits - power).toString();
  if (text.length > digits + 1) {
    power++;
    text = scaled(value, digits - power).toString();
  }
  return { text, power };
}

const withPoint = (text: string, at: number): string =>
  text.length > at ? `${text.slice(0, at)}.${text.slice(at)}` : text;
const exponentOf = (power: number): string => `e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;

/** |value| in the manner of printf's `e`, `f` or `g`; `alternate` keeps the point and `g`'s zeros. */
export function printNumber(value: number, type: "e" | "f" | "g", precision: number, alternate: boolean): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return "inf";
  const point = alternate && precision === 0 ? "." : "";
  if (type === "f") return fixed(value, precision) + point;
  if (type === "e") {
    const { text, power } = significant(value, precision);
    return withPoint(text, 1) + point + exponentOf(power);
  }
  const digits = Math.max(1, precision);
  const { text, power } = significant(value, digits - 1);
  const large = power < -4 || power >= digits;
  const body = large ? withPoint(text, 1) : fixed(value, digits - 1 - power);
  const trimmed = alternate || !body.includes(".") ? body : body.replace(/0+$/, "").replace(/\.$/, "");
  return large ? trimmed + exponentOf(power) : trimmed;
}

/** `round(value, digits)` of a float. */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value) || value === 0 || digits > 330) return value;
  const sign = value < 0 ? -1 : 1;
  if (digits >= 0) return sign * Number(fixed(value, digits));
  return digits < -310 ? sign * 0 : sign * Number(scaled(value, digits) * 10n ** BigInt(-digits));
}
