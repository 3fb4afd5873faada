import { type Allowance, fault } from "./allowance.ts";
import { escapeHtml } from "./escape.ts";
import { formatValue } from "./format-spec.ts";
import { represent, toText } from "./printing.ts";
import { createBuilder, fromCaller, plainText, type Text } from "./text.ts";
import type { Args, Value } from "./values.ts";

/** Looks `.name` or `[name]` up in a value, as the template itself would. */
export type Lookup = (run: Allowance, value: Value, name: string | number, byAttribute: boolean) => Value;

/** `text.format(...)`: fields `{name.attribute[item]!r:spec}`, where a specification may hold fields once more. */
export function formatFields(run: Allowance, format: Text, args: Args, lookup: Lookup, depth = 2): Text {
  const counter = { next: 0 };
  return fill(run, format, args, lookup, counter, depth);
}

function fill(
  run: Allowance,
  format: Text,
  args: Args,
  lookup: Lookup,
  counter: { next: number },
  depth: number,
): Text {
  if (depth < 1) return fault("Max string recursion exceeded");
  const out = createBuilder(run);
  const { value } = format;
  for (let at = 0; at < value.length; ) {
    const brace = /[{}]/g;
    brace.lastIndex = at;
    const found = brace.exec(value);
    out.addSlice(format, at, found ? found.index : value.length);
    if (!found) break;
    const open = found.index;
    if (value[open + 1] === found[0]) {
      out.addSlice(format, open, open + 1);
      at = open + 2;
      continue;
    }
    if (found[0] === "}") return fault("Single '}' encountered in format string");
    const close = closing(value, open);
    out.add(field(run, format, value.slice(open + 1, close), args, lookup, counter, depth));
    at = close + 1;
  }
  return out.build(format.markup);
}

/** Where the field that opens at `open` closes. */
function closing(value: string, open: number): number {
  let level = 0;
  for (let at = open; at < value.length; at++) {
    if (value[at] === "{") level++;
    else if (value[at] === "}" && --level === 0) return at;
  }
  return fault("expected '}' before end of string");
}

function field(
  run: Allowance,
  format: Text,
  source: string,
  args: Args,
  lookup: Lookup,
  counter: { next: number },
  depth: number,
): Text {
  const match = /^([^!:]*)(?:!(.))?(?::(.*))?$/su.exec(source) ?? fault("expected ':' after conversion specifier");
  const [, path = "", conversion, specSource = ""] = match;
  const [name = ""] = /^[^.[]*/.exec(path)!;
  let value: Value;
  if (name === "" || /^\d{1,9}$/.test(name)) {
    const index = name === "" ? counter.next++ : Number(name);
    value = args.positional[index] ?? fault("Replacement index out of range for positional args tuple");
  } else value = args.named.get(name) ?? fault(`'${name}'`);
  const steps = /\.([^.[]+)|\[([^\]]+)\]/gy;
  steps.lastIndex = name.length;
  let end = name.length;
  for (let step = steps.exec(path); step; step = steps.exec(path)) {
    run.step();
    end = steps.lastIndex;
    const [, attribute, item = ""] = step;
    if (attribute !== undefined) value = lookup(run, value, attribute, true);
    else value = lookup(run, value, /^\d{1,9}$/.test(item) ? Number(item) : item, false);
  }
  if (end !== path.length) return fault("Only '.' or '[' may follow ']' in format field specifier");
  if (conversion !== undefined) {
    if (conversion === "r" || conversion === "a") value = represent(run, value);
    else if (conversion === "s") value = toText(run, value);
    else return fault(`Unknown conversion specifier ${conversion}`);
  }
  const nested = specSource.includes("{")
    ? fill(run, plainText(run, specSource), args, lookup, counter, depth - 1)
    : undefined;
  const spec = nested?.value ?? specSource;
  if (value.kind === "undefined" && spec !== "") return fault(value.message);
  const formatted = formatValue(run, value, spec);
  // What fills up may be a caller's character.
  const text = nested && fromCaller(nested) ? plainText(run, formatted.value, true, formatted.markup) : formatted;
  return format.markup ? escapeHtml(run, text) : text;
}
