import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { withoutAddon } from "../../../test/support/addon.ts";
import { type Addon, loadAddon } from "../../addon.ts";
import { openGguf } from "../../formats/gguf/file.ts";
import { createExpertCache } from "../../memory/expert-cache.ts";
import { bindModel } from "../../model/registry.ts";
import { forwardAll, readArrays, runModel } from "../../model/run.case.ts";
import type { FilePlace } from "../../tensor/tensor.ts";
import { createNative, openNative } from "./native.ts";
import type { SlotState } from "./slot-store.ts";
import type { ExpertEvent } from "./store.ts";

const { addon } = loadAddon() as { addon: Addon };
const own = join(import.meta.dirname, "../../../test/vectors/models");
const models = ["grok-1", "grok-2", "mixtral"].map((name) => join(own, name));
const folder = mkdtempSync(join(tmpdir(), "grok1-slots-"));
afterAll(() => rmSync(folder, { recursive: true }));

const isStack = ({ name }: { readonly name: string }) => name.includes("_exps");
const layerOf = (tensor: { readonly name: string }) =>
  isStack(tensor) ? Number(tensor.name.split(".")[1]) : undefined;

/** A backend that keeps so many experts in memory, with its file. */
function openStreamed(path: string, kept: number, of: Addon = addon, holding?: number) {
  const file = openGguf(path);
  const number = (key: string) => file.metadata.number(`${file.metadata.string("general.architecture")}.${key}`);
  const [layers, experts] = [number("block_count"), number("expert_count")];
  const stacks = [...file.tensors.values()].filter(isStack);
  const blocks = Math.max(
    ...[0, 1, 2].map((i) => {
      const { places } = stacks[i]!;
      const bytes = places.reduce((sum, place) => sum + ("bytes" in place ? place.bytes : 0), 0) / experts;
      return Math.ceil(bytes / 4096) + 1;
    }),
  );
  const cache = createExpertCache({ bytes: kept * 3 * 4096 * blocks, layers, experts });
  let limit = cache.bytes;
  const lookAhead = { plan: "read", add() {} } as const;
  /** What activations had room for, each time it was asked what experts may take. */
  const rows: number[] = [];
  const asked = (state: SlotState) => {
    rows.push(state.rows);
    return state.rows === 32 ? limit : Math.floor(0.75 * limit);
  };
  /** Experts that are on their way or came and are not computed with yet, and the most of them. */
  const pending = new Set<number>();
  let mostPending = 0;
  const onExperts = ({ kind, experts: some }: ExpertEvent) => {
    if (kind === "arrive") for (const each of some) pending.add(each);
    if (kind === "compute") for (const each of some) pending.delete(each);
    mostPending = Math.max(mostPending, pending.size);
  };
  const streaming = { cache, layerOf, limit: asked, lookAhead, ...(holding !== undefined && { holding }) };
  const backend = openNative(of, { threads: 2, onExperts, streaming });
  const setLimit = (bytes: number) => {
    limit = bytes;
    backend.slots!.govern();
  };
  return {
    ...backend,
    file,
    cache,
    slots: backend.slots!,
    layers,
    experts,
    rows,
    setLimit,
    mostPending: () => mostPending,
  };
}

describe.skipIf(!addon)(`experts in slots${withoutAddon}`, () => {
  it.each(models)("of %s give the same bits as a mapped file, however few are kept", async (model) => {
    const tokens = readArrays(`${model}.expected.safetensors`).get("tokens") as Int32Array;
    const chunks = [7, 1, 1, tokens.length - 12, 1, 1, 1];
    const whole = createNative(addon, { threads: 2 });
    const file = openGguf(`${model}.gguf`);
    const expected = await runModel(whole, (ops) => bindModel(ops, file), tokens, { chunks });
    whole.close();
    file.close();
    for (const kept of [2, 3, 5, 100]) {
      const { ops, slots, file, cache, layers, experts } = openStreamed(`${model}.gguf`, kept);
      const bound = bindModel(ops, file);
      await slots.ready();
      // Bound to what tells of experts to come, and once more to be observed: the weights are the same ones.
      const run = async (observed: boolean) => {
        if (observed) return (await runModel(ops, (each) => bindModel(each, file), tokens, { chunks })).logits;
        return forwardAll(ops, bound, tokens, { chunks, pageTokens: 5, type: "f32" }, () =>
          expect(cache.used).toBeLessThanOrEqual(cache.bytes),
        );
      };
      expect(await run(false)).toEqual(expected.logits);
      const { asked, there, bytesRead, foretold, foretoldRight } = slots.counters;
      expect(there).toBeLessThan(asked);
      expect(foretold).toBeGreaterThan(0);
      expect(foretoldRight).toBeLessThanOrEqual(foretold);
      expect(await run(true)).toEqual(expected.logits);
      // Where all fit nothing is read twice.
      if (kept === 100) expect(slots.counters.bytesRead).toBeLessThanOrEqual(bytesRead + layers * experts * 3 * 8192);
      else expect(slots.counters.bytesRead).toBeGreaterThan(bytesRead);
      ops.close();
      file.close();
    }
  });

  it("leave a prompt's activations their room before it begins, have it back after it, and give the same bits", async () => {
    const path = `${models[0]}.gguf`;
    const tokens = Int32Array.from({ length: 128 }, (_, i) => (i * 31) % 90);
    const chunks = [1, 1, 120, 1, 1, 1, 1, 1, 1];
    const whole = createNative(addon, { threads: 2 });
    const file = openGguf(path);
    const spec = { chunks, pageTokens: 5, type: "f32" } as const;
    const expected = await forwardAll(whole, bindModel(whole, file), tokens, spec);
    whole.close();
    const { ops, slots, cache, rows, file: streamed } = openStreamed(path, 8);
    const bound = bindModel(ops, streamed);
    await slots.ready();
    const used: number[] = [];
    const seen = await forwardAll(ops, bound, tokens, spec, () => {
      expect(cache.used).toBeLessThanOrEqual(cache.bytes);
      used.push(cache.used);
    });
    expect(seen).toEqual(expected);
    expect(rows.filter((each, i) => each !== rows[i - 1])).toEqual([32, 128, 32]);
    expect(Math.max(...used)).toBeGreaterThan(used[2]!);
    ops.close();
    for (const each of [file, streamed]) each.close();
  });

  it.each([undefined, 1])("read what a layer asks of all tokens once, held to %s byte at a time", async (holding) => {
    const { ops, slots, file, layers, experts, mostPending } = openStreamed(`${models[0]}.gguf`, 3, addon, holding);
    const tokens = Int32Array.from({ length: 200 }, (_, i) => (i * 31) % 90);
    const model = bindModel(ops, file);
    await slots.ready();
    const cache = model.kvCache({ pages: 200, pageTokens: 1, type: "f32" });
    const rows = tokens.map((_, i) => i);
    const batch = { tokens, positions: rows, sequences: [{ start: 0, count: 200, pages: rows }], outputs: rows };
    await model.forward(batch, cache);
    const { bytesRead } = slots.counters;
    const stacks = [...file.tensors.values()].filter(isStack).flatMap(({ places }) => places);
    const all = stacks.reduce((sum, place) => sum + ("bytes" in place ? place.bytes : 0), 0);
    expect(bytesRead).toBeGreaterThanOrEqual(all);
    // Whole blocks of the drive are read.
    expect(bytesRead).toBeLessThanOrEqual(all + layers * experts * 3 * 8192);
    if (holding !== undefined) expect(mostPending()).toBe(1);
    ops.close();
    file.close();
  });

  const broken = async (spoil: (path: string) => void, of?: Addon) => {
    const path = join(folder, "model.gguf");
    copyFileSync(`${models[0]}.gguf`, path);
    const opened = openStreamed(path, 2, of);
    const model = bindModel(opened.ops, opened.file);
    await opened.slots.ready();
    const cache = model.kvCache({ pages: 9, pageTokens: 1, type: "f32" });
    const one = Int32Array.of(0);
    const pass = (token: number) =>
      model.forward(
        { tokens: one.map(() => token), positions: one, sequences: [{ start: 0, count: 1, pages: one }], outputs: one },
        cache,
      );
    const first = [...(await opened.ops.read(await pass(3)))];
    spoil(path);
    let failure: unknown;
    for (let token = 4; token < 40 && failure === undefined; token++)
      failure = await pass(token).then(
        () => undefined,
        (error) => error,
      );
    return { ...opened, pass, first, failure, path };
  };

  it("of a file that becomes shorter give an error with file and place, and the backend lives", async () => {
    const { ops, file, failure, path } = await broken((path) => truncateSync(path, 40_000));
    expect(failure).toMatchObject({ code: "io", message: expect.stringMatching(/model\.gguf: .*byte \d+.*shorter/) });
    expect((failure as Error).message).toContain(path);
    ops.close();
    file.close();
  });

  it("of a file that is written to are refused, and one that is touched or goes by another file's name stays as it was", async () => {
    const { ops, file, failure } = await broken((path) => {
      const bytes = readFileSync(path);
      writeFileSync(path, bytes.fill(1, bytes.length / 2), { flag: "r+" });
      utimesSync(path, 1, 1);
    });
    expect(failure).toMatchObject({
      code: "io",
      message: expect.stringContaining("was written to while it was in use"),
    });
    ops.close();
    file.close();
    const replaced = await broken((path) => {
      utimesSync(path, 1, 1);
      rmSync(path);
      copyFileSync(`${models[1]}.gguf`, path);
    });
    expect(existsSync(replaced.path)).toBe(true);
    expect(replaced.failure).toBeUndefined();
    expect([...(await replaced.ops.read(await replaced.pass(3)))]).toEqual(replaced.first);
    replaced.ops.close();
    replaced.file.close();
  });

  it("give memory back when they may take less, and go on", async () => {
    const { ops, setLimit, file, cache, pass, first } = await broken(() => {});
    setLimit(cache.bytes * 4);
    for (let token = 4; token < 20; token++) await pass(token);
    const before = cache.used;
    setLimit(Math.ceil(before / 2));
    expect(cache.used).toBeLessThanOrEqual(Math.ceil(before / 2));
    expect([...(await ops.read(await pass(3)))]).toEqual(first);
    ops.close();
    file.close();
  });

  it("for which the system has no memory fail the pass that needs them, and take no room from those to come", async () => {
    let full = false;
    const poor: Addon = {
      ...addon,
      createBackend(threads, isa) {
        const native = addon.createBackend(threads, isa);
        const slot = (bytes: number) => {
          if (full) throw Object.assign(new Error("no memory"), { code: "ERR_CAPACITY" });
          return native.slot(bytes);
        };
        return new Proxy(native, { get: (from, name) => (name === "slot" ? slot : Reflect.get(from, name)) });
      },
    };
    const { ops, file, cache, pass, first, setLimit, failure } = await broken(() => {}, poor);
    expect(failure).toBeUndefined();
    full = true;
    for (let round = 0; round < 20; round++) {
      // All is given up, so that memory has to be had anew.
      const { bytes } = cache;
      setLimit(0);
      expect(cache.used).toBe(0);
      setLimit(bytes);
      await expect(pass(3 + round)).rejects.toThrow("no memory");
      expect(cache.used).toBe(0);
    }
    full = false;
    expect([...(await ops.read(await pass(3)))]).toEqual(first);
    expect(cache.used).toBeLessThanOrEqual(cache.bytes);
    ops.close();
    file.close();
  });

  it("refuse misuse", async () => {
    const native = addon.createBackend(1, "best");
    const file = openGguf(`${models[0]}.gguf`);
    const [place] = [...file.tensors.values()].find(isStack)!.places;
    const { file: data, offset, bytes } = place as FilePlace;
    const source = native.open(data.descriptor());
    const mapped = native.map(data.descriptor());
    const weight = native.weight(0, 2, 4, 1, Float64Array.of(source, 0));
    const there = native.weight(0, 2, 4, 1, Float64Array.of(mapped, 0));
    const slot = native.slot(8192);
    expect(() => native.matmul(native.resize(-1, 2), native.resize(-1, 4), 1, weight)).toThrow("not in memory");
    expect(() => native.place(there, 0, slot, 0)).toThrow();
    expect(() => native.place(weight, 1, slot, 0)).toThrow();
    expect(() => native.place(weight, 0, slot, 8192)).toThrow();
    expect(() => native.place(weight, 0, slot, -1)).toThrow();
    expect(() => native.fetch(weight, 0)).toThrow();
    for (const call of [
      () => native.load(mapped, offset, bytes, slot, 0, false),
      () => native.load(source, 2 ** 40, 1, slot, 0, false),
      () => native.load(source, 0, 3 * 4096, slot, 0, false),
      () => native.load(source, 0, 1, slot, 1, false),
      () => native.load(source, 0, 1, slot + 1, 0, false),
      () => native.load(source, 0, 0, slot, 0, false),
    ]) {
      expect(call).toThrow();
    }
    const many = Array.from({ length: 50 }, () =>
      native.load(source, 0, 4096, slot, 0, true).then(
        ({ took }) => (took >= 0 ? "read" : "read before it was asked for"),
        (error: Error) => error.message,
      ),
    );
    native.hurry(slot);
    native.close();
    for (const outcome of await Promise.all(many))
      expect(["read", "it is not wanted any more, or the backend is closed"]).toContain(outcome);
    file.close();
  });
});
