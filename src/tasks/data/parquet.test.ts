import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as zlib from "node:zlib";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { GrokError } from "../../errors.ts";
import { readParquetRows } from "./parquet.ts";
import { readRowGroups } from "./parquet-groups.ts";

const vectors = join(import.meta.dirname, "../../../test/vectors/eval/parquet");
const expected = JSON.parse(readFileSync(join(vectors, "rows.json"), "utf8")) as unknown[];
const folder = mkdtempSync(join(tmpdir(), "grok1-parquet-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function readHere(path: string): Promise<unknown[]> {
  const rows: unknown[] = [];
  for await (const group of readRowGroups(path)) rows.push(...group);
  return rows;
}

function damaged(name: string, change: (bytes: Buffer) => Buffer): string {
  const path = join(folder, "damaged.parquet");
  writeFileSync(path, change(Buffer.from(readFileSync(join(vectors, name)))));
  return path;
}

const hasZstd = "zstdDecompressSync" in zlib;

describe("readParquetRows", () => {
  it.each(["snappy", "gzip", "plain"])("has each field of each row as pyarrow has it: %s", async (name) => {
    const rows: unknown[] = [];
    for await (const row of readParquetRows(join(vectors, `${name}.parquet`))) rows.push(row);
    expect(rows).toEqual(expected);
  });

  it("reads Zstandard where Node.js has it, and says so where not", async () => {
    const reading = readHere(join(vectors, "zstd.parquet"));
    if (hasZstd) expect(await reading).toEqual(expected);
    else await expect(reading).rejects.toMatchObject({ code: "unsupported", message: /needs 22\.15 or newer/ });
  });

  it("ends a process whose reader has seen enough, or is cancelled", async () => {
    for await (const row of readParquetRows(join(vectors, "snappy.parquet"))) {
      expect(row).toEqual(expected[0]);
      break;
    }
    const stop = AbortSignal.abort();
    await expect(readParquetRows(join(vectors, "snappy.parquet"), stop).next()).rejects.toMatchObject({
      code: "cancelled",
    });
  });

  it("refuses what is none, or is cut, naming the file", async () => {
    for (const change of [
      () => Buffer.alloc(0),
      () => Buffer.from("PAR1PAR1"),
      (bytes: Buffer) => bytes.subarray(0, bytes.length - 1),
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 100), bytes.subarray(bytes.length - 4000)]),
      (bytes: Buffer) => {
        bytes.writeUInt32LE(0x7fffffff, bytes.length - 8);
        return bytes;
      },
    ]) {
      const path = damaged("snappy.parquet", change);
      await expect(readHere(path)).rejects.toMatchObject({ code: "format", details: { path } });
    }
  });

  it("bounds what a file makes it hold: levels that repeat a thousand million times", async () => {
    const path = damaged("plain.parquet", (bytes) => {
      // The first column's first page: 2 bytes of levels, one run of 20 values (doubled: 40) of level 1.
      const at = bytes.indexOf(Buffer.from([2, 0, 0, 0, 40, 1]));
      expect(at).toBeGreaterThan(0);
      bytes.set([0xfe, 0xff, 0xff, 0xff, 0x07, 1], at + 4);
      return bytes;
    });
    const reading = readParquetRows(path);
    await expect(reading.next()).rejects.toThrow(/it takes more than 512 MB of memory to read/);
  });

  it("reads damaged files, or refuses them as damaged", async () => {
    for (const name of ["snappy.parquet", "gzip.parquet"]) {
      const { length } = readFileSync(join(vectors, name));
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 4, max: length - 1 }),
          fc.integer({ min: 1, max: 255 }),
          async (at, bits) => {
            const path = damaged(name, (bytes) => {
              bytes[at]! ^= bits;
              return bytes;
            });
            await readHere(path).catch((error: unknown) => {
              expect(error).toBeInstanceOf(GrokError);
              expect((error as GrokError).code).toMatch(/^(format|unsupported)$/);
            });
          },
        ),
        { numRuns: 150, seed: 1 },
      );
    }
  });
});
