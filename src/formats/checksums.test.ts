import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { formatChecksums, looksLikeChecksums, readChecksums } from "./checksums.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-sums-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "SHA256SUMS");
const read = (text: string) => {
  writeFileSync(path, text);
  return readChecksums(path);
};
const [hello, x, y, z] = [
  "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
  "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
  "a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa",
  "594e519ae499312b29433b7dd8a97ff068defcba9755b6d5d00e84c524d67b06",
];
/** What GNU coreutils' sha256sum printed for four files, whose names have a space, a line end, a backslash and a folder. */
const printed = `${hello}  a b.txt\n\\${y}  back\\\\slash\n\\${x}  new\\nline\n${z}  sub/c\n`;
const listed = [
  { name: "a b.txt", sha256: hello },
  { name: "back\\slash", sha256: y },
  { name: "new\nline", sha256: x },
  { name: "sub/c", sha256: z },
];

describe("lists of checksums", () => {
  it("are read and written as sha256sum writes them", () => {
    expect(read(printed)).toEqual(listed);
    expect(formatChecksums(listed as { name: string; sha256: string }[])).toBe(printed);
    expect(looksLikeChecksums(printed)).toBe(true);
  });

  it.each([
    ["Windows' line ends", printed.replaceAll("\n", "\r\n"), listed],
    [
      "binary marks, upper case, a mark of the byte order",
      `\ufeff${hello?.toUpperCase()} *./a  b `,
      [{ name: "a  b ", sha256: hello }],
    ],
    [
      "tags",
      `SHA256 (a (1) = b.txt) = ${hello}\n\\SHA256 (new\\nline) = ${x}\n`,
      [
        { name: "a (1) = b.txt", sha256: hello },
        { name: "new\nline", sha256: x },
      ],
    ],
    ["comments and empty lines", `# made by hand\n\n${z}  sub/./c\n`, [{ name: "sub/c", sha256: z }]],
    ["nothing", "", []],
  ])("are read with %s", (_, text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  it.each(["../a", "a/../../b", "/etc/passwd", "C:/x", "c:x", "a/..", ".."])("do not lead to %s", (name) => {
    expect(() => read(`${z}  ok\n${z}  ${name}\n`)).toThrow(
      expect.objectContaining({ code: "format", message: expect.stringMatching(/line 2: .*leads out/) }),
    );
  });

  it.each([
    ["a hash of 63 digits", `${hello?.slice(1)}  a`, /line 1: .*no checksum/],
    ["one space", `${hello} a`, /no checksum/],
    ["no name", `${hello}  `, /no checksum/],
    ["another escape", `\\${hello}  a\\tb`, /backslash before "t"/],
    ["a last backslash", `\\${hello}  a\\`, /backslash before ""/],
    ["HTML", "<html></html>", /no checksum/],
  ])("are refused with %s", (_, text, message) => {
    expect(() => read(text)).toThrow(
      expect.objectContaining({ code: "format", message: expect.stringMatching(message) }),
    );
  });

  it("keep any name that stays inside", () => {
    const part = fc.string({ minLength: 1, unit: "binary" }).map((name) => `n${name.replaceAll(/[/:\0]/g, "")}`);
    const name = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/").toWellFormed());
    fc.assert(
      fc.property(fc.array(name), (names) => {
        const list = names.map((each) => ({ name: each, sha256: hello! }));
        expect(read(formatChecksums(list))).toEqual(list);
      }),
      { numRuns: 50 },
    );
  });
});
