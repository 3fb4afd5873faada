import { type Allowance, fault } from "./allowance.ts";
import { comparePoints } from "./points.ts";
import { printFloat, printInt } from "./printing.ts";
import { createBuilder, fromCaller, type Text, type TextBuilder } from "./text.ts";
import { typeName, type Value } from "./values.ts";

export interface JsonOptions {
  readonly ascii: boolean;
  /** What each level is moved in by; undefined puts all on one line. */
  readonly indent: Text | undefined;
  readonly separators: readonly [item: Text, key: Text];
  readonly sortKeys: boolean;
}

/** `json.dumps`. A string's quotes and a container's brackets are of the origin of what they enclose. */
export function toJson(run: Allowance, value: Value, options: JsonOptions): Text {
  const out = createBuilder(run);
  const { indent, separators } = options;
  let level = 0;

  const breakLine = (): void => {
    if (indent === undefined) return;
    out.addPlain("\n");
    for (let i = 0; i < level; i++) out.add(indent);
  };

  function writeAll<T>(open: string, items: readonly T[], close: string, ofCaller: boolean, each: (item: T) => void) {
    out.addPlain(open, ofCaller);
    run.enter();
    level++;
    for (const [index, item] of items.entries()) {
      if (index > 0) addSign(out, separators[0], ofCaller);
      breakLine();
      each(item);
    }
    level--;
    run.leave();
    if (items.length > 0) breakLine();
    out.addPlain(close, ofCaller);
  }

  function write(item: Value): void {
    run.step();
    switch (item.kind) {
      case "str":
        writeString(out, item, options.ascii);
        break;
      case "list":
      case "tuple":
        writeAll("[", item.items, "]", item.fromCaller, write);
        break;
      case "dict": {
        const pairs = [...item.entries.values()];
        run.take(8 * pairs.length);
        if (options.sortKeys) sortPairs(run, pairs);
        writeAll("{", pairs, "}", item.fromCaller, ([key, value]) => {
          if (key.kind === "str") writeString(out, key, options.ascii);
          else {
            const name = scalar(key);
            if (name === undefined) fault(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
            out.addPlain(`"${name}"`, "fromCaller" in key && key.fromCaller);
          }
          addSign(out, separators[1], item.fromCaller);
          write(value);
        });
        break;
      }
      default: {
        const text = scalar(item);
        if (text === undefined) fault(`Object of type ${typeName(item)} is not JSON serializable`);
        out.addPlain(text, "fromCaller" in item && item.fromCaller);
      }
    }
  }

  write(value);
  return out.build();
}

/** A separator between what is the caller's is the caller's too. */
function addSign(out: TextBuilder, sign: Text, ofCaller: boolean): void {
  if (ofCaller) out.addPlain(sign.value, true);
  else out.add(sign);
}

function scalar(value: Value): string | undefined {
  switch (value.kind) {
    case "none":
      return "null";
    case "bool":
      return value.value ? "true" : "false";
    case "int":
      return printInt(value.value);
    case "float":
      if (Number.isNaN(value.value)) return "NaN";
      return Number.isFinite(value.value) ? printFloat(value.value) : value.value < 0 ? "-Infinity" : "Infinity";
    default:
      return undefined;
  }
}

function sortPairs(run: Allowance, pairs: (readonly [Value, Value])[]): void {
  pairs.sort(([a], [b]) => {
    run.step();
    if (a.kind === "str" && b.kind === "str") {
      run.step(Math.min(a.value.length, b.value.length) >> 5);
      return comparePoints(a.value, b.value);
    }
    if ((a.kind === "int" || a.kind === "bool") && (b.kind === "int" || b.kind === "bool")) {
      return Number(a.value) - Number(b.value);
    }
    return fault(`'<' not supported between instances of '${typeName(b)}' and '${typeName(a)}'`);
  });
}

const shortEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
};

function writeString(out: TextBuilder, text: Text, ascii: boolean): void {
  const ofCaller = fromCaller(text);
  out.addPlain('"', ofCaller);
  let from = 0;
  for (const match of text.value.matchAll(ascii ? /["\\]|[^ -~]/g : /["\\\0-\x1f]/g)) {
    const [found] = match;
    out.addSlice(text, from, match.index);
    from = match.index + 1;
    out.addPlain(shortEscapes[found] ?? `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`, ofCaller);
  }
  out.addSlice(text, from, text.value.length);
  out.addPlain('"', ofCaller);
}
