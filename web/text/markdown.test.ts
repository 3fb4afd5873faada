import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Block, type Inline, parseInline, parseMarkdown } from "./markdown.ts";

const text = (words: string): Inline => ({ type: "text", text: words });
const paragraph = (words: string): Block => ({ type: "paragraph", content: [text(words)] });

describe("blocks", () => {
  it.each([
    [
      "paragraphs",
      "a\nb\n\nc",
      [{ type: "paragraph", content: [text("a"), { type: "break" }, text("b")] }, paragraph("c")],
    ],
    [
      "a heading",
      "## A *b* ##",
      [{ type: "heading", level: 2, content: [text("A "), { type: "emphasis", content: [text("b")] }] }],
    ],
    [
      "code, whatever is in it",
      "```ts\n# *a*\n\n- <b>\n```\nx",
      [{ type: "code", language: "ts", text: "# *a*\n\n- <b>" }, paragraph("x")],
    ],
    ["code that is not finished", "x\n```\na\nb", [paragraph("x"), { type: "code", language: "", text: "a\nb" }]],
    ["code in a longer fence", "````\n```\n````", [{ type: "code", language: "", text: "```" }]],
    ["a rule", "a\n\n---\n\nb", [paragraph("a"), { type: "rule" }, paragraph("b")]],
    [
      "a quote",
      "> a\n> > b",
      [{ type: "quote", blocks: [paragraph("a"), { type: "quote", blocks: [paragraph("b")] }] }],
    ],
  ] as const)("read %s", (_, source, blocks) => {
    expect(parseMarkdown(source)).toEqual(blocks);
  });

  it("read lists, in one another, with paragraphs and code in them", () => {
    const list = (start: number | undefined, ...items: Block[][]): Block => ({ type: "list", start, items });
    expect(parseMarkdown("- a\n- b\n  - c\n\nd")).toEqual([
      list(undefined, [paragraph("a")], [paragraph("b"), list(undefined, [paragraph("c")])]),
      paragraph("d"),
    ]);
    expect(parseMarkdown("3. a\n\n   b\n\n4. c")).toEqual([
      list(3, [paragraph("a"), paragraph("b")], [paragraph("c")]),
    ]);
    expect(parseMarkdown("* a\n  ```\n  x\n  ```")).toEqual([
      list(undefined, [paragraph("a"), { type: "code", language: "", text: "x" }]),
    ]);
    expect(parseMarkdown("- a\ngoes on")).toEqual([
      list(undefined, [{ type: "paragraph", content: [text("a"), { type: "break" }, text("goes on")] }]),
    ]);
    expect(parseMarkdown("- a\n1. b")).toEqual([list(undefined, [paragraph("a")]), list(1, [paragraph("b")])]);
  });

  it("begin no list with a year within a paragraph", () => {
    expect(parseMarkdown("It was in\n1984. Or not.")).toHaveLength(1);
  });

  it("read tables, also with too few cells", () => {
    expect(parseMarkdown("| a | b |\n|---|:-:|\n| 1 | x \\| y |\n| 2 |")).toEqual([
      {
        type: "table",
        head: [[text("a")], [text("b")]],
        rows: [
          [[text("1")], [text("x | y")]],
          [[text("2")], []],
        ],
      },
    ]);
  });
});

describe("lines", () => {
  it.each([
    ["code", "a `*b*` ``c`d``", [text("a "), { type: "code", text: "*b*" }, text(" "), { type: "code", text: "c`d" }]],
    [
      "strong and emphasized words",
      "**a *b*** _c_",
      [
        { type: "strong", content: [text("a "), { type: "emphasis", content: [text("b")] }] },
        text(" "),
        { type: "emphasis", content: [text("c")] },
      ],
    ],
    ["links of the web", "[a](https://b.c/d?e)", [{ type: "link", url: "https://b.c/d?e", content: [text("a")] }]],
    ["what is escaped", "\\*a\\*", [text("*a*")]],
  ] as const)("read %s", (_, source, parts) => {
    expect(parseInline(source)).toEqual(parts);
  });

  it.each([
    ...[
      "2 * 3 * 4",
      "snake_case_name",
      "a ** b",
      "`",
      "**",
      "[a](b",
      "<b>no</b> & &amp;",
      "![x](http://y)".slice(0, 4),
    ],
    ...["[a](javascript:alert(1))", "[a](data:text/html,x)", "[a](//b.c)", "[a](https://b c)"],
  ])("leave %s the text that it is", (source) => {
    expect(parseInline(source)).toEqual([text(source)]);
  });
});

const pieces = fc.constantFrom(
  ..."*_`#->|[]()\\ \n",
  "ab",
  "```",
  "**",
  "1. ",
  "- ",
  "> ",
  "|---|",
  "https://a.b",
  "  ",
);

it("loses no word of any text, ends, and is bounded in its nesting", () => {
  const words = (value: unknown, depth = 0): string => {
    expect(depth).toBeLessThan(120);
    if (typeof value === "string") return value;
    if (Array.isArray(value)) return value.map((part) => words(part, depth + 1)).join(" ");
    if (typeof value !== "object" || value === null) return "";
    return Object.entries(value)
      .map(([key, part]) => (key === "type" ? "" : words(part, depth + 1)))
      .join(" ");
  };
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 60 }), (parts) => {
      const source = parts.join("");
      const count = (whole: string) => whole.split("ab").length - 1;
      expect(count(words(parseMarkdown(source)))).toBe(count(source));
    }),
    { numRuns: 1000 },
  );
});

it("takes a hostile text in time that grows with its length", () => {
  // With the square of it this would take minutes, and the test would end first.
  for (const piece of ["*", "`", "> ", "- ", "[", "**a", "_a ", "| ", "[a](http://", "a\n|-|\n", "- a\n\n"]) {
    expect(parseMarkdown(piece.repeat(20_000)).length).toBeGreaterThan(0);
  }
});
