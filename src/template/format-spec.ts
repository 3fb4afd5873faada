import { type Allowance, fault } from "./allowance.ts";
import { printNumber } from "./float-format.ts";
import { countPoints } from "./points.ts";
import { printFloat, printInt, toText } from "./printing.ts";
import { createBuilder, pick, plainText, type Text } from "./text.ts";
import { numberOf, toFloat, typeName, type Value } from "./values.ts";

/** Python's format specification: `[[fill]align][sign][#][0][width][,_][.precision][type]`. */
interface Spec {
  readonly fill: string;
  readonly align: "<" | ">" | "=" | "^" | undefined;
  readonly sign: string;
  readonly alternate: boolean;
  readonly width: number;
  readonly grouping: string;
  readonly precision: number | undefined;
  readonly type: string;
}

function parseSpec(spec: string, value: Value): Spec {
  const match = /^(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\d{1,9})?([,_])?(?:\.(\d{1,9}))?(.)?$/su.exec(spec);
  if (!match) return fault(`Invalid format specifier '${spec}' for object of type '${typeName(value)}'`);
  const [, fill, align, sign = "", alternate, zero, width = "0", grouping = "", precision, type = ""] = match;
  return {
    fill: fill ?? (zero && align === undefined ? "0" : " "),
    align: (align ?? (zero ? "=" : undefined)) as Spec["align"],
    sign,
    alternate: alternate !== undefined,
    width: Number(width),
    grouping,
    precision: precision === undefined ? undefined : Number(precision),
    type,
  };
}

/** `format(value, spec)`. */
export function formatValue(run: Allowance, value: Value, spec: string): Text {
  if (spec === "") return toText(run, value);
  if (value.kind === "str") return formatText(run, value, parseSpec(spec, value), spec);
  const number = numberOf(value);
  if (number === undefined) return fault(`unsupported format string passed to ${typeName(value)}.__format__`);
  const parsed = parseSpec(spec, value);
  checkPrecision(run, parsed.precision);
  const text =
    typeof number === "bigint" && !"eEfFgG%".includes(parsed.type || "d")
      ? formatInt(number, parsed, value)
      : formatFloat(toFloat(number), parsed, value);
  return padNumber(run, text, parsed, "fromCaller" in value && value.fromCaller);
}

const mostPrecision = 1000;

export function checkPrecision(run: Allowance, precision: number | undefined): void {
  if (precision === undefined) return;
  if (precision > mostPrecision) fault(`a precision of ${precision} digits is more than ${mostPrecision}`);
  run.step(precision);
}

function formatText(run: Allowance, value: Text, spec: Spec, source: string): Text {
  if (spec.type !== "" && spec.type !== "s") {
    return fault(`Unknown format code '${spec.type}' for object of type 'str'`);
  }
  if (spec.sign !== "" || spec.alternate || spec.grouping !== "" || (spec.align === "=" && !source.startsWith("0"))) {
    return fault(`format specifier '${source}' is not for text`);
  }
  const length = countPoints(run, value.value);
  const cut = spec.precision !== undefined && spec.precision < length ? pick(run, value, 0, spec.precision, 1) : value;
  return pad(run, cut, spec.fill, spec.align === "=" || spec.align === undefined ? "<" : spec.align, spec.width);
}

/** Fills a text up to `width` characters. */
export function pad(run: Allowance, text: Text, fill: string, align: "<" | ">" | "^", width: number): Text {
  const missing = width - countPoints(run, text.value);
  if (missing <= 0) return text;
  run.take(missing * fill.length);
  const before = align === "<" ? 0 : align === ">" ? missing : missing >> 1;
  const out = createBuilder(run);
  out.addPlain(fill.repeat(before));
  out.add(text);
  out.addPlain(fill.repeat(missing - before));
  return out.build(text.markup);
}

interface NumberText {
  readonly sign: string;
  readonly prefix: string;
  readonly digits: string;
}

const signOf = (negative: boolean, sign: string): string => (negative ? "-" : sign === "-" ? "" : sign);

function formatInt(value: bigint, spec: Spec, from: Value): NumberText {
  const { type, alternate, grouping } = spec;
  if (spec.precision !== undefined) fault("Precision not allowed in integer format specifier");
  const size = value < 0n ? -value : value;
  const sign = signOf(value < 0n, spec.sign);
  switch (type) {
    case "":
    case "d":
    case "n":
      return { sign, prefix: "", digits: group(printInt(size), grouping, 3) };
    case "b":
    case "o":
    case "x":
    case "X": {
      const digits = group(size.toString(type === "b" ? 2 : type === "o" ? 8 : 16), grouping, 4);
      const prefix = alternate ? `0${type}` : "";
      return { sign, prefix, digits: type === "X" ? digits.toUpperCase() : digits };
    }
    case "c":
      return { sign: "", prefix: "", digits: characterOf(value) };
    default:
      return fault(`Unknown format code '${type}' for object of type '${typeName(from)}'`);
  }
}

export function characterOf(value: bigint): string {
  if (value < 0n || value > 0x10ffffn) fault("%c arg not in range(0x110000)");
  return String.fromCodePoint(Number(value));
}

function formatFloat(value: number, spec: Spec, from: Value): NumberText {
  const { precision, alternate } = spec;
  const lower = spec.type.toLowerCase();
  const sign = signOf(value < 0 || Object.is(value, -0), spec.sign);
  let text: string;
  if (lower === "e" || lower === "f" || lower === "g") text = printNumber(value, lower, precision ?? 6, alternate);
  else if (lower === "n") text = printNumber(value, "g", precision ?? 6, alternate);
  else if (spec.type === "%") text = `${printNumber(value * 100, "f", precision ?? 6, alternate)}%`;
  else if (spec.type === "") {
    text = precision === undefined ? printFloat(Math.abs(value)) : printNumber(value, "g", precision, alternate);
    if (precision !== undefined && /^\d+$/.test(text)) text += precision > text.length ? ".0" : "";
  } else return fault(`Unknown format code '${spec.type}' for object of type '${typeName(from)}'`);
  if (spec.type !== lower) text = text.toUpperCase();
  const whole = /^\d+/.exec(text)?.[0] ?? "";
  return { sign, prefix: "", digits: group(whole, spec.grouping, 3) + text.slice(whole.length) };
}

function group(digits: string, sign: string, size: number): string {
  if (sign === "") return digits;
  const first = digits.length % size || size;
  let text = digits.slice(0, first);
  for (let at = first; at < digits.length; at += size) text += sign + digits.slice(at, at + size);
  return text;
}

function padNumber(run: Allowance, { sign, prefix, digits }: NumberText, spec: Spec, ofCaller: boolean): Text {
  const head = sign + prefix;
  if (spec.align !== "=") {
    return pad(run, plainText(run, head + digits, ofCaller), spec.fill, spec.align ?? ">", spec.width);
  }
  const missing = Math.max(0, spec.width - head.length - digits.length);
  run.take(missing);
  // Zeros in front of grouped digits are grouped too.
  let filled = spec.fill.repeat(missing) + digits;
  if (spec.grouping !== "" && spec.fill === "0") {
    const size = "boxX".includes(spec.type || "d") ? 4 : 3;
    const whole = /^[^.e%]*/.exec(filled)![0].replaceAll(spec.grouping, "");
    const rest = filled.slice(/^[^.e%]*/.exec(filled)![0].length);
    const room = spec.width - head.length - rest.length;
    const significantDigits = whole.replace(/^0+(?=.)/, "");
    let count = significantDigits.length;
    while (count + Math.floor((count - 1) / size) < room) count++;
    filled = group(significantDigits.padStart(count, "0"), spec.grouping, size) + rest;
  }
  return plainText(run, head + filled, ofCaller);
}
