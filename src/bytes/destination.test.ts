import { chmodSync, existsSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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

it("is looked at where it would be written: behind a link, in place, or as a device", () => {
  mkdirSync(join(folder, "closed"), { recursive: true });
  writeFileSync(join(folder, "behind"), "");
  symlinkSync(join(folder, "behind"), join(folder, "closed", "link"));
  writeFileSync(join(folder, "closed", "file"), "");
  chmodSync(join(folder, "closed"), 0o500);
  const check = (name: string, inPlace = false) =>
    checkDestination(join(folder, "closed", name), [join(folder, "none")], "what is read", { inPlace });
  check("link");
  check("file", true);
  // Nothing is closed to root.
  if (process.getuid?.() !== 0) {
    expect(() => check("file")).toThrow(/cannot create/);
    expect(() => check("new", true)).toThrow(/cannot create/);
  }
  if (existsSync("/dev/null")) checkDestination("/dev/null", [], "what is read");
  chmodSync(join(folder, "closed"), 0o700);
});

it("blames nobody for a file that cannot be looked at but who reads it", () => {
  const endless = join(folder, "endless");
  symlinkSync(endless, endless);
  checkDestination(join(folder, "fresh"), [endless], "what is read");
});
