import { existsSync, readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { type Addon, loadAddon } from "../../addon.ts";
import { GrokError } from "../../errors.ts";
import { memoryTensor } from "../../tensor/memory-tensor.case.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Batch, KvType, Ops } from "../ops.ts";
import { createReference } from "../reference/reference.ts";
import { createNative } from "./native.ts";

const state = loadAddon();

function hasLargePages(): boolean {
  return existsSync(thp) && !readFileSync(thp, "utf8").includes("[never]");
}
const thp = "/sys/kernel/mm/transparent_hugepage/enabled";

function largePageBytes(): number {
  return Number(/AnonHugePages: +(\d+) kB/.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))![1]) * 1024;
}

const title = state.addon ? "native backend" : `native backend (skipped: ${state.reason})`;

describe.skipIf(!state.addon)(title, () => {
  const addon = state.addon as Addon;
  const opened: Ops[] = [];
  const open = (options?: Parameters<typeof createNative>[1]) => {
    const ops = createNative(addon, options);
    opened.push(ops);
    return ops;
  };
  afterAll(() => {
    for (const ops of opened) ops.close();
  });

  describe("attention", () => {
    const types: readonly KvType[] = ["f32", "f16", "q8_0", "q4_0"];
    const isas = addon?.machine().isas ?? [];

    it.each(types)("has the same bits with 1 to 4 threads, in a cache of %s", async (type) => {
      const one = await attend(open({ threads: 1 }), type, 1300, 3);
      for (const threads of [2, 3, 4]) expect(await attend(open({ threads }), type, 1300, 3)).toEqual(one);
    });

    it.each(isas)("gives a row the same bits alone, among a few and in any piece of a prompt, on %s", async (isa) => {
      const ops = open({ isa, threads: 2 });
      const rows = 700;
      for (const [type, pageTokens] of [
        ["f32", 32],
        ["f16", 40],
        ["q8_0", 600],
        ["q4_0", 32],
      ] as const) {
        const shape = { ...usual, pageTokens };
        const whole = await attend(ops, type, 0, rows, shape);
        for (const cuts of [
          [512, 513, 529, 536, 545, 601, 620, 699],
          Array.from({ length: 10 }, (_, i) => (i + 1) * 67),
        ]) {
          const found = await attend(ops, type, 0, rows, shape, cuts);
          expect(found.filter((value, i) => value !== whole[i])).toHaveLength(0);
        }
      }
    });

    it.each(isas)("agrees with the reference on %s, in ranges of keys and in tiles of queries", async (isa) => {
      for (const type of types) {
        for (const [depth, rows] of [
          [1100, 1],
          [40, 90],
        ] as const) {
          const found = await attend(open({ isa, threads: 2 }), type, depth, rows);
          const expected = await attend(createReference(), type, depth, rows);
          expect(distance(found, expected)).toBeLessThan(type === "f32" ? 1e-5 : 1e-3);
        }
      }
    });

    const shape = fc.record({
      headSize: fc.integer({ min: 1, max: 70 }),
      kvHeads: fc.integer({ min: 1, max: 3 }),
      group: fc.integer({ min: 1, max: 13 }),
      pageTokens: fc.integer({ min: 1, max: 70 }),
      depth: fc.integer({ min: 0, max: 150 }),
      rows: fc.integer({ min: 1, max: 20 }),
      softcap: fc.constantFrom(0, 5),
    });

    // What speculation relies on. Few rows read the cache as it lies, many a copy of it in floats.
    it.each(isas)("gives a token the same bits alone and among others, on %s", async (isa) => {
      const native = open({ isa, threads: 2 });
      await fc.assert(
        fc.asyncProperty(shape, fc.constantFrom(...types), async ({ headSize, ...rest }, type) => {
          const given = {
            ...rest,
            headSize: type === "f32" || type === "f16" ? headSize : 32 * Math.ceil(headSize / 32),
          };
          const each = Array.from({ length: given.rows - 1 }, (_, i) => i + 1);
          const alone = await attend(native, type, given.depth, given.rows, given, each);
          expect(await attend(native, type, given.depth, given.rows, given)).toEqual(alone);
        }),
        { numRuns: 60 },
      );
    });

    it("is right for any shape of head, group and page", async () => {
      const native = open({ threads: 2 });
      await fc.assert(
        fc.asyncProperty(shape, async (given) => {
          const found = await attend(native, "f32", given.depth, given.rows, given);
          const expected = await attend(createReference(), "f32", given.depth, given.rows, given);
          expect(distance(found, expected)).toBeLessThan(1e-5);
        }),
        { numRuns: 60 },
      );
    });

    it("cuts large products and sums the same with any number of threads", async () => {
      const random = randomNumbers(7);
      const weight = floats("w", [96, 512], random(96 * 512));
      const gain = floats("g", [512], random(512));
      const x = random(90 * 512);
      const results = [];
      for (const threads of [1, 2, 3]) {
        const ops = open({ threads });
        const m = ops.matrix("x", 90, 512);
        ops.write(m, x);
        const normed = ops.rmsNorm("n", m, ops.weight(gain), 1e-5);
        const gated = ops.gated("g", "gelu", ops.softcap("c", normed, 3), ops.scale("s", normed, 0.3));
        const y = ops.matmul("y", ops.add("a", gated, m), ops.weight(weight));
        results.push(Array.from(await ops.read(y)));
      }
      expect(results[1]).toEqual(results[0]);
      expect(results[2]).toEqual(results[0]);
    });
  });

  it("copies a page so that a fork and its parent part ways", async () => {
    for (const type of ["f32", "f16", "q8_0", "q4_0"] as const) {
      const ops = open({ threads: 1 });
      const cache = ops.kvCache({ layers: 2, kvHeads: 1, headSize: 32, pages: 3, pageTokens: 8, type });
      const random = randomNumbers(3);
      const put = (page: number, from: number, rows: number, values: Float32Array) => {
        const m = ops.matrix("kv", rows, 32);
        ops.write(m, values);
        ops.begin(oneSequence(from, rows, Int32Array.of(page)));
        for (const layer of [0, 1]) ops.store(cache, layer, m, m);
      };
      const look = async (page: number, position: number) => {
        const q = ops.matrix("q", 1, 32);
        ops.write(q, new Float32Array(32).fill(0.1));
        ops.begin(oneSequence(position, 1, Int32Array.of(page)));
        return Array.from(await ops.read(ops.attention("o", q, cache, 1, { heads: 1, scale: 1 })));
      };
      put(0, 0, 4, random(4 * 32));
      ops.copyPage(cache, 0, 2);
      expect(await look(2, 3)).toEqual(await look(0, 3));
      const before = await look(0, 3);
      put(2, 3, 1, random(32));
      expect(await look(0, 3)).toEqual(before);
      expect(await look(2, 3)).not.toEqual(before);
      ops.freeKvCache(cache);
      expect(() => ops.copyPage(cache, 0, 1)).toThrow(GrokError);
    }
  });

  it("refuses what belongs to another backend, and everything once closed", () => {
    const [a, b] = [open({ threads: 1 }), createNative(addon, { threads: 1 })];
    const x = b.matrix("x", 1, 8);
    const gain = floats("gain", [8], new Float32Array(8));
    const weight = b.weight(gain);
    const cache = b.kvCache({ layers: 1, kvHeads: 1, headSize: 8, pages: 1, pageTokens: 4, type: "f32" });
    expect(() => a.scale("y", x, 2)).toThrow(/not made by this native backend/);
    expect(() => a.rmsNorm("y", a.matrix("x", 1, 8), weight, 1e-5)).toThrow(/not bound by this native backend/);
    expect(() => a.copyPage(cache, 0, 0)).toThrow(/not made by this native backend/);
    const seen = b.read(x) as Float32Array;
    b.close();
    expect(seen.length).toBe(8); // a view outlives the backend
    seen.fill(1);
    for (const use of [
      () => b.matrix("x", 1, 8),
      () => b.scale("x", x, 2),
      () => b.read(x),
      () => b.weight(gain),
      () => b.copyPage(cache, 0, 0),
    ]) {
      expect(use).toThrow(GrokError);
    }
  });

  it("refuses threads and instruction sets that cannot be had", () => {
    for (const options of [{ threads: 0 }, { threads: 5000 }, { isa: "mmx" }]) {
      expect(() => createNative(addon, options)).toThrow(GrokError);
    }
  });

  it("survives any numbers in the addon's own calls", () => {
    const native = addon.createBackend(2, "best") as unknown as Record<string, (...args: unknown[]) => unknown>;
    native.resize!(-1, 64);
    native.resize!(-1, 64);
    native.weight!(0, 4, 4, 1, Float64Array.of(native.copy!(new Uint8Array(64)) as number, 0));
    native.cache!(1, 1, 4, 2, 4, 0);
    native.rotary!(4, false, new Float64Array(2), 1);
    const values = fc.oneof(
      fc.constantFrom<unknown>(
        0,
        1,
        -1,
        2,
        4,
        2 ** 31,
        -(2 ** 31),
        2 ** 53,
        Number.NaN,
        Infinity,
        0.5,
        true,
        null,
        "x",
      ),
      fc.constantFrom<unknown>(undefined, {}, [], new Uint8Array(3), new Float64Array(2)),
      fc.integer({ min: -2, max: 70 }),
    );
    const names = Object.keys(native).filter((name) => typeof native[name] === "function" && name !== "close");
    const numbers = new Int32Array(native.control!(64) as ArrayBuffer);
    let refused = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.array(values, { maxLength: 10 }),
        fc.array(fc.integer({ min: -2, max: 9 }), { maxLength: 64 }),
        (name, args, ints) => {
          numbers.set(ints);
          // Large but honest requests for memory are not what is tested here.
          if (name === "cache" || name === "resize" || name === "control")
            args = args.map((v) => (Number(v) > 70 ? -1 : v));
          // This process has open files of others.
          if (name === "map") args = args.map((v) => (Number(v) >= 0 ? -1 : v));
          try {
            native[name]!(...args);
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
            refused++;
          }
        },
      ),
      { numRuns: 3000 },
    );
    expect(refused).toBeGreaterThan(1000);
    native.close!();
    expect(() => native.add!(0, 0, 0, 4)).toThrow(/closed/);
  });

  it("lets go of what it watches when a backend that nobody closed is collected", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const drop = () => {
      const numbers = new Int32Array(new SharedArrayBuffer(8));
      addon.createBackend(2, "best").watch(numbers);
      return new WeakRef(numbers);
    };
    const dropped = Array.from({ length: 5 }, drop);
    // The functions go first, their state after that, and what it held in the next collection.
    for (let i = 0; i < 100 && dropped.some((numbers) => numbers.deref() !== undefined); i++) {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
    }
    expect(dropped.filter((numbers) => numbers.deref() !== undefined)).toHaveLength(0);
  });

  it("gives the same view of a matrix that grew in place", () => {
    const ops = open({ threads: 1 });
    const first = ops.read(ops.matrix("x", 1, 100)) as Float32Array;
    const second = ops.read(ops.matrix("x", 1, 120)) as Float32Array;
    expect(second.buffer).toBe(first.buffer);
    expect((ops.read(ops.matrix("x", 1, 1000)) as Float32Array).buffer).not.toBe(first.buffer);
  });

  it.skipIf(!hasLargePages())("keeps large matrices in large pages where the system has them (Linux tells)", () => {
    const ops = open();
    const before = largePageBytes();
    const matrix = ops.matrix("m", 2048, 4096);
    ops.write(matrix, new Float32Array(2048 * 4096).fill(1));
    // 32 MiB, and the matrix's memory begins at a large page. A system short of whole ones may give fewer.
    expect(largePageBytes() - before).toBeGreaterThan(2 ** 21);
  });

  it("measures a bandwidth that a memory can have", () => {
    const bytes = addon.measureBandwidth(1, 8 << 20);
    expect(bytes).toBeGreaterThan(1e7);
    expect(bytes).toBeLessThan(1e13);
    expect(() => addon.measureBandwidth(0, 8 << 20)).toThrow();
  });
});

interface Shape {
  readonly headSize: number;
  readonly kvHeads: number;
  readonly group: number;
  readonly pageTokens: number;
  readonly softcap: number;
}

const usual: Shape = { headSize: 64, kvHeads: 2, group: 3, pageTokens: 32, softcap: 30 };

/** Attention of the last `rows` of `depth + rows` random tokens, through pages in shuffled order, in calls that end before each of `cuts`. */
async function attend(
  ops: Ops,
  type: KvType,
  depth: number,
  rows: number,
  shape = usual,
  cuts: readonly number[] = [],
): Promise<number[]> {
  const { headSize, kvHeads, group, pageTokens, softcap } = shape;
  const random = randomNumbers(depth * 31 + rows);
  const count = Math.ceil((depth + rows) / pageTokens);
  const cache = ops.kvCache({ layers: 1, kvHeads, headSize, pages: count, pageTokens, type });
  const pages = Int32Array.from({ length: count }, (_, i) => count - 1 - i);
  const [k, v] = ["k", "v"].map((name) => {
    const m = ops.matrix(name, depth + rows, kvHeads * headSize);
    ops.write(m, random((depth + rows) * kvHeads * headSize));
    return m;
  });
  ops.begin(oneSequence(0, depth + rows, pages));
  ops.store(cache, 0, k!, v!);
  const width = kvHeads * group * headSize;
  const queries = random(rows * width);
  const options = { heads: kvHeads * group, scale: 1 / Math.sqrt(headSize), softcap };
  const found: number[] = [];
  for (const [i, end] of [...cuts, rows].entries()) {
    const start = i === 0 ? 0 : cuts[i - 1]!;
    const q = ops.matrix("q", end - start, width);
    ops.write(q, queries.slice(start * width, end * width));
    ops.begin(oneSequence(depth + start, end - start, pages));
    for (const value of await ops.read(ops.attention("out", q, cache, 0, options))) found.push(value);
  }
  ops.freeKvCache(cache);
  return found;
}

function oneSequence(start: number, count: number, pages: Int32Array): Batch {
  const positions = Int32Array.from({ length: count }, (_, i) => start + i);
  return {
    tokens: new Int32Array(count),
    positions,
    sequences: [{ start: 0, count, pages }],
    outputs: new Int32Array(),
  };
}

function floats(name: string, shape: number[], values: Float32Array): Tensor {
  return memoryTensor(name, "f32", shape, values);
}

/** Arrays of numbers in [-1, 1), the same for a seed: Steele, Lea & Flood's SplitMix, 32 bits (2014). */
function randomNumbers(seed: number): (count: number) => Float32Array {
  let state = seed;
  return (count) =>
    Float32Array.from({ length: count }, () => {
      state = (state + 0x9e3779b9) | 0;
      let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return ((z ^ (z >>> 15)) >>> 0) / 2 ** 31 - 1;
    });
}

function distance(found: number[], expected: number[]): number {
  let [error, norm] = [0, 0];
  expected.forEach((value, i) => {
    error += (found[i]! - value) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(error / norm);
}
