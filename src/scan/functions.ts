/** A function of a source file, as it stands there. */
export interface SourceFunction {
  readonly name: string;
  readonly text: string;
  /** From 1, both within it. */
  readonly firstLine: number;
  readonly lastLine: number;
}

export type Language = "c" | "javascript" | "python";

/** Languages by the ends of files' names: one with braces is split as C is. */
export const languages: Readonly<Record<string, Language>> = {
  ...{ ".c": "c", ".h": "c", ".cc": "c", ".cpp": "c", ".cxx": "c", ".hpp": "c" },
  ...{ ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascript" },
  ...{ ".ts": "javascript", ".mts": "javascript", ".cts": "javascript", ".tsx": "javascript", ".py": "python" },
};

/** Words with parentheses and a block behind them that are no functions. */
const noFunctions = new Set([
  "if",
  "for",
  "while",
  "switch",
  "catch",
  "with",
  "return",
  "else",
  "do",
  "sizeof",
  "function",
]);

/**
 * The outermost functions of a source text, in its order; one within another is a part of it, those of a class are each for themselves. It
 * looks at indentation (Python) or braces outside of comments and texts, and knows no more of a language than that: what a macro or a
 * regular expression hides from it is not found.
 */
export function findFunctions(source: string, language: Language): readonly SourceFunction[] {
  const lines = source.split(/\r?\n/);
  const found = language === "python" ? findIndented(lines) : findBraced(source, lines);
  return found.map(({ name, first, last }) => ({
    ...{ name, text: lines.slice(first, last + 1).join("\n") },
    ...{ firstLine: first + 1, lastLine: last + 1 },
  }));
}

interface Place {
  readonly name: string;
  /** Indices of lines. */
  readonly first: number;
  readonly last: number;
}

function findIndented(lines: readonly string[]): readonly Place[] {
  const places: Place[] = [];
  for (let at = 0; at < lines.length; at++) {
    const head = /^(\s*)(?:async\s+)?def\s+(\w+)/.exec(lines[at]!);
    if (head === null) continue;
    const indent = head[1]!.length;
    let last = at;
    // A signature may go on at its own indentation, up to the line that its parenthesis ends in.
    let open = parentheses(lines[at]!);
    for (let next = at + 1; next < lines.length; next++) {
      const line = lines[next]!;
      if (line.trim() === "") continue;
      if (open <= 0 && line.search(/\S/) <= indent) break;
      if (open > 0) open += parentheses(line);
      last = next;
    }
    places.push({ name: head[2]!, first: at, last });
    at = last;
  }
  return places;
}

/** How many are opened in a line and not closed. */
function parentheses(line: string): number {
  return line.split("(").length - line.split(")").length;
}

/** Comments, texts and what is in quotes; of a template literal its places for values with it. */
const hidden =
  /\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|"(?:[^"\\\n]|\\[\s\S])*"?|'(?:[^'\\\n]|\\[\s\S])*'?|`(?:[^`\\]|\\[\s\S])*`?/g;

function findBraced(source: string, lines: readonly string[]): readonly Place[] {
  // As long as it was, so that places stay.
  const bare = source.replace(hidden, (text) => text.replace(/[^\n]/g, " "));
  const starts = [0];
  for (let at = bare.indexOf("\n"); at >= 0; at = bare.indexOf("\n", at + 1)) starts.push(at + 1);
  const lineAt = (offset: number) => {
    let [low, high] = [0, lines.length];
    while (low + 1 < high) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= offset) low = middle;
      else high = middle;
    }
    return low;
  };
  const places: Place[] = [];
  /** Depth of braces at which the function that is being read began. */
  let inside: { readonly name: string; readonly first: number; readonly depth: number } | undefined;
  let depth = 0;
  let statement = 0;
  for (const { 0: mark, index } of bare.matchAll(/[{};]/g)) {
    if (mark === "{") {
      const head = inside === undefined ? headOf(bare.slice(Math.max(statement, index - 2000), index)) : undefined;
      if (head !== undefined) {
        inside = { name: head.name, first: lineAt(index - head.length), depth };
      }
      depth++;
    } else if (mark === "}") {
      depth = Math.max(0, depth - 1);
      if (inside !== undefined && depth <= inside.depth) {
        places.push({ name: inside.name, first: inside.first, last: lineAt(index) });
        inside = undefined;
      }
    }
    // What a parenthesis is open in goes on: `for (;;)`, or an object among arguments.
    statement = index + 1;
  }
  return places;
}

/** What stands before a brace, where it is the head of a function: its name, and how many characters it is long. */
function headOf(before: string): { readonly name: string; readonly length: number } | undefined {
  const trimmed = before.trimStart();
  const name = nameOf(trimmed);
  return name === undefined || noFunctions.has(name) ? undefined : { name, length: trimmed.length };
}

/** Step by step, not by one expression: such a one takes long for texts that are made for it. */
function nameOf(head: string): string | undefined {
  const keyword = head.lastIndexOf("function");
  const assigned =
    keyword < 0
      ? ""
      : head
          .slice(0, keyword)
          .trimEnd()
          .replace(/async$/, "")
          .trimEnd();
  if (assigned.endsWith("=") || assigned.endsWith(":")) return lastWord(assigned.slice(0, -1));
  if (head.trimEnd().endsWith("=>")) {
    const equals = head.indexOf("=");
    return head[equals + 1] === ">" ? undefined : lastWord(head.slice(0, equals).split(":")[0]!);
  }
  const open = head.indexOf("(");
  const close = head.lastIndexOf(")");
  if (open < 0 || close < open) return undefined;
  // Behind the parameters stand a type, initializers or a few words.
  const words = head
    .slice(close + 1)
    .trim()
    .split(/\s+/);
  if (!words[0]!.startsWith(":") && !words.every((word) => behindParameters.has(word))) return undefined;
  const called = head.slice(0, open).trimEnd();
  return lastWord(called.endsWith(">") ? called.slice(0, Math.max(0, called.indexOf("<"))) : called);
}

const behindParameters = new Set(["", "const", "noexcept", "override", "final"]);

function lastWord(text: string): string | undefined {
  const trimmed = text.trimEnd();
  let start = trimmed.length;
  while (start > 0 && /[\w$~]/.test(trimmed[start - 1]!)) start--;
  return start === trimmed.length ? undefined : trimmed.slice(start);
}
