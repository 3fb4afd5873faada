import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type FileManifest, formatManifest, manifestPath, readManifest, writeManifest } from "./manifest.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-manifest-"));
afterAll(() => rmSync(folder, { recursive: true }));

const hash = (digit: string) => digit.repeat(64);
const manifest: FileManifest = {
  file: "größe 1.gguf",
  size: 2 ** 40,
  sha256: hash("a"),
  tensors: [
    { name: 'odd"name', type: "q8_0", shape: [2, 32], offset: 64, bytes: 68, sha256: hash("0") },
    { name: "far", type: "type 99", shape: [], offset: 2 ** 40 - 4, bytes: 4, sha256: hash("f") },
  ],
};

describe("a manifest", () => {
  it("is read as it was written, one tensor a line", async () => {
    const path = join(folder, manifest.file);
    await writeManifest(path, manifest);
    expect(readManifest(manifestPath(path))).toEqual(manifest);
    const lines = readFileSync(manifestPath(path), "utf8").split("\n");
    expect(lines).toHaveLength(5);
    expect(JSON.parse(lines[2]!)).toEqual(manifest.tensors[1]);
    const empty = { ...manifest, tensors: [] };
    expect(JSON.parse(formatManifest(empty))).toEqual(empty);
  });

  type Draft = Record<string, unknown> & { tensors: Record<string, unknown>[] };

  it.each<[string, (draft: Draft) => unknown, RegExp]>([
    ["a list", () => [], /JSON object/],
    ["no file", ({ file: _, ...rest }) => rest, /file is undefined, expected a text/],
    [
      "another folder",
      (m) => ({ ...m, file: "../x.gguf" }),
      /file is "\.\.\/x.gguf", expected a name without a folder/,
    ],
    ["a drive", (m) => ({ ...m, file: "C:\\x" }), /without a folder/],
    ["a negative size", (m) => ({ ...m, size: -1 }), /size is -1/],
    ["a short hash", (m) => ({ ...m, sha256: "abc" }), /sha256 is "abc", expected 64/],
    ["no tensors", (m) => ({ ...m, tensors: {} }), /tensors is an object, expected a list/],
    ["a tensor that is none", (m) => ({ ...m, tensors: [7] }), /tensors\[0\] is 7/],
    ["a shape that is none", change(0, { shape: [1.5] }), /tensors\[0\]\.shape\[0\] is 1.5/],
    ["a tensor past the end", change(1, { bytes: 5 }), /tensors\[1\]\.bytes is 5/],
    ["a tensor twice", change(1, { name: manifest.tensors[0]!.name }), /each tensor once/],
    ["a tensor's wrong hash", change(0, { sha256: hash("G") }), /tensors\[0\]\.sha256/],
  ])("is refused with %s", (_, damage, message) => {
    const path = join(folder, "damaged.json");
    writeFileSync(path, JSON.stringify(damage(structuredClone(manifest) as unknown as Draft)));
    expect(() => readManifest(path)).toThrow(
      expect.objectContaining({ code: "format", message: expect.stringMatching(message) }),
    );
  });

  function change(index: number, part: Record<string, unknown>) {
    return (draft: Draft) => ({
      ...draft,
      tensors: draft.tensors.map((t, i) => (i === index ? { ...t, ...part } : t)),
    });
  }
});
