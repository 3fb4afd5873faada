import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { GrokError } from "../../errors.ts";
import { openPageFiles } from "./page-files.ts";

const fault = vi.hoisted(() => ({ code: "" }));

/** The real file system, on which nothing can be written as long as `fault` says so. */
vi.mock("node:fs/promises", async (original) => {
  const fs = await original<typeof import("node:fs/promises")>();
  return {
    ...fs,
    async writeFile(...args: Parameters<typeof fs.writeFile>) {
      if (fault.code === "") return await fs.writeFile(...args);
      await fs.writeFile(args[0], "half");
      throw Object.assign(new Error("injected"), { code: fault.code });
    },
  };
});

const folder = mkdtempSync(join(tmpdir(), "grok1-pages-"));
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  rmSync(folder, { recursive: true });
  fault.code = "";
});

const keyOf = (name: string) => createHash("sha256").update(name).digest("hex");
const pathOf = (key: string) => join(folder, `${key}.kv`);
const contents = (name: string, length = 1000) => Uint8Array.from({ length }, (_, i) => (i * 7 + name.length) % 256);
const fileBytes = 1000 + 8 + 32 + 32;

describe("a folder of pages", () => {
  it("gives back what was written, also to who opens it anew, and is its owner's alone", async () => {
    const files = await openPageFiles({ folder, bytes: 2 ** 20 });
    for (const name of ["a", "bb"]) {
      expect(files.has(keyOf(name))).toBe(false);
      expect(await files.write(keyOf(name), 0, () => contents(name))).toBe(true);
    }
    const never = () => {
      throw new Error("it is there");
    };
    expect(await files.write(keyOf("a"), 0, never)).toBe(true);
    for (const open of [files, await openPageFiles({ folder, bytes: 2 ** 20 })]) {
      expect([open.pages, open.bytes]).toEqual([2, 2 * fileBytes]);
      expect(await open.read(keyOf("bb"), 1000)).toEqual(contents("bb"));
      expect(await open.read(keyOf("ccc"), 1000)).toBeUndefined();
    }
    if (process.platform !== "win32") {
      expect([folder, pathOf(keyOf("a"))].map((path) => statSync(path).mode & 0o777)).toEqual([0o700, 0o600]);
    }
  });

  it("has nothing of a file that is not as it should be, and removes it", async () => {
    const key = keyOf("a");
    const damages: Record<string, () => void> = {
      "a flipped bit": () => {
        const bytes = readFileSync(pathOf(key));
        bytes[500]! ^= 1;
        writeFileSync(pathOf(key), bytes);
      },
      "a flipped bit in its hash": () => {
        const bytes = readFileSync(pathOf(key));
        bytes[fileBytes - 1]! ^= 1;
        writeFileSync(pathOf(key), bytes);
      },
      "a part": () => truncateSync(pathOf(key), 700),
      nothing: () => truncateSync(pathOf(key), 0),
      more: () => writeFileSync(pathOf(key), "x", { flag: "a" }),
      "another page under its name": () => writeFileSync(pathOf(key), readFileSync(pathOf(keyOf("other")))),
      "no file": () => rmSync(pathOf(key)),
      "a link": () => {
        rmSync(pathOf(key));
        symlinkSync(pathOf(keyOf("other")), pathOf(key));
      },
      "a pipe": () => {
        rmSync(pathOf(key));
        spawnSync("mkfifo", [pathOf(key)]);
      },
    };
    for (const [what, damage] of Object.entries(damages)) {
      const files = await openPageFiles({ folder, bytes: 2 ** 20 });
      await files.write(keyOf("other"), 0, () => contents("other"));
      expect(await files.write(key, 0, () => contents("a")), what).toBe(true);
      damage();
      expect(await files.read(key, 1000), what).toBeUndefined();
      expect([files.has(key), existsSync(pathOf(key))], what).toEqual([false, false]);
      expect(await files.read(keyOf("other"), 1000), what).toEqual(contents("other"));
      expect(files.bytes, what).toBe(fileBytes);
    }
    // A page of another size than the one that is asked for.
    const files = await openPageFiles({ folder, bytes: 2 ** 20 });
    expect(await files.read(keyOf("other"), 999)).toBeUndefined();
  });

  it("stays within its size: what was longest unused goes, of a beginning its end", async () => {
    const files = await openPageFiles({ folder, bytes: 4 * fileBytes });
    const now = vi.spyOn(Date, "now");
    const at = (seconds: number) => now.mockReturnValue(1e12 + seconds * 1000);
    try {
      for (const [i, name] of ["a0", "a1", "b0", "b1"].entries()) {
        at(i < 2 ? 0 : 100);
        await files.write(keyOf(name), i % 2, () => contents(name));
      }
      at(200);
      files.touch(keyOf("a0"), 0);
      files.touch(keyOf("a1"), 1);
      at(210);
      for (const name of ["c0", "c1"]) await files.write(keyOf(name), Number(name[1]), () => contents(name));
      const left = () => ["a0", "a1", "b0", "b1", "c0", "c1"].filter((name) => files.has(keyOf(name)));
      expect(left()).toEqual(["a0", "a1", "c0", "c1"]);
      await files.write(keyOf("d0"), 0, () => contents("d0"));
      expect(left()).toEqual(["a0", "c0", "c1"]);
      expect(readdirSync(folder)).toHaveLength(4);
      expect(await files.write(keyOf("large"), 0, () => contents("large", 5 * fileBytes))).toBe(false);
      expect(files.pages).toBe(4);
    } finally {
      now.mockRestore();
    }
    // Times of use outlive the process.
    await new Promise((resolve) => setTimeout(resolve, 20));
    const again = await openPageFiles({ folder, bytes: 4 * fileBytes });
    await again.write(keyOf("e0"), 0, () => contents("e0"));
    expect(again.has(keyOf("a0"))).toBe(false);
    expect(again.bytes).toBe(4 * fileBytes);
  });

  it("goes on without a disk that is full, says so, and tries again", async () => {
    const files = await openPageFiles({ folder, bytes: 2 ** 20, pause: 30 });
    fault.code = "ENOSPC";
    expect(await files.write(keyOf("a"), 0, () => contents("a"))).toBe(false);
    expect(files.problem).toContain("no space left on the disk");
    expect(readdirSync(folder)).toEqual([]);
    fault.code = "";
    expect(await files.write(keyOf("a"), 0, () => contents("a"))).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(await files.write(keyOf("a"), 0, () => contents("a"))).toBe(true);
    expect(files.problem).toBeUndefined();
  });

  it("removes what killed processes left, in its time, and nothing that is not its own", async () => {
    await openPageFiles({ folder, bytes: 2 ** 20 });
    const partial = join(folder, `.${"0".repeat(16)}.1.1.partial`);
    const fresh = join(folder, `.${"1".repeat(16)}.1.1.partial`);
    const theirs = join(folder, "notes.txt");
    for (const path of [partial, fresh, theirs]) writeFileSync(path, "x");
    for (const path of [partial, theirs]) utimesSync(path, 1e9, 1e9);
    const files = await openPageFiles({ folder, bytes: fileBytes });
    expect([partial, fresh, theirs].map((path) => existsSync(path))).toEqual([false, true, true]);
    for (const name of ["a", "b"]) await files.write(keyOf(name), 0, () => contents(name));
    expect([files.pages, existsSync(theirs)]).toEqual([1, true]);
  });

  it("says which folder cannot be had", async () => {
    await openPageFiles({ folder, bytes: 1 });
    const file = join(folder, "file");
    writeFileSync(file, "");
    await expect(openPageFiles({ folder: file, bytes: 1 })).rejects.toThrow(GrokError);
    await expect(openPageFiles({ folder: join(file, "below"), bytes: 1 })).rejects.toMatchObject({ code: "io" });
  });
});
