import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { withoutAddon } from "../../../test/support/addon.ts";
import { type Addon, loadAddon } from "../../addon.ts";
import { openDataFile } from "../../bytes/data-file.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { TensorType } from "../../tensor/types.ts";
import type { ExpertStacks, ExpertTerms, Matrix, Ops } from "../ops.ts";
import { createRandom, floatTensor, type Random, randomTensor } from "../oracle.case.ts";
import { createNative, openNative } from "./native.ts";
import { createPageCacheStore, type ExpertEvent, type ExpertStore } from "./store.ts";

const { addon, path: addonPath } = loadAddon() as { addon: Addon; path: string };

/** A mixture over `n` random rows; results under one name so that awaited ones can be compared. */
function mixture(random: Random, type: TensorType, n: number, adapted: boolean) {
  const [experts, width, hidden, used] = [6, 64, 96, 3];
  const stack = (name: string, rows: number, cols: number) =>
    randomTensor(random, name, type, [experts, rows, cols]).tensor;
  const tensors = {
    gate: stack("gate", hidden, width),
    up: stack("up", hidden, width),
    down: stack("down", width, hidden),
  };
  const x = random.normal(n * width);
  const logits = random.normal(n * experts);
  const factors = (name: string, rows: number, cols: number) =>
    floatTensor(name, [experts, rows, cols], random.normal(experts * rows * cols, 0.1));
  const [a, b] = [factors("a", 5, hidden), factors("b", width, 5)];
  const scales = random.normal(n);
  return (ops: Ops): Matrix | Promise<Matrix> => {
    const input = ops.matrix("x", n, width);
    ops.write(input, x);
    const router = ops.matrix("logits", n, experts);
    ops.write(router, logits);
    const routing = ops.route("routing", router, { used, renormalize: true });
    const bind = (tensor: Tensor) => ops.weight(tensor);
    const stacks: ExpertStacks = { gate: bind(tensors.gate), up: bind(tensors.up), down: bind(tensors.down) };
    let terms: ExpertTerms | undefined;
    if (adapted) {
      const strength = ops.matrix("scales", n, 1);
      ops.write(strength, scales);
      terms = { gate: [], up: [], down: [{ a: bind(a), b: bind(b), scales: strength }] };
    }
    return ops.experts("y", input, routing, stacks, "gelu", terms);
  };
}

/** What a store without slots does of the rest. */
const nothing = { release() {}, stalled() {} };

const valuesOf = (ops: Ops, matrix: Matrix) => Array.from(ops.read(matrix) as Float32Array);

describe.skipIf(!addon)(`experts that are not in memory${withoutAddon}`, () => {
  it("give the same bits, whichever are missing and in whatever order they come", async () => {
    await fc.assert(
      fc.asyncProperty(
        ...[fc.nat(1000), fc.constantFrom<TensorType>("f32", "q4_0", "q8_0"), fc.constantFrom(1, 3, 40), fc.boolean()],
        fc.subarray([0, 1, 2, 3, 4, 5], { minLength: 1 }),
        fc.boolean(),
        async (seed, type, n, adapted, missing, together) => {
          const run = mixture(createRandom(seed), type, n, adapted);
          const whole = createNative(addon, { threads: 2 });
          const expected = valuesOf(whole, await run(whole));
          whole.close();
          const arrive = new Map<number, () => void>();
          const store = (): ExpertStore => ({
            absent: (_, experts) => experts.filter((expert) => missing.includes(expert)),
            fetch: (_, expert) => new Promise((resolve) => arrive.set(expert, resolve)),
            ...nothing,
          });
          const { ops } = openNative(addon, { threads: 2 }, store);
          const pending = run(ops);
          for (const expert of createRandom(seed).next() < 0.5 ? [...arrive.keys()] : [...arrive.keys()].reverse()) {
            arrive.get(expert)!();
            if (!together) await new Promise((resolve) => setImmediate(resolve));
          }
          expect(valuesOf(ops, await pending)).toEqual(expected);
          ops.close();
        },
      ),
      { numRuns: 25 },
    );
  });

  it("leave the others to be computed meanwhile", async () => {
    const events: ExpertEvent[] = [];
    let arrive = () => {};
    const store = (): ExpertStore => ({
      absent: (_, experts) => experts.slice(1, 2),
      fetch: () => new Promise((resolve) => (arrive = resolve)),
      ...nothing,
    });
    const { ops } = openNative(addon, { threads: 1, onExperts: (event) => events.push(event) }, store);
    const pending = mixture(createRandom(1), "f32", 1, false)(ops);
    expect(pending).toBeInstanceOf(Promise);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(events.map(({ kind, experts }) => [kind, experts.length])).toEqual([
      ["fetch", 1],
      ["compute", 2],
    ]);
    arrive();
    await pending;
    expect(events.slice(2).map(({ kind, experts }) => [kind, experts])).toEqual([
      ["arrive", events[0]!.experts],
      ["compute", events[0]!.experts],
    ]);
    ops.close();
  });

  it("make the call fail where they cannot be read, and the backend goes on", async () => {
    let broken = true;
    const store = (): ExpertStore => ({
      absent: (_, experts) => (broken ? experts.slice(0, 2) : []),
      fetch: async (_, expert) => {
        await new Promise((resolve) => setTimeout(resolve, 5 * expert));
        throw new Error(`expert ${expert}`);
      },
      ...nothing,
    });
    const { ops } = openNative(addon, { threads: 1 }, store);
    const run = mixture(createRandom(1), "f32", 2, false);
    await expect(run(ops)).rejects.toThrow(/expert/);
    broken = false;
    expect(valuesOf(ops, await run(ops))).toHaveLength(128);
    ops.close();
  });

  it("are not waited for when nobody wants them any more", async () => {
    const numbers = new Int32Array(new SharedArrayBuffer(8));
    let leave = () => {};
    const left = () => new Promise<void>((resolve) => (leave = resolve));
    let away = true;
    let refuse = (_: Error) => {};
    const store = (): ExpertStore => ({
      absent: (_, experts) => (away ? experts.slice(0, 1) : []),
      fetch: () => new Promise((_, reject) => (refuse = reject)),
      ...nothing,
    });
    const { ops } = openNative(addon, { threads: 1, cancel: { numbers, left } }, store);
    const run = mixture(createRandom(1), "f32", 2, false);
    const pending = Promise.resolve(run(ops));
    await new Promise((resolve) => setTimeout(resolve, 5));
    leave();
    await expect(pending).rejects.toMatchObject({ code: "cancelled" });
    // What comes of the fetch later reaches nobody.
    refuse(new Error("broken drive"));
    away = false;
    const whole = createNative(addon, { threads: 1 });
    expect(valuesOf(ops, await run(ops))).toEqual(valuesOf(whole, await run(whole)));
    for (const each of [ops, whole]) each.close();
  });

  const folder = mkdtempSync(join(tmpdir(), "grok1-store-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Drops a file from the page cache. False where the system cannot. */
  const drop = (path: string) => spawnSync("dd", [`if=${path}`, "iflag=nocache", "count=0"]).status === 0;
  /** Page faults of this process that had to wait for a drive, without those of the threads that are there for it. */
  const faults = () =>
    readdirSync("/proc/self/task").reduce((sum, task) => {
      const [, name, rest] = /\((.*)\) (.*)/.exec(readFileSync(`/proc/self/task/${task}/stat`, "utf8"))!;
      return sum + (name === "grok1-reader" ? 0 : Number(rest!.split(" ")[9]));
    }, 0);

  it.skipIf(!existsSync("/proc/self/task"))(
    "are read by threads of their own, and nobody waits in a page fault",
    async (test) => {
      const [experts, width, hidden] = [4, 256, 1024];
      const bytes = 4 * width * hidden;
      const path = join(folder, "experts");
      const descriptor = openSync(path, "w");
      const random = createRandom(9);
      for (let i = 0; i < 3 * experts; i++)
        writeSync(descriptor, new Uint8Array(random.normal(width * hidden, 0.05).buffer));
      fsyncSync(descriptor);
      closeSync(descriptor);
      const bind = (
        ops: Ops,
        file: ReturnType<typeof openDataFile>,
        first: number,
        name: string,
        rows: number,
        cols: number,
      ) =>
        ops.weight({
          ...{ name, type: "f32", shape: [experts, rows, cols], source: path },
          places: [{ file, offset: first * experts * bytes, bytes: experts * bytes }],
        });
      const run = async (cold: boolean) => {
        const events: ExpertEvent[] = [];
        const { ops, native } = openNative(addon, { threads: 2, onExperts: (event) => events.push(event) });
        const file = openDataFile(path);
        const stacks = {
          gate: bind(ops, file, 0, "gate", hidden, width),
          up: bind(ops, file, 1, "up", hidden, width),
          down: bind(ops, file, 2, "down", width, hidden),
        };
        const { id } = stacks.gate as unknown as { id: number };
        const missing = native.missing(id, 2);
        const x = ops.matrix("x", 1, width);
        ops.write(x, createRandom(2).normal(width));
        const logits = ops.matrix("logits", 1, experts);
        const use = async (values: number[]) => {
          ops.write(logits, Float32Array.from(values));
          return valuesOf(
            ops,
            await ops.experts("y", x, ops.route("r", logits, { used: 2, renormalize: true }), stacks, "silu"),
          );
        };
        // Experts 0 and 1 are there from now on; 2 is not when the file was dropped.
        await use([1, 2, -9, -9]);
        events.length = 0;
        const before = faults();
        const found = await use([1, -9, 2, -9]);
        const waited = faults() - before;
        if (cold) expect(native.missing(id, 2)).toBe(0);
        ops.close();
        file.close();
        return { found, waited, missing, events };
      };
      const warm = await run(false);
      expect(warm.events).toEqual([]);
      if (!drop(path)) return test.skip("dd cannot drop files here");
      const cold = await run(true);
      if (cold.missing === 0) return test.skip("the file system keeps what is dropped");
      expect(cold.found).toEqual(warm.found);
      expect(cold.waited).toBe(0);
      expect(cold.events.map(({ kind, experts: some }) => [kind, some])).toEqual([
        ["fetch", [2]],
        ["compute", [0]],
        ["arrive", [2]],
        ["compute", [2]],
      ]);
    },
  );

  it("refuses what is not there to fetch, and ends what is under way when it closes", async () => {
    const native = addon.createBackend(1, "best");
    const weight = native.weight(0, 4, 4, 1, Float64Array.of(native.copy(new Uint8Array(64)), 0));
    expect(() => native.fetch(weight, 1)).toThrow();
    expect(() => native.fetch(weight + 1, 0)).toThrow();
    await native.fetch(weight, 0);
    const many = Array.from({ length: 50 }, () => native.fetch(weight, 0).catch((error: Error) => error.message));
    native.close();
    // What was read in time says how long it took.
    for (const outcome of await Promise.all(many)) {
      if (typeof outcome === "string") expect(outcome).toContain("the backend is closed");
      else expect(outcome.took).toBeGreaterThanOrEqual(0);
    }
  });

  it("may still be read when their thread is ended", () => {
    const path = join(folder, "large");
    const descriptor = openSync(path, "w");
    for (let i = 0; i < 64; i++) writeSync(descriptor, new Uint8Array(2 ** 20).fill(i + 1));
    fsyncSync(descriptor);
    closeSync(descriptor);
    const thread = `const { parentPort, workerData: { addon, path } } = require("node:worker_threads");
      const module = { exports: {} };
      process.dlopen(module, addon);
      const backend = module.exports.createBackend(1, "best");
      const file = backend.map(require("node:fs").openSync(path));
      const places = Float64Array.from({ length: 128 }, (_, i) => (i % 2 === 0 ? file : (i >> 1) * 2 ** 20));
      const weight = backend.weight(0, 1024, 256, 1, places);
      for (let i = 0; i < 64; i++) backend.fetch(weight, i).catch(() => {});
      parentPort.postMessage("reading");`;
    const program = `const { Worker } = require("node:worker_threads");
      const worker = new Worker(${JSON.stringify(thread)}, { eval: true, workerData: ${JSON.stringify({ addon: addonPath, path })} });
      worker.once("message", async () => console.log("ended", await worker.terminate()));`;
    drop(path);
    const { status, stdout, signal } = spawnSync(process.execPath, ["-e", program], { encoding: "utf8" });
    expect([status, signal, stdout]).toEqual([0, null, "ended 1\n"]);
  });

  it("asks again about what could not be read", async () => {
    let missing = 1;
    const fetch = () => Promise.reject(new Error("broken drive"));
    const native = { missing: () => missing, fetch } as unknown as Parameters<typeof createPageCacheStore>[0];
    const tensor = floatTensor("blk.0.ffn_gate_exps.weight", [4, 2, 2], new Float32Array(16));
    const stack = { id: 1, matrices: 4, tensor } as unknown as Parameters<ExpertStore["absent"]>[0][number];
    const store = createPageCacheStore(native);
    expect(store.absent([stack], [3])).toEqual([3]);
    await expect(store.fetch([stack], 3, () => true)).rejects.toThrow(
      expect.objectContaining({
        code: "io",
        message: expect.stringMatching(/expert 3 of blk.0.ffn_gate_exps.*broken/),
      }),
    );
    expect(store.absent([stack], [3])).toEqual([3]);
    missing = 0;
    expect(store.absent([stack], [3])).toEqual([]);
  });

  it("asks seldom about what never went missing, and often once something did", () => {
    let asked = 0;
    let missing = 0;
    const count = () => {
      asked++;
      return missing;
    };
    const native = { missing: count } as unknown as Parameters<typeof createPageCacheStore>[0];
    const stack = { id: 1, matrices: 4 } as Parameters<ExpertStore["absent"]>[0][number];
    const store = createPageCacheStore(native);
    const clock = performance.now;
    let now = 1000;
    performance.now = () => now;
    try {
      const askedFor = (step: number, times: number) => {
        asked = 0;
        for (let i = 0; i < times; i++) {
          now += step;
          store.absent([stack], [0]);
        }
        return asked;
      };
      expect(askedFor(10, 100)).toBe(1);
      expect(askedFor(1000, 100)).toBeLessThan(5);
      missing = 1;
      now += 100_000;
      expect(store.absent([stack], [0])).toEqual([0]);
      expect(askedFor(300, 10)).toBe(10);
    } finally {
      performance.now = clock;
    }
  });
});
