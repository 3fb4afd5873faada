import { type Allowance, fault } from "./allowance.ts";
import { toIndex } from "./arguments.ts";
import { escapeHtml } from "./escape.ts";
import { printNumber } from "./float-format.ts";
import { characterOf, checkPrecision, pad } from "./format-spec.ts";
import { countPoints } from "./points.ts";
import { hexEscape, printInt, represent, toText } from "./printing.ts";
import { createBuilder, pick, plainText, type Text } from "./text.ts";
import { getNamed, numberOf, typeName, type Value } from "./values.ts";

interface Directive {
  readonly flags: string;
  readonly width: number;
  readonly precision: number | undefined;
  readonly type: string;
}

/** `text % value`, printf's way. */
export function formatPercent(run: Allowance, format: Text, given: Value): Text {
  const out = createBuilder(run);
  const places = given.kind === "tuple" ? given.items : [given];
  let used = 0;
  const next = (): Value => places[used++] ?? fault("not enough arguments for format string");
  const { value } = format;
  let named = false;
  for (let at = 0; at < value.length; ) {
    const sign = value.indexOf("%", at);
    out.addSlice(format, at, sign < 0 ? value.length : sign);
    if (sign < 0) break;
    const pattern = /%(?:\(([^()]*)\))?([-+ #0]*)(\*|\d{1,9})?(?:\.(\*|\d{0,9}))?[hlL]?(.)/suy;
    pattern.lastIndex = sign;
    const match = pattern.exec(value) ?? fault("incomplete format");
    const [whole, name, flags = "", width, precision, type] = match;
    at = sign + whole.length;
    if (type === "%") {
      out.addSlice(format, at - 1, at);
      continue;
    }
    let item: Value | undefined;
    if (name !== undefined) {
      if (given.kind !== "dict") return fault("format requires a mapping");
      named = true;
      item = getNamed(given, name) ?? fault(`'${name}'`);
    }
    const size = width === "*" ? toIndex(next()) : Number(width ?? 0);
    const digits = precision === "*" ? toIndex(next()) : precision === undefined ? undefined : Number(precision);
    const directive: Directive = {
      flags: size < 0 ? `${flags}-` : flags,
      width: Math.abs(size),
      precision: digits === undefined ? undefined : Math.max(0, digits),
      type: type!,
    };
    const text = convert(run, item ?? next(), directive);
    out.add(format.markup ? escapeHtml(run, text) : text);
  }
  // What can be indexed counts as a mapping, from which names may be left over.
  const mapping = ["dict", "list", "range", "undefined"].includes(given.kind);
  if (!named && !mapping && used < places.length) {
    return fault("not all arguments converted during string formatting");
  }
  return out.build(format.markup);
}

function convert(run: Allowance, value: Value, { flags, width, precision, type }: Directive): Text {
  const left = flags.includes("-");
  if (type === "s" || type === "r" || type === "a") {
    let text = type === "s" ? toText(run, value) : represent(run, value);
    if (type === "a") {
      const ascii = text.value.replace(/[^\0-\x7f]/gu, hexEscape);
      if (ascii !== text.value) text = plainText(run, ascii, text.caller.length > 0);
    }
    const length = countPoints(run, text.value);
    if (precision !== undefined && precision < length) text = pick(run, text, 0, precision, 1);
    return pad(run, text, " ", left ? "<" : ">", width);
  }
  const ofCaller = "fromCaller" in value && value.fromCaller;
  if (type === "c") {
    const character = value.kind === "str" ? value : plainText(run, characterOf(BigInt(toIndex(value))), ofCaller);
    if (countPoints(run, character.value) !== 1) fault("%c requires int or char");
    return pad(run, character, " ", left ? "<" : ">", width);
  }
  if (value.kind === "undefined") return fault(value.message);
  const number = numberOf(value);
  if (number === undefined) {
    const wanted = "diu".includes(type) ? `%${type} format: a real number is required` : "must be real number";
    return fault(`${wanted}, not ${typeName(value)}`);
  }
  checkPrecision(run, precision);
  let digits: string;
  let prefix = "";
  let negative = typeof number === "bigint" ? number < 0n : number < 0 || Object.is(number, -0);
  if ("eEfFgG".includes(type)) {
    const lower = type.toLowerCase() as "e" | "f" | "g";
    digits = printNumber(Number(number), lower, precision ?? 6, flags.includes("#"));
    if (lower !== type) digits = digits.toUpperCase();
  } else if ("diuoxX".includes(type)) {
    const whole = "oxX".includes(type) ? wholeOf(number, type) : BigInt(Math.trunc(Number(number)));
    const exact = typeof number === "bigint" ? number : whole;
    negative = exact < 0n;
    const size = negative ? -exact : exact;
    digits = "diu".includes(type) ? printInt(size) : size.toString(type === "o" ? 8 : 16);
    if (type === "X") digits = digits.toUpperCase();
    if (precision !== undefined) digits = digits.padStart(precision, "0");
    if (flags.includes("#") && "oxX".includes(type)) prefix = `0${type}`;
  } else return fault(`unsupported format character '${type}'`);
  const head = (negative ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "") + prefix;
  if (flags.includes("0") && !left) {
    const missing = Math.max(0, width - head.length - digits.length);
    run.take(missing);
    return plainText(run, head + "0".repeat(missing) + digits, ofCaller);
  }
  return pad(run, plainText(run, head + digits, ofCaller), " ", left ? "<" : ">", width);
}

function wholeOf(number: bigint | number, type: string): bigint {
  return typeof number === "bigint" ? number : fault(`%${type} format: an integer is required, not float`);
}
