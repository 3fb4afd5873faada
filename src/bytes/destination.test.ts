import { linkSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { checkDestination } from "./destination.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-destination-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("a result may go where it can be written, and over nothing that is read", () => {
  const read = join(folder, "read");
  writeFileSync(read, "kept");
  linkSync(read, join(folder, "second"));
  symlinkSync(read, join(folder, "link"));
  writeFileSync(join(folder, "old"), "");
  const check = (name: string) => checkDestination(join(folder, name), [read], "what is read");
  for (const name of ["old", "new"]) check(name);
  for (const name of ["read", "./read", "second", "link"]) expect(() => check(name)).toThrow(/is what is read/);
  expect(() => check("none/new")).toThrow(/none\/new: cannot create: no such file or folder$/);
  expect(() => check("old/new")).toThrow(/: part of its path is not a folder$/);
  expect(() => checkDestination(folder, [read], "what is read")).toThrow(/: cannot write: it is a folder$/);
});
