import {
  closeSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { createChangeCheck } from "./change-check.ts";
import { openDataFile } from "./data-file.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-change-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file that was asked about once. */
function begin(bytes = 1_000_000) {
  const path = join(folder, "file");
  writeFileSync(path, new Uint8Array(bytes).fill(7));
  const file = openDataFile(path);
  const check = createChangeCheck();
  check(file, "it");
  return { path, file, ask: () => check(file, "what is at byte 5") };
}

function overwrite(path: string, at: number) {
  const writer = openSync(path, "r+");
  writeSync(writer, new Uint8Array(200_000).fill(9), 0, 200_000, at);
  closeSync(writer);
  utimesSync(path, 5, 5);
}

it.each([1_000_000, 3000, 0])("a file of %i bytes whose time alone changed is what it was", (bytes) => {
  const { path, file, ask } = begin(bytes);
  for (const time of [1, 2, 2]) {
    utimesSync(path, time, time);
    expect(ask).not.toThrow();
  }
  // Its name goes to another: what is open stays what it was.
  writeFileSync(`${path}.other`, "x");
  renameSync(`${path}.other`, path);
  expect(ask).not.toThrow();
  file.close();
});

it.each([0, 333_333, 800_000])("a file that was written to at byte %i is not, and stays so", (at) => {
  const { path, file, ask } = begin();
  overwrite(path, at);
  for (let time = 5; time < 8; time++) {
    utimesSync(path, time, time);
    expect(ask).toThrow(/file: was written to while it was in use: what is at byte 5 may be another/);
  }
  file.close();
});

it("a file that became shorter is not, one that became longer is", () => {
  const { path, file, ask } = begin();
  truncateSync(path, 1_000_001);
  expect(ask).not.toThrow();
  truncateSync(path, 999_999);
  expect(ask).toThrow("became shorter while it was in use, 999999 of 1000000 bytes are left");
  file.close();
});
