import { isUtf8 } from "node:buffer";
import { execFileSync } from "node:child_process";
import { existsSync, ftruncateSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { GrokError } from "../errors.ts";
import { createLineDecoder, decodeText, mostTextBytes } from "./text.ts";
import { readStreamLines, readTextBytes, readTextFile, readTextLines, readTextStream } from "./text-file.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-text-"));
afterAll(() => rmSync(folder, { recursive: true }));

const mark = [0xef, 0xbb, 0xbf];
const bytesOf = (...parts: (string | number[])[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part))));

function failure(run: () => unknown): GrokError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(GrokError);
    return error as GrokError;
  }
  throw new Error("nothing was thrown");
}

/** UTF-16 or UTF-32, without a mark. */
function wide(text: string, size: 2 | 4, little: boolean): Buffer {
  const units =
    size === 2
      ? [...Array(text.length).keys()].map((i) => text.charCodeAt(i))
      : [...text].map((c) => c.codePointAt(0)!);
  const bytes = Buffer.alloc(units.length * size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const [i, unit] of units.entries()) {
    if (size === 2) view.setUint16(2 * i, unit, little);
    else view.setUint32(4 * i, unit, little);
  }
  return bytes;
}

describe("text from bytes", () => {
  it("is UTF-8, without a byte order mark", () => {
    expect(decodeText(bytesOf("año 你 🎉\r\n\u2028"), "x")).toBe("año 你 🎉\r\n\u2028");
    expect(decodeText(bytesOf(mark, "a", mark), "x")).toBe("a\ufeff");
    expect(decodeText(bytesOf(mark), "x")).toBe("");
    expect(decodeText(bytesOf(), "x")).toBe("");
    expect(decodeText(bytesOf("ab\0c\0"), "x")).toBe("ab\0c\0");
  });

  it.each([
    [bytesOf("a\nb", [0xff], "c"), "x, line 2: the text is not UTF-8: found ff 63 at byte 3"],
    [bytesOf(mark, "ñ\n\n", [0xc3, 0x28]), "x, line 3: the text is not UTF-8: found c3 28 at byte 7"],
    [bytesOf("caf", [0xe9], "\n"), "x, line 1: the text is not UTF-8: found e9 at byte 3"],
    [bytesOf("a", [0xe4, 0xbd]), "x, line 1: the text is not UTF-8: found e4 bd at byte 1"],
    [bytesOf([0xed, 0xa0, 0x80]), "x, line 1: the text is not UTF-8: found ed a0 80 at byte 0"],
    [bytesOf([0xc0, 0xaf]), "x, line 1: the text is not UTF-8: found c0 af at byte 0"],
    [bytesOf([0xf4, 0x90, 0x80, 0x80, 0x80]), "x, line 1: the text is not UTF-8: found f4 90 80 80 at byte 0"],
  ])("says where it is not UTF-8: %s", (bytes, message) => {
    const error = failure(() => decodeText(bytes, "x"));
    expect(error.message).toBe(message);
    expect(error.code).toBe("format");
  });

  it("accepts what is UTF-8 and nothing else, whole or in any pieces", () => {
    const piece = fc.oneof(
      fc.string({ unit: "binary" }).map((text) => Buffer.from(text.toWellFormed())),
      fc.constantFrom("\n", "a\r\n", "ñ", "\ufeff").map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 3 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.array(fc.nat(12), { maxLength: 8 }), (pieces, cuts) => {
        // A beginning that cannot be taken for another encoding.
        const bytes = Buffer.concat([Buffer.from("text "), ...pieces]);
        const decoder = createLineDecoder("x");
        const inParts = () => {
          let text = "";
          let at = 0;
          for (const cut of [...cuts, bytes.length]) {
            for (const part of decoder.add(bytes.subarray(at, at + cut))) {
              expect(part.endsWith("\n")).toBe(true);
              text += part;
            }
            at = Math.min(bytes.length, at + cut);
          }
          for (const part of decoder.end()) text += part;
          return text;
        };
        if (isUtf8(bytes)) {
          expect(decodeText(bytes, "x")).toBe(bytes.toString());
          expect(inParts()).toBe(bytes.toString());
        } else {
          const error = failure(() => decodeText(bytes, "x"));
          expect(error.code).toBe("format");
          expect(isUtf8(bytes.subarray(0, error.details.offset as number))).toBe(true);
          expect(failure(inParts).message).toBe(error.message);
        }
      }),
    );
  });

  it.each([
    "hello\nworld",
    "Привет, мир и все\n",
    "Γειά σου, κόσμε\n",
    "مرحبا بالعالم\n",
    "\nña",
    "a 🎉 b c d e f g h i j",
  ])("names the encoding of %j", (text) => {
    for (const little of [true, false]) {
      const order = little ? "LE" : "BE";
      const hint = (name: string) => `x: the text is in ${name}, expected UTF-8: iconv -f ${name} -t UTF-8 converts it`;
      for (const size of [2, 4] as const) {
        const named = size === 2 ? "UTF-16" : "UTF-32";
        expect(failure(() => decodeText(wide(text, size, little), "x")).message).toBe(hint(`${named}${order}`));
        expect(failure(() => decodeText(wide(`\ufeff${text}`, size, little), "x")).message).toBe(hint(named));
      }
      expect(failure(() => [...createLineDecoder("x").add(wide(text, 2, little))]).message).toBe(
        hint(`UTF-16${order}`),
      );
    }
  });

  it("takes no list of short texts for UTF-16", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 3 }), { minLength: 1 }), (names) => {
        const text = names.join("\0");
        expect(decodeText(Buffer.from(text.toWellFormed()), "x")).toBe(text.toWellFormed().replace(/^\ufeff/, ""));
      }),
    );
  });
});

describe("text files", () => {
  const path = join(folder, "text");

  it("are read whole or by lines", () => {
    writeFileSync(path, bytesOf(mark, "one\r\ntwo\n\nthree"));
    expect(readTextFile(path)).toBe("one\r\ntwo\n\nthree");
    expect([...readTextLines(path)].join("")).toBe("one\r\ntwo\n\nthree");
    writeFileSync(path, "");
    expect([readTextFile(path), ...readTextLines(path)]).toEqual([""]);
  });

  it("are given as bytes where they are no one text", () => {
    for (const bytes of [bytesOf(), bytesOf(mark, "a\n", [0xff]), Buffer.alloc((1 << 20) + 1, "ab")]) {
      writeFileSync(path, bytes);
      expect(readTextBytes(path).equals(bytes)).toBe(true);
    }
    // A hole, not bytes on the disk.
    truncateSync(path, 2 ** 31);
    expect(failure(() => readTextBytes(path))).toMatchObject({
      code: "capacity",
      message: `${path}: larger than 2 GiB: split the file`,
    });
    rmSync(path);
  });

  it("name what is wrong with them", () => {
    writeFileSync(path, bytesOf("fine\n", [0x80]));
    expect(() => readTextFile(path)).toThrow(`${path}, line 2: the text is not UTF-8: found 80 at byte 5`);
    const lines: string[] = [];
    expect(() => {
      for (const text of readTextLines(path)) lines.push(text);
    }).toThrow(`${path}, line 2: the text is not UTF-8: found 80 at byte 5`);
    expect(lines).toEqual(["fine\n"]);
    expect(failure(() => readTextFile(folder))).toMatchObject({ code: "io" });
    expect(failure(() => readTextFile(join(folder, "none")))).toMatchObject({ code: "io" });
  });

  it.skipIf(!existsSync("/dev/zero"))("are no devices and no named pipes, which would never end or never begin", () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    for (const strange of ["/dev/zero", pipe]) {
      for (const read of [readTextFile, readTextBytes]) {
        const error = failure(() => read(strange));
        expect(error.message).toBe(`${strange}: cannot open: not a regular file`);
        expect(error.code).toBe("io");
      }
    }
  });

  it("may be longer than a text, as long as no line is", () => {
    // Holes, not bytes on the disk.
    const file = openSync(path, "w");
    ftruncateSync(file, mostTextBytes + 1);
    expect(failure(() => readTextFile(path))).toMatchObject({
      code: "capacity",
      message: `${path}: more than ${mostTextBytes} bytes, the most that one text can have`,
    });
    const decoder = createLineDecoder("x");
    const chunk = new Uint8Array(1 << 28).fill(97);
    const two = () => [...decoder.add(Buffer.from("one\n")), ...decoder.add(chunk), ...decoder.add(chunk)];
    const error = failure(two);
    expect(error).toMatchObject({ code: "capacity" });
    expect(error.message).toBe(`x, line 2: more than ${mostTextBytes} bytes, the most that one text can have`);
  });
});

describe("text streams", () => {
  async function* stream(...parts: Uint8Array[]) {
    for (const part of parts) yield part;
  }
  const gather = async (lines: AsyncIterable<string>) => {
    const all: string[] = [];
    for await (const line of lines) all.push(line);
    return all;
  };

  it("are read whole, and by lines that only \\n and \\r\\n end", async () => {
    const text = "a\u2028b\u0085c\rd\r\ne\n\nf";
    const bytes = bytesOf(mark, text);
    const parts = [...bytes].map((byte) => Uint8Array.of(byte));
    expect(await readTextStream(stream(...parts), "standard input")).toBe(text);
    expect(await gather(readStreamLines(stream(...parts), "standard input"))).toEqual([
      "a\u2028b\u0085c\rd",
      "e",
      "",
      "f",
    ]);
  });

  it("are named in errors", async () => {
    const bad = () => stream(bytesOf("a\n"), bytesOf("b", [0xff]));
    const message = "standard input, line 2: the text is not UTF-8: found ff at byte 3";
    await expect(readTextStream(bad(), "standard input")).rejects.toThrow(message);
    await expect(gather(readStreamLines(bad(), "standard input"))).rejects.toThrow(message);
  });
});
