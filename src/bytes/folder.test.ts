import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeFolder } from "./folder.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-folder-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("makeFolder", () => {
  it("makes what is missing, and leaves what is there", () => {
    const path = join(folder, "a b", "ñ", "c");
    makeFolder(path);
    writeFileSync(join(path, "file"), "kept");
    makeFolder(path);
    expect(readFileSync(join(path, "file"), "utf8")).toBe("kept");
  });

  it("says why it cannot", () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    expect(() => makeFolder(file)).toThrow(`${file}: cannot create the folder: a file has this name`);
    expect(() => makeFolder(join(file, "below"))).toThrow(/: part of its path is not a folder$/);
  });

  it.skipIf(!existsSync("/proc/self"))("says why the first of several cannot be made, and comes back", () => {
    expect(() => makeFolder("/proc/grok1/one/two")).toThrow(/^\/proc\/grok1\/one\/two: cannot create the folder/);
  });
});
