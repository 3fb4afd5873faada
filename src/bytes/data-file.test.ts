import { mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { openDataFile } from "./data-file.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-mapped-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "file");
const content = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 31) ^ (i >> 8));
beforeEach(() => writeFileSync(path, content));

describe("openDataFile", () => {
  it("gives the file's bytes for any ranges in any order", () => {
    const range = fc
      .tuple(fc.nat(content.length), fc.nat(content.length))
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b)]);
    fc.assert(
      fc.property(fc.array(range, { maxLength: 30 }), (ranges) => {
        const file = openDataFile(path);
        for (const [start, end] of ranges) {
          expect(Buffer.compare(file.read(start!, end! - start!), content.subarray(start, end))).toBe(0);
        }
        file.close();
      }),
    );
  });

  it("refuses ranges outside the file, and everything once closed", () => {
    const file = openDataFile(path);
    expect(file.size).toBe(content.length);
    for (const [offset, length] of [
      [0, 10_001],
      [10_000, 1],
      [-1, 1],
      [0.5, 1],
      [0, Number.NaN],
      [2 ** 60, 1],
      [0, -1],
    ]) {
      expect(() => file.read(offset!, length!)).toThrow(expect.objectContaining({ code: "argument" }));
    }
    file.close();
    file.close();
    expect(() => file.descriptor()).toThrow(expect.objectContaining({ code: "io" }));
    expect(() => file.read(0, 1)).toThrow(expect.objectContaining({ code: "io" }));
  });

  it("opens an empty file", () => {
    writeFileSync(path, "");
    const file = openDataFile(path);
    expect(file.size).toBe(0);
    expect(file.read(0, 0)).toHaveLength(0);
    file.close();
  });

  it("names a missing file, a folder and a device", () => {
    for (const name of [join(folder, "none"), folder, "/dev/zero"]) {
      expect(() => openDataFile(name)).toThrow(
        expect.objectContaining({ code: "io", message: expect.stringContaining(name) }),
      );
    }
  });

  it("reports a file that became shorter instead of giving wrong bytes", () => {
    const file = openDataFile(path);
    truncateSync(path, 50);
    expect(() => file.read(0, 100)).toThrow(
      expect.objectContaining({ code: "io", message: expect.stringContaining("byte 50") }),
    );
    file.close();
  });

  it("keeps reading the file that it opened when another takes its name", () => {
    const file = openDataFile(path);
    writeFileSync(`${path}2`, new Uint8Array(content.length));
    renameSync(`${path}2`, path);
    expect(Buffer.compare(file.read(5, 50), content.subarray(5, 55))).toBe(0);
    file.close();
  });
});
