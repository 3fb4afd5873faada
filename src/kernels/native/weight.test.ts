import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { withoutAddon } from "../../../test/support/addon.ts";
import { type Addon, loadAddon } from "../../addon.ts";
import { openDataFile } from "../../bytes/data-file.ts";
import { memoryTensor } from "../../tensor/memory-tensor.case.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { encodedBytes, type TensorType } from "../../tensor/types.ts";
import type { Ops, Weight } from "../ops.ts";
import { createRandom, rowsOfTokens } from "../oracle.case.ts";
import { createNative } from "./native.ts";

const { addon } = loadAddon() as { addon: Addon };
const folder = mkdtempSync(join(tmpdir(), "grok1-weight-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "weights");

const linux = existsSync("/proc/self/maps");
const mappings = () =>
  readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .filter((line) => line.endsWith(path)).length;
const handles = () => readdirSync("/proc/self/fd").length;
/** Bytes of the file's mappings that are to be read into large pages. */
function inLargePages(): number {
  const areas = readFileSync("/proc/self/smaps", "utf8").split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/);
  return areas
    .filter((area) => area.split("\n")[0]!.endsWith(path) && /^VmFlags:.* hg\b/m.test(area))
    .reduce((sum, area) => sum + 1024 * Number(/^Size: +(\d+) kB/m.exec(area)![1]), 0);
}

function read(ops: Ops, weight: Weight, x: Float32Array): number[] {
  const input = ops.matrix("x", 1, x.length);
  ops.write(input, x);
  return Array.from(ops.read(ops.matmul("y", input, weight)) as Float32Array);
}

describe.skipIf(!addon)(`weights of the native backend${withoutAddon}`, () => {
  const random = createRandom(3);
  const [rows, cols] = [48, 64];
  const values = random.normal(4 * rows * cols);
  const x = random.normal(cols);

  it("are read where they lie, also once the file is closed, and are given back with the backend", () => {
    writeFileSync(path, Buffer.concat([Buffer.alloc(10), Buffer.from(values.buffer)]));
    const before = linux ? [mappings(), handles()] : [];
    for (let i = 0; i < 3; i++) {
      const ops = createNative(addon, { threads: 1 });
      const file = openDataFile(path);
      const place = { file, offset: 10, bytes: 4 * rows * cols };
      const weight = ops.weight({ name: "w", type: "f32", shape: [rows, cols], source: path, places: [place] });
      const other = ops.weight({ name: "v", type: "f32", shape: [rows, cols], source: path, places: [place] });
      file.close();
      if (linux) expect(mappings()).toBe(before[0]! + 1);
      const expected = read(
        ops,
        ops.weight(memoryTensor("m", "f32", [rows, cols], values.subarray(0, rows * cols))),
        x,
      );
      expect(read(ops, weight, x)).toEqual(expected);
      expect(read(ops, other, x)).toEqual(expected);
      ops.close();
      if (linux) expect([mappings(), handles()]).toEqual(before);
    }
  });

  it("has one place for each expert, in any files and in memory", () => {
    const ops = createNative(addon, { threads: 1 });
    const paths = [`${path}-a`, `${path}-b`];
    for (const [i, name] of paths.entries()) {
      writeFileSync(name, Buffer.from(values.slice(i * rows * cols, (i + 1) * rows * cols).buffer));
    }
    const files = paths.map(openDataFile);
    const size = 4 * rows * cols;
    const part = (i: number) => new Uint8Array(values.buffer, i * size, size);
    const bind = (name: string, shape: number[], scattered: boolean) =>
      ops.weight({
        ...{ name, type: "f32", shape: [4, ...shape], source: path },
        places: scattered
          ? [...files.map((file) => ({ file, offset: 0, bytes: size })), { memory: part(2) }, { memory: part(3) }]
          : [{ memory: new Uint8Array(values.buffer, 0, 4 * size) }],
      });
    const results = [true, false].map((scattered) => {
      const input = ops.matrix("x", 1, cols);
      ops.write(input, x);
      const logits = ops.matrix("logits", 1, 4);
      ops.write(logits, Float32Array.of(1, 3, 2, 4));
      const routing = ops.route("routing", logits, { used: 3, renormalize: true });
      const stacks = {
        gate: bind("gate", [rows, cols], scattered),
        up: bind("up", [rows, cols], scattered),
        down: bind("down", [cols, rows], scattered),
      };
      return Array.from(ops.read(ops.experts("y", input, routing, stacks, "silu") as never) as Float32Array);
    });
    expect(results[0]).toEqual(results[1]);
    ops.close();
    for (const file of files) file.close();
  });

  it("may be larger than 4 GiB", async () => {
    const [tall, wide] = [2 ** 20, 6144];
    const bytes = encodedBytes("q8_0", tall * wide);
    expect(bytes).toBeGreaterThan(2 ** 32);
    const last = new Uint8Array(encodedBytes("q8_0", wide)).fill(1);
    const handle = await open(path, "w");
    await handle.write(last, 0, last.length, bytes - last.length);
    await handle.close();
    const ops = createNative(addon, { threads: 1 });
    const file = openDataFile(path);
    const shape = [tall, wide];
    const table = ops.weight({ name: "w", type: "q8_0", shape, source: path, places: [{ file, offset: 0, bytes }] });
    ops.begin(rowsOfTokens(0, tall - 1));
    const found = ops.read(ops.embed("e", table, 1)) as Float32Array;
    expect([found[0], found.at(-1)]).toEqual([0, found[wide]]);
    expect(found[wide]).not.toBe(0);
    ops.close();
    file.close();
    truncateSync(path, 0);
  });

  it.skipIf(!linux)("ask for large pages where they are streamed, and nowhere else (told on Linux alone)", () => {
    const large = 2 ** 23;
    writeFileSync(path, new Uint8Array(3 * large));
    const ops = createNative(addon, { threads: 1 });
    const file = openDataFile(path);
    const bind = (offset: number) =>
      ops.weight({
        ...{ name: "w", type: "f32" as TensorType, shape: [large / 4 / cols, cols], source: path },
        places: [{ file, offset, bytes: large }],
      });
    ops.begin(rowsOfTokens(5));
    ops.embed("e", bind(0), 1);
    const streamed = bind(large);
    expect(inLargePages()).toBe(0);
    read(ops, streamed, x);
    expect(inLargePages()).toBe(large);
    ops.close();
    file.close();
  });

  it("refuse places that are not there", () => {
    writeFileSync(path, new Uint8Array(1000));
    const ops = createNative(addon, { threads: 1 });
    const file = openDataFile(path);
    const tensor = (offset: number): Tensor => ({
      ...{ name: "w", type: "f32", shape: [2, 64], source: path },
      places: [{ file, offset, bytes: 512 }],
    });
    expect(() => ops.weight(tensor(489))).toThrow(expect.objectContaining({ code: "argument" }));
    expect(() => ops.weight({ ...tensor(0), places: [] })).toThrow(expect.objectContaining({ code: "argument" }));
    ops.weight(tensor(488));
    file.close();
    const other = openDataFile(path);
    other.close();
    expect(() => ops.weight({ ...tensor(0), places: [{ file: other, offset: 0, bytes: 512 }] })).toThrow(
      expect.objectContaining({ code: "io", message: expect.stringContaining(path) }),
    );
    ops.close();
  });
});
