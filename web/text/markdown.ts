/**
 * What models write of Markdown, as a tree of plain data: whatever is not understood stays the text that it is, and HTML is text.
 * Any beginning of a text can be read, since answers are shown while they come. Time is linear in the text but for its nesting,
 * which is bounded.
 */
export type Block =
  | { readonly type: "paragraph"; readonly content: readonly Inline[] }
  | { readonly type: "heading"; readonly level: number; readonly content: readonly Inline[] }
  | { readonly type: "code"; readonly language: string; readonly text: string }
  | { readonly type: "list"; readonly start: number | undefined; readonly items: readonly (readonly Block[])[] }
  | { readonly type: "quote"; readonly blocks: readonly Block[] }
  | { readonly type: "table"; readonly head: readonly Cell[]; readonly rows: readonly (readonly Cell[])[] }
  | { readonly type: "rule" };

export type Cell = readonly Inline[];

export type Inline =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "code"; readonly text: string }
  | { readonly type: "strong" | "emphasis"; readonly content: readonly Inline[] }
  | { readonly type: "link"; readonly url: string; readonly content: readonly Inline[] }
  | { readonly type: "break" };

/** Lists and quotes in one another, at most: deeper ones are text. */
const deepest = 8;

const fence = /^ {0,3}(`{3,}|~{3,})\s*([^`]*?)\s*$/;
const heading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const rule = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const item = /^( {0,3})([-*+]|\d{1,9}[.)])( +|$)(.*)$/;
const quote = /^ {0,3}> ?(.*)$/;
const divider = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

export function parseMarkdown(text: string): Block[] {
  return parseBlocks(text.replaceAll("\r\n", "\n").split("\n"), 0);
}

function parseBlocks(lines: readonly string[], depth: number): Block[] {
  const blocks: Block[] = [];
  let paragraph: string[] = [];
  const close = () => {
    if (paragraph.length > 0) blocks.push({ type: "paragraph", content: parseInline(paragraph.join("\n").trim()) });
    paragraph = [];
  };
  let at = 0;
  while (at < lines.length) {
    const line = lines[at]!;
    const read = readBlock(lines, at, depth, paragraph.length > 0);
    if (read !== undefined) {
      close();
      blocks.push(read.block);
      at = read.end;
      continue;
    }
    if (line.trim() === "") close();
    else paragraph.push(line.trimStart());
    at++;
  }
  close();
  return blocks;
}

interface Read {
  readonly block: Block;
  /** The first line after it. */
  readonly end: number;
}

/** The block that begins with a line, if it is none of a paragraph's. */
function readBlock(lines: readonly string[], at: number, depth: number, inParagraph: boolean): Read | undefined {
  const line = lines[at]!;
  const opening = fence.exec(line);
  if (opening) return readCode(lines, at, opening[1]!, opening[2]!);
  const titled = heading.exec(line);
  if (titled) {
    return { block: { type: "heading", level: titled[1]!.length, content: parseInline(titled[2]!) }, end: at + 1 };
  }
  if (rule.test(line)) return { block: { type: "rule" }, end: at + 1 };
  if (depth < deepest) {
    if (quote.test(line)) return readQuote(lines, at, depth);
    const listed = item.exec(line);
    // A year at the beginning of a line within a paragraph begins no list.
    if (listed && !(inParagraph && /^\d/.test(listed[2]!) && !/^1[.)]$/.test(listed[2]!)))
      return readList(lines, at, depth);
  }
  if (
    line.includes("|") &&
    lines[at + 1] !== undefined &&
    divider.test(lines[at + 1]!) &&
    lines[at + 1]!.includes("-")
  ) {
    return readTable(lines, at);
  }
  return undefined;
}

/** Up to a fence that is as long, or all that there is so far. */
function readCode(lines: readonly string[], at: number, mark: string, language: string): Read {
  const closing = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}\\s*$`);
  const found = lines.findIndex((line, i) => i > at && closing.test(line));
  const end = found === -1 ? lines.length : found;
  return { block: { type: "code", language, text: lines.slice(at + 1, end).join("\n") }, end: end + 1 };
}

function readQuote(lines: readonly string[], at: number, depth: number): Read {
  let end = at;
  const inner: string[] = [];
  for (; end < lines.length; end++) {
    const found = quote.exec(lines[end]!);
    if (!found) break;
    inner.push(found[1]!);
  }
  return { block: { type: "quote", blocks: parseBlocks(inner, depth + 1) }, end };
}

/** Items of one kind; what is indented as far as an item's text, and lines that go on with its paragraph, are part of it. */
function readList(lines: readonly string[], at: number, depth: number): Read {
  const first = item.exec(lines[at]!)!;
  const kind = (mark: string) => (/^\d/.test(mark) ? mark.at(-1)! : mark);
  const items: string[][] = [];
  let indent = 0;
  let end = at;
  for (; end < lines.length; end++) {
    const line = lines[end]!;
    const inside = items.length > 0 && line.startsWith(" ".repeat(indent));
    const found = inside ? undefined : item.exec(line);
    if (found && kind(found[2]!) === kind(first[2]!) && !rule.test(line)) {
      indent = found[1]!.length + found[2]!.length + Math.max(1, Math.min(4, found[3]!.length));
      items.push([found[4]!]);
    } else if (inside) items.at(-1)!.push(line.slice(indent));
    else if (line.trim() === "") {
      // The list goes on after an empty line only with what is its own.
      let after = end + 1;
      while (lines[after]?.trim() === "") after++;
      const next = lines[after];
      const goesOn =
        next !== undefined &&
        (next.startsWith(" ".repeat(indent)) || kind(item.exec(next)?.[2] ?? "") === kind(first[2]!));
      if (!goesOn) break;
      items.at(-1)!.push("");
    } else if (
      lines[end - 1]!.trim() !== "" &&
      readBlock(lines, end, deepest, true) === undefined &&
      !found &&
      !quote.test(line)
    ) {
      items.at(-1)!.push(line.trimStart());
    } else break;
  }
  const start = /^\d/.test(first[2]!) ? Number.parseInt(first[2]!, 10) : undefined;
  return { block: { type: "list", start, items: items.map((inner) => parseBlocks(inner, depth + 1)) }, end };
}

function readTable(lines: readonly string[], at: number): Read {
  const head = cellsOf(lines[at]!);
  const rows: Cell[][] = [];
  let end = at + 2;
  for (; end < lines.length && lines[end]!.includes("|"); end++) {
    const cells = cellsOf(lines[end]!);
    rows.push([...cells, ...head.slice(cells.length).map(() => [])]);
  }
  return { block: { type: "table", head, rows }, end };
}

function cellsOf(line: string): Cell[] {
  const inner = line
    .trim()
    .replace(/^\|/, "")
    .replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => parseInline(cell.trim().replaceAll("\\|", "|")));
}

/** What can stand within a line, by the character that it begins with; nothing in it spans an empty line. */
const marks: readonly (readonly [RegExp, (found: RegExpExecArray, depth: number) => Inline])[] = [
  [
    /(?<!`)(`+)(?!`)([^`]|[^`][\s\S]{0,2000}?[^`])\1(?!`)/y,
    ([, , text]) => ({ type: "code", text: text!.replace(/^ (.*) $/s, "$1") }),
  ],
  [
    /\*\*(?=\S)([\s\S]{1,2000}?\S)\*\*(?!\*)/y,
    ([, text], depth) => ({ type: "strong", content: inline(text!, depth + 1) }),
  ],
  [
    /\*(?![\s*])([^*\n]{0,2000}[^\s*])\*(?!\*)/y,
    ([, text], depth) => ({ type: "emphasis", content: inline(text!, depth + 1) }),
  ],
  [
    /(?<![\p{L}\p{N}_])__(?=\S)([^_]{1,2000}\S)__(?![\p{L}\p{N}_])/uy,
    ([, text], depth) => ({ type: "strong", content: inline(text!, depth + 1) }),
  ],
  [
    /(?<![\p{L}\p{N}_])_(?=[^\s_])([^_\n]{0,2000}[^\s_])_(?![\p{L}\p{N}_])/uy,
    ([, text], depth) => ({ type: "emphasis", content: inline(text!, depth + 1) }),
  ],
  [
    /\[([^[\]\n]{1,500})\]\((https?:\/\/[^\s()<>]{1,2000})\)/y,
    ([, text, url], depth) => ({ type: "link", url: url!, content: inline(text!, depth + 1) }),
  ],
  [/\\([!-/:-@[-`{-~])/y, ([, text]) => ({ type: "text", text: text! })],
  [/(?: {2,}|\\)?\n/y, () => ({ type: "break" })],
];

export const parseInline = (text: string): Inline[] => inline(text, 0);

function inline(text: string, depth: number): Inline[] {
  const found: Inline[] = [];
  let plain = "";
  const close = () => {
    if (plain !== "") found.push({ type: "text", text: plain });
    plain = "";
  };
  let at = 0;
  while (at < text.length) {
    const mark = /[`*_[\\\n ]/.test(text[at]!) && depth < deepest ? markAt(text, at, depth) : undefined;
    if (mark === undefined) plain += text[at++]!;
    else if (mark.inline.type === "text") {
      plain += mark.inline.text;
      at = mark.end;
    } else {
      close();
      found.push(mark.inline);
      at = mark.end;
    }
  }
  close();
  return found;
}

function markAt(
  text: string,
  at: number,
  depth: number,
): { readonly inline: Inline; readonly end: number } | undefined {
  for (const [pattern, make] of marks) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) return { inline: make(match, depth), end: at + match[0].length };
  }
  return undefined;
}
