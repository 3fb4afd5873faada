import { type Allowance, fault } from "./allowance.ts";
import { toIndex, toOptionalIndex } from "./arguments.ts";
import { escapeHtml } from "./escape.ts";
import { iterate, toIterable } from "./iterate.ts";
import { toJson } from "./json.ts";
import { length as lengthOf } from "./lookup.ts";
import { formatPercent } from "./percent-format.ts";
import { countPoints, isSpace } from "./points.ts";
import { toText } from "./printing.ts";
import { replace, splitFromRight, splitLines, strip } from "./search.ts";
import { concat, createBuilder, mapLetters, pick, plainText, type Text, withMarkup } from "./text.ts";
import { callTextMethod, center } from "./text-methods.ts";
import { type Args, isTrue, makeDict, makeInt, makeTuple, typeName, type Value } from "./values.ts";
import { wrapText } from "./wrap.ts";

/** A filter: what the value becomes, with the arguments in the order of the parameters. */
export interface Filter {
  /** undefined: the arguments are given as they are. */
  readonly parameters: string | undefined;
  apply(run: Allowance, value: Value, given: readonly (Value | undefined)[], args: Args): Value;
}

export const filter = (parameters: string | undefined, apply: Filter["apply"]): Filter => ({ parameters, apply });

const noArgs: Args = { positional: [], named: new Map() };

const byMethod = (name: string): Filter =>
  filter("", (run, value) => callTextMethod(run, toText(run, value), name, noArgs));

/** Jinja's own `title`: a word begins after `-`, space, `(`, `{`, `[` and `<`. */
function title(run: Allowance, text: Text): Text {
  return mapLetters(
    run,
    text,
    (value) =>
      value.replace(/[^-\s\x1c-\x1f\x85({[<]+/gu, (word) => {
        const [first = ""] = word;
        return first.toUpperCase() + word.slice(first.length).toLowerCase();
      }),
    false,
  );
}

function indent(run: Allowance, value: Value, [width, first, blank]: readonly (Value | undefined)[]): Value {
  if (value.kind !== "str") return fault(`can only indent text, not ${typeName(value)}`);
  const by =
    width?.kind === "str" ? width : plainText(run, spaces(run, width === undefined ? 4 : toIndex(width)), false);
  // A line end is added, so that the last empty line counts.
  const lines = splitLines(run, concat(run, [value, plainText(run, "\n")], value.markup), false);
  const all = blank !== undefined && isTrue(run, blank);
  const out = createBuilder(run);
  if (first !== undefined && isTrue(run, first)) out.add(by);
  for (const [index, line] of lines.entries()) {
    if (index > 0) out.addPlain("\n");
    if (index > 0 && (all || line.value !== "")) out.add(by);
    out.add(line);
  }
  return out.build(value.markup);
}

function spaces(run: Allowance, count: number): string {
  run.take(Math.max(0, count));
  return " ".repeat(Math.max(0, count));
}

function truncate(run: Allowance, value: Value, given: readonly (Value | undefined)[]): Value {
  const [length = 255, , , leeway = 5] = given.map((each, index) =>
    index === 1 || index === 2 ? 0 : toOptionalIndex(each),
  );
  const end = given[2] === undefined ? plainText(run, "...") : toText(run, given[2]);
  const room = length - countPoints(run, end.value);
  if (room < 0) return fault(`expected length >= ${length - room}, got ${length}`);
  if (leeway < 0) return fault(`expected leeway >= 0, got ${leeway}`);
  if (lengthOf(run, value) <= length + leeway) return value;
  if (value.kind !== "str") return fault(`can only truncate text, not ${typeName(value)}`);
  const cut = pick(run, value, 0, room, 1);
  const killWords = given[1] !== undefined && isTrue(run, given[1]);
  return concat(run, [killWords ? cut : splitFromRight(run, cut, " ", 1)[0]!, end], value.markup);
}

/** Removes comments and tags, joins what space parted, and reads the entities that `escape` writes. */
function stripTags(run: Allowance, text: Text): Text {
  const { value } = text;
  const out = createBuilder(run);
  let from = 0;
  for (let start = value.indexOf("<"); start >= 0; start = value.indexOf("<", from)) {
    const comment = value.startsWith("<!--", start);
    const end = comment ? value.indexOf("-->", start + 4) : value.indexOf(">", start);
    if (end < 0) break;
    out.addSlice(text, from, start);
    from = end + (comment ? 3 : 1);
  }
  out.addSlice(text, from, value.length);
  const words = createBuilder(run);
  const bare = out.build();
  let at = 0;
  run.step(bare.value.length >> 2);
  while (at < bare.value.length) {
    while (at < bare.value.length && isSpace(bare.value.charCodeAt(at))) at++;
    let to = at;
    while (to < bare.value.length && !isSpace(bare.value.charCodeAt(to))) to++;
    if (to > at && words.length > 0) words.addPlain(" ");
    words.addSlice(bare, at, to);
    at = to;
  }
  let result = words.build();
  const entities = { "&lt;": "<", "&gt;": ">", "&#34;": '"', "&quot;": '"', "&#39;": "'", "&amp;": "&" };
  for (const [entity, sign] of Object.entries(entities)) {
    result = replace(run, result, entity, plainText(run, sign, text.caller.length > 0), -1);
  }
  return result;
}

/** Percent-encodes UTF-8 but for letters, digits and `_.-~`; a path keeps `/`, a query writes a space as `+`. */
function quoteUrl(run: Allowance, value: Value, query: boolean): Text {
  const text = toText(run, value);
  run.take(2 * text.value.length);
  const quoted = encodeURIComponent(text.value.toWellFormed()).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  const done = query ? quoted.replaceAll("%20", "+") : quoted.replaceAll("%2F", "/");
  return plainText(run, done, text.caller.length > 0);
}

function urlEncode(run: Allowance, value: Value): Value {
  if (value.kind === "str" || "value" in value || value.kind === "none") return quoteUrl(run, value, false);
  const out = createBuilder(run);
  const items: Value = value.kind === "dict" ? { kind: "view", of: "items", dict: value } : value;
  for (const pair of toIterable(iterate(run, items))) {
    const [key, item] = [...toIterable(iterate(run, pair))];
    if (key === undefined || item === undefined) return fault("urlencode expects pairs");
    if (out.length > 0) out.addPlain("&");
    out.add(quoteUrl(run, key, true));
    out.addPlain("=");
    out.add(quoteUrl(run, item, true));
  }
  return out.build();
}

function xmlAttributes(run: Allowance, value: Value, [autospace]: readonly (Value | undefined)[]): Value {
  if (value.kind !== "dict") return fault(`'${typeName(value)}' object has no attribute 'items'`);
  const out = createBuilder(run);
  const space = autospace === undefined || isTrue(run, autospace);
  for (const [key, item] of value.entries.values()) {
    if (item.kind === "none" || item.kind === "undefined") continue;
    const name = toText(run, key);
    if (/[\s/>=]/.test(name.value)) return fault(`Invalid character in attribute name: '${name.value}'`);
    if (out.length > 0 || space) out.addPlain(" ");
    out.add(escapeHtml(run, name));
    out.addPlain('="');
    out.add(escapeHtml(run, toText(run, item)));
    out.addPlain('"');
  }
  return out.build();
}

function json(run: Allowance, value: Value, given: readonly (Value | undefined)[]): Value {
  const [ascii, indent, separators, sortKeys] = given;
  const flag = (option: Value | undefined) => option !== undefined && isTrue(run, option);
  let by: Text | undefined;
  if (indent?.kind === "str") by = indent;
  else if (indent !== undefined && indent.kind !== "none") by = plainText(run, spaces(run, toIndex(indent)));
  let signs: [Text, Text] = [plainText(run, by === undefined ? ", " : ","), plainText(run, ": ")];
  if (separators !== undefined && separators.kind !== "none") {
    const two = [...toIterable(iterate(run, separators))].map((sign) => toText(run, sign));
    if (two.length !== 2) return fault("tojson expects two separators");
    signs = two as [Text, Text];
  }
  return toJson(run, value, { ascii: flag(ascii), indent: by, separators: signs, sortKeys: flag(sortKeys) });
}

export const textFilters: Readonly<Record<string, Filter>> = {
  upper: byMethod("upper"),
  lower: byMethod("lower"),
  capitalize: byMethod("capitalize"),
  title: filter("", (run, value) => title(run, toText(run, value))),
  trim: filter("chars?", (run, value, [chars]) => {
    if (chars !== undefined && chars.kind !== "none" && chars.kind !== "str") fault("strip arg must be None or str");
    return strip(run, toText(run, value), chars?.kind === "str" ? chars.value : undefined, true, true);
  }),
  string: filter("", (run, value) => toText(run, value)),
  safe: filter("", (run, value) => withMarkup(run, toText(run, value), true)),
  escape: filter("", (run, value) => escapeHtml(run, toText(run, value))),
  forceescape: filter("", (run, value) => escapeHtml(run, withMarkup(run, toText(run, value), false))),
  replace: filter("old new count?", (run, value, [old, by, count]) =>
    withMarkup(
      run,
      replace(run, toText(run, value), toText(run, old!).value, toText(run, by!), toOptionalIndex(count) ?? -1),
      false,
    ),
  ),
  format: filter(undefined, (run, value, _, { positional, named }) => {
    if (positional.length > 0 && named.size > 0) {
      return fault("can't handle positional and keyword arguments at the same time");
    }
    const entries = [...named].map(([name, item]) => [plainText(run, name), item] as const);
    const given = named.size > 0 ? makeDict(run, entries) : makeTuple(run, positional);
    return formatPercent(run, toText(run, value), given);
  }),
  indent: filter("width? first? blank?", indent),
  center: filter("width?", (run, value, [width]) =>
    center(run, toText(run, value), width === undefined ? 80 : toIndex(width)),
  ),
  truncate: filter("length? killwords? end? leeway?", truncate),
  wordcount: filter("", (run, value) => {
    const { value: text } = toText(run, value);
    run.step(text.length >> 2);
    return makeInt(run, text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0);
  }),
  wordwrap: filter(
    "width? break_long_words? wrapstring? break_on_hyphens?",
    (run, value, [width, long, by, hyphens]) => {
      const options = {
        width: width === undefined ? 79 : toIndex(width),
        breakLongWords: long === undefined || isTrue(run, long),
        breakOnHyphens: hyphens === undefined || isTrue(run, hyphens),
      };
      const end = by === undefined || by.kind === "none" ? plainText(run, "\n") : toText(run, by);
      if (value.kind !== "str") return fault(`can only wrap text, not ${typeName(value)}`);
      const lines = splitLines(run, value, false).map((line) => wrapText(run, line, options));
      const out = createBuilder(run);
      for (const [index, line] of lines.entries()) {
        if (index > 0) out.add(end);
        for (const [at, part] of line.entries()) {
          if (at > 0) out.add(end);
          out.add(part);
        }
      }
      return out.build();
    },
  ),
  striptags: filter("", (run, value) => stripTags(run, toText(run, value))),
  urlencode: filter("", urlEncode),
  xmlattr: filter("autospace?", xmlAttributes),
  tojson: filter("ensure_ascii? indent? separators? sort_keys?", json),
};
