import { copyFileSync, mkdtempSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { withoutAddon } from "../../../test/support/addon.ts";
import { type Addon, loadAddon } from "../../addon.ts";
import type { AddonBackend } from "../../addon-backend.ts";
import { GrokError } from "../../errors.ts";
import { type GgufFile, openGguf } from "../../formats/gguf/file.ts";
import { createExpertCache } from "../../memory/expert-cache.ts";
import { mostLossyTokens } from "../../memory/lossy.ts";
import type { Model } from "../../model/model.ts";
import { bindModel } from "../../model/registry.ts";
import { forwardAll, readArrays } from "../../model/run.case.ts";
import { decodeRow, encodeRow } from "../../tensor/decode.ts";
import { memoryTensor } from "../../tensor/memory-tensor.case.ts";
import type { FilePlace, Tensor } from "../../tensor/tensor.ts";
import type { ExpertStacks, Matrix, Ops, Weight } from "../ops.ts";
import type { Expert, ExpertSlots } from "./expert-slots.ts";
import { createNative, openNative } from "./native.ts";
import { createSlotCounters } from "./slot-counters.ts";
import { createStandIns } from "./stand-ins.ts";
import type { ExpertEvent } from "./store.ts";
import type { NativeWeight } from "./weight.ts";

const { addon } = loadAddon() as { addon: Addon };
const own = join(import.meta.dirname, "../../../test/vectors/models");
const folder = mkdtempSync(join(tmpdir(), "grok1-stand-ins-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A tensor in 4 bits, as of a copy of its model. */
function copyOf({ name, type, shape, places }: Tensor): Tensor {
  const bytes = Buffer.concat(places.map((place) => ("memory" in place ? place.memory : readPlace(place))));
  const values = new Float32Array(shape.reduce((product, n) => product * n, 1));
  decodeRow(type, bytes, values);
  return memoryTensor(name, "q4_0", shape, encodeRow("q4_0", values));
}

const readPlace = ({ file, offset, bytes }: FilePlace) => file.read(offset, bytes);

/** A backend that keeps so many experts of 3 matrices, each of less than two blocks of a drive and a bit, in memory. */
async function openStreamed(file: GgufFile, kept: number, from = addon) {
  const number = (key: string) => file.metadata.number(`${file.metadata.string("general.architecture")}.${key}`);
  const [layers, experts] = [number("block_count"), number("expert_count")];
  const cache = createExpertCache({ bytes: kept * 3 * 8192, layers, experts });
  const layerOf = ({ name }: Tensor) => (name.includes("_exps") ? Number(name.split(".")[1]) : undefined);
  const events: ExpertEvent[] = [];
  const streaming = { cache, layerOf, standIn: copyOf, lookAhead: { plan: "nothing", add() {} } as const };
  const { ops, slots } = openNative(from, { threads: 2, onExperts: (event) => events.push(event), streaming });
  const model = bindModel(ops, file);
  await slots!.ready();
  return { ops, model, slots: slots!, cache, events };
}

/** `ops` in which a copy's experts are computed in the place of those that `replaced` says of each pass and layer. */
function replaceExperts(ops: Ops, replaced: readonly ReadonlyMap<number, readonly number[]>[]): Ops {
  const copies = new Map<string, Weight>();
  const copied = ({ tensor }: Weight) => {
    copies.set(tensor.name, copies.get(tensor.name) ?? ops.weight(copyOf(tensor)));
    return copies.get(tensor.name)!;
  };
  let pass = -1;
  const { expect: _, ...others } = ops;
  return {
    ...others,
    begin(batch) {
      pass++;
      ops.begin(batch);
    },
    async experts(name, x, routing, stacks, activation) {
      const layer = Number(stacks.gate.tensor.name.split(".")[1]);
      const some = replaced[pass]!.get(layer) ?? [];
      const chosen = [...(await ops.read(routing.chosen))];
      const weights = [...(await ops.read(routing.weights))];
      const part = async (suffix: string, of: ExpertStacks, takes: (expert: number) => boolean) => {
        ops.write(
          routing.weights,
          Float32Array.from(weights, (weight, i) => (takes(chosen[i]!) ? weight : 0)),
        );
        return (await ops.experts(`${name}${suffix}`, x, routing, of, activation)) as Matrix;
      };
      const a = await part(".own", stacks, (expert) => !some.includes(expert));
      const { gate, up, down } = stacks;
      const b = await part(".copy", { gate: copied(gate), up: copied(up), down: copied(down) }, (expert) =>
        some.includes(expert),
      );
      return ops.add(name, a, b);
    },
  };
}

/** All experts are asked for once. */
const readPrompt = (ops: Ops, model: Model) => {
  const tokens = Int32Array.from({ length: 90 }, (_, i) => i);
  return forwardAll(ops, model, tokens, { chunks: [90], pageTokens: 5, type: "f32" });
};

const largest = (a: readonly number[], b: readonly number[]) =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

describe("what is read while copies are computed", () => {
  /** Slots of experts of 20 MB, whose reading ends when it is told to; they have room for those below `room`. */
  function fakeSlots(room: number) {
    const begun: number[] = [];
    const ends = new Map<number, { resolve(): void; reject(error: GrokError): void }>();
    const there = new Set<number>();
    const experts = {
      get: (number: number) => (ends.has(number) || there.has(number) ? ({} as Expert) : undefined),
      begin(number: number) {
        if (number >= room) return undefined;
        begun.push(number);
        const loaded = new Promise<void>((resolve, reject) => ends.set(number, { resolve, reject }));
        return { bytes: 2e7, loaded } as Expert;
      },
      letGo: (number: number) => there.add(number),
    } as unknown as ExpertSlots;
    const end = async (number: number, error?: GrokError) => {
      const { resolve, reject } = ends.get(number)!;
      ends.delete(number);
      if (error === undefined) resolve();
      else reject(error);
      await new Promise((done) => setImmediate(done));
    };
    return { experts, begun, end };
  }
  const stacks = [{ standIn: {} }] as unknown as NativeWeight[];

  it("keeps a drive busy, and no more: what is not read now is read when it is asked for again", async () => {
    const { experts, begun, end } = fakeSlots(5);
    const counters = createSlotCounters();
    const { take } = createStandIns(experts, counters, (_, matrix) => matrix);
    expect(take(stacks, [0, 1, 2, 3])).toEqual([0, 1, 2, 3]);
    expect(begun).toEqual([0, 1]);
    await end(0);
    expect(take(stacks, [1, 6, 2, 3])).toEqual([1, 6, 2, 3]);
    // 1 is on its way, for 6 nothing is given up.
    expect(begun).toEqual([0, 1, 2]);
    expect(counters.stoodIn).toBe(8);
    expect(take([{}] as unknown as NativeWeight[], [4])).toEqual([]);
  });

  it("has what could not be read waited for once, by whoever is to be told", async () => {
    const { experts, begun, end } = fakeSlots(5);
    const { take } = createStandIns(experts, createSlotCounters(), (_, matrix) => matrix);
    take(stacks, [0, 1]);
    await end(0, new GrokError("io", "m.gguf: cannot be read"));
    await end(1, new GrokError("cancelled", "not wanted any more"));
    expect(take(stacks, [0, 1])).toEqual([1]);
    expect(take(stacks, [0])).toEqual([0]);
    expect(begun).toEqual([0, 1, 1, 0]);
  });
});

describe.skipIf(!addon)(`copies of experts that are not in memory${withoutAddon}`, () => {
  it("hold nothing any more where computing them was cancelled", async () => {
    const file = openGguf(join(own, "mixtral.gguf"));
    let cancels = (): boolean => false;
    const cancelled: Addon = {
      ...addon,
      createBackend(threads, isa) {
        const native = addon.createBackend(threads, isa);
        const expertParts: AddonBackend["expertParts"] = (...given) => {
          if (cancels()) throw new GrokError("cancelled", "in the middle");
          return native.expertParts(...given);
        };
        return new Proxy(native, {
          get: (all, name) => (name === "expertParts" ? expertParts : Reflect.get(all, name)),
        });
      },
    };
    const { ops, model, cache, events } = await openStreamed(file, 4, cancelled);
    await readPrompt(ops, model);
    // In the last layer, of which the prompt left some in memory.
    const last = `blk.${model.config.layers - 1}.`;
    cancels = () => events.at(-1)?.kind === "stand in" && events.at(-1)!.tensor.startsWith(last);
    const spec = { chunks: [1], pageTokens: 5, type: "f32" } as const;
    for (let token = 3; token < 15; token++) {
      await expect(forwardAll(ops, model, Int32Array.of(token), spec)).rejects.toThrow("in the middle");
    }
    // What was read behind the copies arrives, and is held by nobody either.
    const emptied = () => {
      cache.limit(0);
      return cache.used;
    };
    await expect.poll(emptied).toBe(0);
    ops.close();
    file.close();
  });

  it.each(["grok-1", "mixtral"])("of %s are computed in their place, and nothing else is changed", async (name) => {
    const file = openGguf(join(own, `${name}.gguf`));
    const tokens = readArrays(join(own, `${name}.expected.safetensors`)).get("tokens") as Int32Array;
    const chunks = [7, ...Array.from({ length: tokens.length - 7 }, () => 1)];
    const spec = { chunks, pageTokens: 5, type: "f32" } as const;
    const { ops, model, slots, cache, events } = await openStreamed(file, 4);
    await readPrompt(ops, model);
    events.length = 0;
    const before = { ...slots.counters };
    const waited = [...slots.counters.stalled];
    const replaced: Map<number, readonly number[]>[] = [];
    const logits = await forwardAll(ops, model, tokens, spec, () => {
      const stoodIn = events.splice(0).filter(({ kind }) => kind === "stand in");
      replaced.push(new Map(stoodIn.map(({ tensor, experts }) => [Number(tensor.split(".")[1]), experts])));
      expect(cache.used).toBeLessThanOrEqual(cache.bytes);
    });
    const { asked, there, stoodIn, bytesRead, stalled } = slots.counters;
    expect(stoodIn).toBe(asked - before.asked - (there - before.there));
    expect(stoodIn).toBe(replaced.flatMap((each) => [...each.values()].flat()).length);
    // Some were read meanwhile, and nobody waited.
    expect([there > before.there, stoodIn > 0, bytesRead > before.bytesRead]).toEqual([true, true, true]);
    expect(stalled).toEqual(waited);
    ops.close();

    const whole = createNative(addon, { threads: 2 });
    const expected = await forwardAll(whole, bindModel(replaceExperts(whole, replaced), file), tokens, spec);
    const exact = await forwardAll(whole, bindModel(whole, file), tokens, spec);
    const off = largest(exact, expected);
    expect(off).toBeGreaterThan(0.01);
    expect(largest(logits, expected)).toBeLessThan(off / 1000);
    whole.close();
    file.close();
  });

  it("are not where a prompt reads each expert once, nor where all is there: then the bits are the model's own", async () => {
    const file = openGguf(join(own, "grok-1.gguf"));
    const tokens = Int32Array.from({ length: 40 }, (_, i) => (i * 31) % 90);
    const chunks = [mostLossyTokens + 1, ...Array.from({ length: 40 - mostLossyTokens - 1 }, () => 1)];
    const spec = { chunks, pageTokens: 5, type: "f32" } as const;
    const whole = createNative(addon, { threads: 2 });
    const expected = await forwardAll(whole, bindModel(whole, file), tokens, spec);
    whole.close();
    const { ops, model, slots } = await openStreamed(file, 100);
    await readPrompt(ops, model);
    expect(slots.counters).toMatchObject({ stoodIn: 0, there: 0 });
    const before = slots.counters.asked;
    expect(await forwardAll(ops, model, tokens, spec)).toEqual(expected);
    expect(slots.counters).toMatchObject({ stoodIn: 0, there: slots.counters.asked - before });
    ops.close();
    file.close();
  });

  it("hide no failing drive: what cannot be read is an error with file and place soon, and the backend lives", async () => {
    const path = join(folder, "short.gguf");
    copyFileSync(join(own, "grok-1.gguf"), path);
    const file = openGguf(path);
    const { ops, model } = await openStreamed(file, 2);
    const spec = { chunks: [1], pageTokens: 5, type: "f32" } as const;
    const pass = (token: number) => forwardAll(ops, model, Int32Array.of(token), spec);
    await pass(3);
    truncateSync(path, 40_000);
    let failure: unknown;
    for (let token = 4; token < 40 && failure === undefined; token++) {
      failure = await pass(token).then(
        () => undefined,
        (error) => error,
      );
    }
    expect(failure).toMatchObject({ code: "io", message: expect.stringMatching(/short\.gguf: .*byte \d+/) });
    ops.close();
    file.close();
  });
});
