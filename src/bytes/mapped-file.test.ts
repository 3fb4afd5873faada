import { mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import * as addon from "../addon.ts";
import { openMapped } from "./mapped-file.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-mapped-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "file");
const content = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 31) ^ (i >> 8));
beforeEach(() => writeFileSync(path, content));

/** Stands for the addon, and fails where the same memory is handed out twice. */
function checkedAddon(): Pick<addon.Addon, "mapFile"> {
  return {
    mapFile(name) {
      const bytes = readFileSync(name);
      const given: [number, number][] = [];
      return {
        size: bytes.length,
        view(offset, length) {
          for (const [start, end] of given) expect(offset >= end || offset + length <= start).toBe(true);
          given.push([offset, offset + length]);
          return new Uint8Array(bytes.subarray(offset, offset + length)).buffer;
        },
        advise() {},
        close() {},
      };
    },
  };
}

const real = addon.loadAddon().addon;
const ways: { name: string; skip: boolean; open: () => ReturnType<typeof openMapped> }[] = [
  { name: "the addon", skip: real === undefined, open: () => openMapped(path) },
  {
    name: "a stand-in that refuses overlapping views",
    skip: false,
    open: () => {
      const spy = vi.spyOn(stand, "loadAddon").mockReturnValue({ addon: checkedAddon() as addon.Addon });
      const file = openMapped(path);
      spy.mockRestore();
      return file;
    },
  },
  { name: "reading", skip: false, open: () => openMapped(path, { map: false }) },
  { name: "reading with a small cache", skip: false, open: () => openMapped(path, { map: false, cacheBytes: 3000 }) },
];

const stand = vi.hoisted(() => ({ loadAddon: undefined as unknown as typeof addon.loadAddon }));
vi.mock("../addon.ts", async (original) => {
  const module = await original<typeof addon>();
  stand.loadAddon = module.loadAddon;
  return { ...module, loadAddon: () => stand.loadAddon() };
});

function hasLargePages(): boolean {
  try {
    return !readFileSync("/sys/kernel/mm/transparent_hugepage/enabled", "utf8").includes("[never]");
  } catch {
    return false;
  }
}

describe.each(ways)("openMapped through $name", ({ skip, open }) => {
  it.skipIf(skip)("gives the file's bytes for any ranges in any order", () => {
    const range = fc
      .tuple(fc.nat(content.length), fc.nat(content.length))
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b)]);
    fc.assert(
      fc.property(fc.array(range, { maxLength: 30 }), (ranges) => {
        const file = open();
        for (const [start, end] of ranges) {
          expect(Buffer.compare(file.view(start!, end! - start!), content.subarray(start, end))).toBe(0);
          expect(Buffer.compare(file.read(start!, end! - start!), content.subarray(start, end))).toBe(0);
        }
        file.close();
      }),
    );
  });

  it.skipIf(skip)("refuses ranges outside the file, and everything once closed", () => {
    const file = open();
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
      expect(() => file.view(offset!, length!)).toThrow(expect.objectContaining({ code: "argument" }));
      expect(() => file.read(offset!, length!)).toThrow(expect.objectContaining({ code: "argument" }));
    }
    const kept = file.view(100, 50);
    file.close();
    file.close();
    expect(Buffer.compare(kept, content.subarray(100, 150))).toBe(0);
    expect(() => file.view(0, 1)).toThrow(expect.objectContaining({ code: "io" }));
    expect(() => file.read(0, 1)).toThrow(expect.objectContaining({ code: "io" }));
  });

  it.skipIf(skip)("shares memory between equal ranges", () => {
    const file = open();
    expect(file.view(10, 500).buffer).toBe(file.view(10, 500).buffer);
    file.close();
  });
});

describe("openMapped", () => {
  it("maps when the addon is there, and reads otherwise", () => {
    expect(openMapped(path).mapped).toBe(real !== undefined);
    expect(openMapped(path, { map: false }).mapped).toBe(false);
  });

  it.skipIf(real === undefined || !hasLargePages())("asks for large pages where the system has them", () => {
    const name = join(folder, "large");
    writeFileSync(name, content);
    const file = openMapped(name);
    const areas = readFileSync("/proc/self/smaps", "utf8").split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/);
    const area = areas.find((text) => text.split("\n")[0]!.endsWith(name));
    expect(area).toMatch(/^VmFlags:.* hg\b/m);
    file.close();
  });

  it("opens an empty file", () => {
    writeFileSync(path, "");
    const file = openMapped(path);
    expect(file.size).toBe(0);
    expect(file.view(0, 0)).toHaveLength(0);
    file.close();
  });

  it("names a missing file, a folder and a device", () => {
    for (const name of [join(folder, "none"), folder, "/dev/zero"]) {
      expect(() => openMapped(name)).toThrow(
        expect.objectContaining({ code: "io", message: expect.stringContaining(name) }),
      );
    }
  });

  it("reports a file that became shorter instead of giving wrong bytes", () => {
    const file = openMapped(path, { map: false });
    truncateSync(path, 50);
    expect(() => file.view(0, 100)).toThrow(
      expect.objectContaining({ code: "io", message: expect.stringContaining("byte 50") }),
    );
    file.close();
  });

  it("keeps reading the file that it opened when another takes its name", () => {
    const file = openMapped(path);
    writeFileSync(`${path}2`, new Uint8Array(content.length));
    renameSync(`${path}2`, path);
    expect(Buffer.compare(file.view(5, 50), content.subarray(5, 55))).toBe(0);
    file.close();
  });
});
