import { spaceClass } from "./text.ts";

/** `\w`: what `str.isalnum` takes, and `_`. Marks that combine are not among it. */
const wordClass = "\\p{L}\\p{N}_";
const boundary = `(?:(?<=[${wordClass}])(?![${wordClass}])|(?<![${wordClass}])(?=[${wordClass}]))`;

const classes: Readonly<Record<string, string>> = {
  ...{
    d: "\\p{Nd}",
    D: "\\P{Nd}",
    w: `[${wordClass}]`,
    W: `[^${wordClass}]`,
    s: `[${spaceClass}]`,
    S: `[^${spaceClass}]`,
  },
  ...{ b: boundary, B: `(?!${boundary})`, A: "(?<![^])", Z: "(?![^])", a: "\\x07" },
};
const inClass: Readonly<Record<string, string>> = {
  ...{ d: "\\p{Nd}", D: "\\P{Nd}", w: wordClass, s: spaceClass, b: "\\x08", a: "\\x07" },
};

/**
 * A regular expression of Python's (`re`, over texts) as one of JavaScript's that finds the same. Flags stand in front, as in `(?is)`.
 * @param flags further ones: `i`, `m`, `s`.
 * @throws SyntaxError where it is none, or has what is not read here: flags further in, atomic groups, conditions, `\W` or `\S` in a class.
 */
export function pythonRegExp(source: string, flags = ""): RegExp {
  const head = /^\(\?([ims]+)\)/.exec(source);
  const all = flags + (head?.[1] ?? "");
  const lines = all.includes("m");
  const dot = all.includes("s") ? "[^]" : "[^\\n]";
  const rest = source.slice(head?.[0].length ?? 0);
  // One piece at a time: an escape, the beginning of a group, a class, a repetition, or any character.
  const piece =
    /\\(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|[\s\S])|\(\?P?<\w+>|\(\?P=\w+\)|\(\?[\s\S]|\[\^?\]?(?:\\[\s\S]|[^\]\\])*\]|\{\d*,?\d*\}|[\s\S]/gu;
  const parts = (rest.match(piece) ?? []).map((part) => {
    if (part.startsWith("\\")) return classes[part.slice(1)] ?? plainEscape(part);
    if (part.startsWith("(?P<")) return `(?${part.slice(3)}`;
    if (part.startsWith("(?P=")) return `\\k<${part.slice(4, -1)}>`;
    if (part.startsWith("(?")) return part;
    if (part.length > 1 && part.startsWith("[")) return classOf(part);
    if (/^\{\d+,?\d*\}$/.test(part)) return part;
    if (/^\{,\d+\}$/.test(part)) return `{0${part.slice(1)}`;
    if (part === ".") return dot;
    if (part === "^") return lines ? "(?<![^\\n])" : "(?<![^])";
    if (part === "$") return lines ? "(?![^\\n])" : "(?=\\n?(?![^]))";
    return part.replace(/[{}\]]/g, "\\$&");
  });
  return new RegExp(parts.join(""), all.includes("i") ? "giu" : "gu");
}

/** JavaScript refuses what needs no escape, where Python does not. */
function plainEscape(part: string): string {
  if (part.length > 2 || /[\dnrtfv^$\\.*+?()[\]{}|/]/.test(part[1]!)) return part;
  if (/[a-zA-Z]/.test(part[1]!))
    throw new SyntaxError(`there is no ${part} in Python's regular expressions, or none is read here`);
  return part.slice(1);
}

function classOf(part: string): string {
  const negated = part.startsWith("[^") ? "^" : "";
  const inner = part
    .slice(1 + negated.length, -1)
    .replace(/\\([\s\S])|[\s\S]/gu, (each, escaped: string | undefined) => {
      if (escaped === undefined) return each === "]" || each === "[" ? `\\${each}` : each;
      return inClass[escaped] ?? (escaped === "-" ? each : plainEscape(each));
    });
  return `[${negated}${inner}]`;
}

/** `re.findall`: all of each match, or its only group, or of several groups the list of them, "" for one that is not part of it. */
export function findAll(expression: RegExp, text: string): readonly (string | readonly string[])[] {
  return [...text.matchAll(expression)].map(([whole, ...groups]) => {
    const found = groups.map((group) => group ?? "");
    return found.length === 0 ? whole : found.length === 1 ? found[0]! : found;
  });
}
