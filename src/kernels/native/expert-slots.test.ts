import { closeSync, copyFileSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterAll, describe, expect, it } from "vitest";
import { withoutAddon } from "../../../test/support/addon.ts";
import { type Addon, loadAddon } from "../../addon.ts";
import type { AddonBackend } from "../../addon-backend.ts";
import { openDataFile } from "../../bytes/data-file.ts";
import { createExpertCache } from "../../memory/expert-cache.ts";
import { createRandom } from "../oracle.case.ts";
import { type Cancel, openNative } from "./native.ts";
import type { ExpertEvent } from "./store.ts";

const { addon } = loadAddon() as { addon: Addon };
const folder = mkdtempSync(join(tmpdir(), "grok1-coming-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Matrices of a piece and some more. */
const [experts, width, hidden] = [3, 256, 4500];
const bytes = 4 * width * hidden;

function writeExperts(): string {
  const path = join(folder, "experts");
  const values = createRandom(5).normal(10_007, 0.03);
  const all = new Float32Array((3 * experts * bytes) / 4);
  for (let at = 0; at < all.length; at += values.length) all.set(values.subarray(0, all.length - at), at);
  writeFileSync(path, all);
  return path;
}

/** The addon with other reads. */
const changed = (loadOf: (native: AddonBackend) => AddonBackend["load"]): Addon => ({
  ...addon,
  createBackend(threads, isa) {
    const native = addon.createBackend(threads, isa);
    const load = loadOf(native);
    return new Proxy(native, { get: (from, name) => (name === "load" ? load : Reflect.get(from, name)) });
  },
});

/** A drive that first reads all of the file so many times for somebody else. */
const behind = (times: number): Addon =>
  changed((native) => {
    const slot = native.slot(3 * experts * bytes);
    let left = times;
    return (source, ...place) => {
      for (; left > 0; left--) native.load(source, 0, 3 * experts * bytes, slot, 0, false).catch(() => {});
      return native.load(source, ...place);
    };
  });

function open(path: string, from: Addon, cancel?: Cancel) {
  const events: ExpertEvent[] = [];
  const cache = createExpertCache({ bytes: 3 * experts * (bytes + 4096), layers: 1, experts });
  const { ops, slots } = openNative(from, {
    ...{ threads: 2, streaming: { cache, layerOf: () => 0 }, onExperts: (event) => events.push(event) },
    ...(cancel && { cancel }),
  });
  const file = openDataFile(path);
  const bind = (name: string, place: number, rows: number, cols: number) =>
    ops.weight({
      ...{ name, type: "f32", shape: [experts, rows, cols], source: path },
      places: Array.from({ length: experts }, (_, i) => ({ file, offset: (3 * i + place) * bytes, bytes })),
    });
  const stacks = {
    ...{ gate: bind("gate", 0, hidden, width), up: bind("up", 1, hidden, width) },
    down: bind("down", 2, width, hidden),
  };
  const run = async (rows: number, used = 2) => {
    const [x, logits] = [ops.matrix("x", rows, width), ops.matrix("logits", rows, experts)];
    ops.write(x, createRandom(1).normal(rows * width));
    ops.write(logits, createRandom(2).normal(rows * experts));
    const routing = ops.route("routing", logits, { used, renormalize: true });
    return Array.from(await ops.read(await ops.experts("y", x, routing, stacks, "gelu")));
  };
  const close = () => {
    ops.close();
    file.close();
  };
  /** Gives up all that nobody holds. */
  const empty = () => {
    const { bytes } = cache;
    cache.limit(0);
    const held = cache.used;
    cache.limit(bytes);
    return held;
  };
  return { run, close, slots: slots!, events, empty };
}

describe.skipIf(!addon)(`experts that are on their way${withoutAddon}`, () => {
  it.each([1, 3, 40])("are computed row by row as they come, for %s tokens, to the same bits", async (rows) => {
    const path = writeExperts();
    const [quick, slow] = [open(path, addon), open(path, behind(1))];
    await quick.run(rows);
    // Now they are there.
    const expected = await quick.run(rows);
    expect(quick.slots.counters.there).toBe(quick.slots.counters.asked / 2);
    expect(await slow.run(rows)).toEqual(expected);
    expect(slow.slots.counters.there).toBe(0);
    expect(slow.slots.counters.stalled[0]).toBeGreaterThan(1);
    // Nobody waited for all of one before.
    expect(new Set(slow.events.map(({ kind }) => kind))).toEqual(new Set(["fetch", "compute"]));
    for (const each of [quick, slow]) each.close();
  });

  it("fail what waits for them where a piece cannot be read, with file and byte", async () => {
    const path = writeExperts();
    // Another file in its place, of which the last piece is lost.
    const poor = `${path}-poor`;
    copyFileSync(path, poor);
    const descriptor = openSync(poor, "r+");
    const { run, close, slots } = open(
      path,
      changed((native) => {
        const source = native.open(descriptor);
        return (_, ...place) => native.load(source, ...place);
      }),
    );
    ftruncateSync(descriptor, 3 * experts * bytes - 4096);
    await expect(run(1, experts)).rejects.toMatchObject({
      code: "io",
      message: expect.stringMatching(new RegExp(`${path}: .*expert 2 of gate at byte ${8 * bytes + 2 ** 22}`)),
    });
    // What came is there, and what did not takes no room.
    expect(slots.cache.used).toBe((experts - 1) * 3 * bytes);
    close();
    closeSync(descriptor);
  });

  it("are left where nobody wants them any more, and are there when they came", async () => {
    const path = writeExperts();
    const numbers = new Int32Array(new SharedArrayBuffer(12));
    const { run, close, slots, empty } = open(path, behind(12), {
      numbers: numbers.subarray(0, 2),
      left: () => new Promise(() => {}),
    });
    const source = `const { parentPort, workerData } = require("node:worker_threads");
    parentPort.postMessage("begun");
    Atomics.wait(workerData, 2, 0);
    Atomics.wait(workerData, 1, 0, 20);
    Atomics.store(workerData, 0, 1);`;
    const other = new Worker(source, { eval: true, workerData: numbers });
    await new Promise((resolve) => other.once("message", resolve));
    Atomics.store(numbers, 2, 1);
    Atomics.notify(numbers, 2);
    await expect(run(1)).rejects.toMatchObject({ code: "cancelled" });
    Atomics.store(numbers, 0, 0);
    await other.terminate();
    const whole = open(path, addon);
    expect(await run(1)).toEqual(await whole.run(1));
    expect(slots.counters.bytesRead).toBe(2 * 3 * bytes);
    expect(empty()).toBe(0);
    for (const each of [{ close }, whole]) each.close();
  });
});
