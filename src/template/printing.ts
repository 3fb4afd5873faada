import { type Allowance, fault } from "./allowance.ts";
import { createBuilder, plainText, type Text, type TextBuilder } from "./text.ts";
import type { Value } from "./values.ts";

/** `str(value)`: what printing shows. */
export function toText(run: Allowance, value: Value): Text {
  if (value.kind === "str") return value;
  if (value.kind === "undefined") return run.strict ? fault(value.message) : plainText(run, "");
  return represent(run, value);
}

/** `repr(value)`. */
export function represent(run: Allowance, value: Value): Text {
  const builder = createBuilder(run);
  write(run, builder, value);
  return builder.build();
}

/** Python refuses to write longer integers, so that nobody waits for it. */
const mostDigits = 4300;

export function printInt(value: bigint): string {
  // 4 bits are more than one digit, so a number of as many hexadecimal digits is too long already.
  const bound = 1n << BigInt(4 * mostDigits);
  const text = value < bound && value > -bound ? value.toString() : "";
  if (text === "" || text.replace("-", "").length > mostDigits) {
    fault(`Exceeds the limit (${mostDigits} digits) for integer string conversion`);
  }
  return text;
}

/** The shortest digits that give the number back, as Python and JavaScript both write them, in Python's form. */
export function printFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  if (Object.is(value, -0)) return "-0.0";
  const [mantissa, exponent] = value.toExponential().split("e") as [string, string];
  const power = Number(exponent);
  if (value !== 0 && (power < -4 || power >= 16)) {
    return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  const sign = value < 0 ? "-" : "";
  const digits = mantissa.replace(/[-.]/g, "");
  if (power < 0) return `${sign}0.${"0".repeat(-power - 1)}${digits}`;
  const whole = digits.slice(0, power + 1).padEnd(power + 1, "0");
  return `${sign}${whole}.${digits.slice(power + 1) || "0"}`;
}

function write(run: Allowance, out: TextBuilder, value: Value): void {
  run.step();
  run.enter();
  switch (value.kind) {
    case "none":
      out.addPlain("None", value.fromCaller);
      break;
    case "bool":
      out.addPlain(value.value ? "True" : "False", value.fromCaller);
      break;
    case "int":
      out.addPlain(printInt(value.value), value.fromCaller);
      break;
    case "float":
      out.addPlain(printFloat(value.value), value.fromCaller);
      break;
    case "str":
      if (value.markup) out.addPlain("Markup(");
      writeQuoted(out, value);
      if (value.markup) out.addPlain(")");
      break;
    case "list":
      writeItems(run, out, "[", value.items, "]", value.fromCaller);
      break;
    case "tuple":
      writeItems(run, out, "(", value.items, value.items.length === 1 ? ",)" : ")", value.fromCaller);
      break;
    case "dict":
      writePairs(run, out, value, ["{", ": ", "}"]);
      break;
    case "view":
      out.addPlain(`dict_${value.of}([`);
      if (value.of === "items") writePairs(run, out, value.dict, ["(", ", ", ")"], true);
      else {
        const items = [...value.dict.entries.values()].map(([key, item]) => (value.of === "keys" ? key : item));
        writeItems(run, out, "", items, "", value.dict.fromCaller);
      }
      out.addPlain("])");
      break;
    case "range": {
      const { start, stop, step } = value;
      out.addPlain(`range(${start}, ${stop}${step === 1 ? "" : `, ${step}`})`);
      break;
    }
    case "undefined":
      out.addPlain("Undefined");
      break;
    case "iterator":
      out.addPlain(`<${value.type} object>`);
      break;
    case "thing":
      out.add(value.print(run));
  }
  run.leave();
}

function writeItems(
  run: Allowance,
  out: TextBuilder,
  open: string,
  items: readonly Value[],
  close: string,
  fromCaller: boolean,
): void {
  out.addPlain(open, fromCaller);
  for (const [index, item] of items.entries()) {
    if (index > 0) out.addPlain(", ", fromCaller);
    write(run, out, item);
  }
  out.addPlain(close, fromCaller);
}

function writePairs(
  run: Allowance,
  out: TextBuilder,
  { entries, fromCaller }: Extract<Value, { kind: "dict" }>,
  [open, between, close]: readonly [string, string, string],
  each = false,
): void {
  let first = true;
  if (!each) out.addPlain(open, fromCaller);
  for (const [key, value] of entries.values()) {
    if (!first) out.addPlain(", ", fromCaller);
    first = false;
    if (each) out.addPlain(open, fromCaller);
    write(run, out, key);
    out.addPlain(between, fromCaller);
    write(run, out, value);
    if (each) out.addPlain(close, fromCaller);
  }
  if (!each) out.addPlain(close, fromCaller);
}

const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** A string between quotes: single ones, but where it has such and no double ones. */
function writeQuoted(out: TextBuilder, text: Text): void {
  const { value } = text;
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
  const caller = text.caller.length > 0;
  out.addPlain(quote, caller);
  let from = 0;
  // All that Python does not call printable: separators but the space, and the category Other.
  for (const match of value.matchAll(/[\\'"]|[^\P{C}]|[^\P{Z} ]/gu)) {
    const [found] = match;
    if (found === '"' || (found === "'" && quote === '"')) continue;
    out.addSlice(text, from, match.index);
    from = match.index + found.length;
    out.addPlain(found === "'" ? "\\'" : (escapes[found] ?? hexEscape(found)), caller);
  }
  out.addSlice(text, from, value.length);
  out.addPlain(quote, caller);
}

export function hexEscape(character: string): string {
  const code = character.codePointAt(0)!;
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}
