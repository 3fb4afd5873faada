import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { startHub } from "../../test/support/hub-server.ts";
import { planQuantization } from "../convert/quantize.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { webDefaults } from "../hub/request.ts";
import { describeModel } from "../model/describe.ts";
import { elementCount } from "../tensor/tensor.ts";
import { encodedBytes } from "../tensor/types.ts";
import { type Capacity, estimate, type Kernels } from "./estimate.ts";
import { tabledKernels } from "./kernel-rates.ts";
import { knownModels, knownShape } from "./known-models.ts";
import { type PlanMachine, readMachine } from "./machine.ts";
import { bitsOf, bytesPerToken, inMixture, inType, shapeOf } from "./model-shape.ts";
import { planFor } from "./plan.ts";
import { openRemoteGguf } from "./remote.ts";

const root = resolve(import.meta.dirname, "../..");
const models = join(root, "test/vectors/models");
const machines = join(root, "docs/machines");
const folder = mkdtempSync(join(tmpdir(), "grok1-plan-"));
afterAll(() => rmSync(folder, { recursive: true }));

const grok1 = knownShape("grok-1")!;
const options = { context: 8192, kvType: "f16" } as const;
/** Everything takes its bytes' time at 100 GB a second, a product of many tokens as long for each as for one. */
const plain: Kernels = {
  product: async (type, rows, columns, tokens) => (tokens * encodedBytes(type, rows * columns)) / 1e11,
  experts: async ({ types, width, hidden, used }, tokens) =>
    types.reduce((sum, type) => sum + (tokens * used * encodedBytes(type, hidden * width)) / 1e11, 0),
  rest: async () => 0,
};
const capacity = (memory: number): Capacity => ({ memory, memoryBandwidth: 1e11, diskBandwidth: 2e9 });

describe("a model's shape", () => {
  it("of Grok-1 is the published one", () => {
    const parameters = grok1.matrices.reduce((sum, { count, rows, columns }) => sum + count * rows * columns, 0);
    expect(parameters / 1e9).toBeCloseTo(315.7, 1);
    const { all, experts } = bytesPerToken(inType(grok1, "q4_k"));
    expect(all / 1e9).toBeCloseTo(47, 0);
    expect(experts / all).toBeGreaterThan(0.9);
    // At 3.1 bits a weight it is 32 GB.
    expect(((bytesPerToken(inType(grok1, "q3_k")).all / 1e9) * 3.1) / 3.4375).toBeCloseTo(32, 0);
    expect(bitsOf(inType(grok1, "q6_k"))).toBeCloseTo(6.5625, 2);
  });

  it.each(readdirSync(models).filter((name) => name.endsWith(".gguf")))(
    "of %s reads what describing it says",
    (name) => {
      const file = openGguf(join(models, name));
      const shape = shapeOf(file, name);
      const { bytes, bytesPerToken: read, config } = describeModel(file);
      const vectors = [...file.tensors.values()].filter((tensor) => tensor.shape.length < 2);
      const vectorBytes = vectors.reduce(
        (sum, { type, shape: axes }) => sum + encodedBytes(type, elementCount(axes)),
        0,
      );
      expect(shape.bytes).toBe(bytes);
      expect(shape.config).toEqual(config);
      const embeddingRow = file.tensors.has("output.weight")
        ? file.tensor("token_embd.weight").byteLength / config!.vocab
        : 0;
      expect(Math.round(bytesPerToken(shape).all + vectorBytes + embeddingRow)).toBe(read);
      file.close();
    },
  );

  it("is known of models by name, in any type", () => {
    for (const name of knownModels) {
      const shape = knownShape(name)!;
      expect(shape.config.layers * shape.config.width).toBeGreaterThan(0);
      for (const type of ["q8_0", "q2_k"] as const) expect(inType(shape, type).bytes).toBeLessThan(shape.bytes);
    }
    expect(knownShape("Grok-1")).toBeDefined();
    expect(knownShape("grok-17")).toBeUndefined();
  });
});

describe("an estimate", () => {
  const q4 = inType(grok1, "q4_0");

  it("of what stays in memory waits for it", async () => {
    const found = await estimate(q4, capacity(300e9), plain, options);
    expect(found).toMatchObject({ onDisk: 0, diskPerToken: 0, size: q4.bytes, decodeLimit: "memory bandwidth" });
    expect(found!.kv).toBe(2 * 64 * 8 * 128 * 2 * 8192);
    expect(1 / found!.decode).toBeCloseTo(bytesPerToken(q4).all / 1e11, 3);
    // What follows attention in the last layer is for the prompt's last token alone, and so is the output matrix.
    expect(found!.prefill).toBeGreaterThan(found!.decode);
    expect(found!.prefill).toBeLessThan(1.1 * found!.decode);
  });

  it("of a mixture that does not fit reads what is absent of the experts it needs", async () => {
    const { kv, scratch } = (await estimate(q4, capacity(300e9), plain, options))!;
    const experts = q4.matrices.filter(({ count }) => count > 1).reduce((sum, { bytes }) => sum + bytes, 0);
    const memory = kv + scratch + (q4.bytes - experts) + experts / 2;
    const found = (await estimate(q4, capacity(memory), plain, options))!;
    expect(found.onDisk / experts).toBeCloseTo(0.5, 6);
    expect(found.diskPerToken / bytesPerToken(q4).experts).toBeCloseTo(0.5, 6);
    expect(found.decodeLimit).toBe("disk");
    expect(1 / found.decode).toBeCloseTo(bytesPerToken(q4).all / 1e11 + found.diskPerToken / 2e9, 3);
    const unknownDisk = await estimate(q4, { ...capacity(memory), diskBandwidth: undefined }, plain, options);
    expect(unknownDisk).toMatchObject({ decode: Number.NaN, decodeLimit: "disk", prefillLimit: "disk" });
  });

  it("of a dense model that does not fit reads all of it for each token", async () => {
    const dense = knownShape("llama-3-70b")!;
    const found = (await estimate(dense, capacity(0.9 * dense.bytes), plain, options))!;
    expect(found.diskPerToken).toBeCloseTo(bytesPerToken(dense).all, -3);
    expect(await estimate(dense, capacity(1e9), plain, options)).toMatchObject({ decodeLimit: "memory size" });
  });

  it("is none for a type that does not run", async () => {
    expect(await estimate(q4, capacity(300e9), { ...plain, experts: async () => undefined }, options)).toBeUndefined();
  });

  it("has more memory, a faster disk and faster memory never make slower", async () => {
    const speed = async (memory: number, disk: number, bandwidth: number) => {
      const machine = {
        ...machineNamed("desktop-64gb"),
        availableBytes: memory,
        memoryBandwidth: bandwidth,
        diskBandwidth: disk,
      };
      return (await estimate(q4, { ...machine, memory }, tabledKernels(machine), options))!.decode;
    };
    let before = 0;
    for (const memory of [20e9, 60e9, 120e9, 170e9, 200e9, 400e9]) {
      const now = await speed(memory, 5e9, 7e10);
      expect(now).toBeGreaterThanOrEqual(before);
      expect(await speed(memory, 1e10, 7e10)).toBeGreaterThanOrEqual(now);
      expect(await speed(memory, 5e9, 1.4e11)).toBeGreaterThanOrEqual(now);
      before = now;
    }
  });
});

function machineNamed(name: string): PlanMachine {
  return readMachine(join(machines, `${name}.json`));
}

describe("a plan", () => {
  const plan = (machine: PlanMachine, shape = grok1, own = false) =>
    planFor(shape, own, machine, tabledKernels(machine), options);

  it("recommends what stays in memory, in as many bits as tell", async () => {
    const types = await Promise.all(
      ["desktop-64gb", "desktop-128gb", "unified-192gb", "workstation-256gb", "workstation-512gb"].map(
        async (name) => (await plan(machineNamed(name))).recommended!,
      ),
    );
    const bits = types.map((row) => row.bits);
    expect([...bits].sort((a, b) => a - b)).toEqual(bits);
    expect(types[0]!.estimate.onDisk).toBeGreaterThan(0);
    for (const { estimate: found } of types.slice(1)) expect(found.onDisk).toBe(0);
    expect(types.at(-1)!.quantization).toBe("q6_k");
  });

  it("has types and the usual mixtures by size, mixtures as the quantizer writes them", async () => {
    const { rows } = await plan(machineNamed("desktop-128gb"));
    const sizes = rows.map(({ estimate: { size } }) => size);
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    const gigabytes = Object.fromEntries(rows.map((row) => [row.quantization, Math.round(row.estimate.size / 1e9)]));
    // Of Grok-1 as published by llama.cpp's quantizer, but for importance: 116 GB of Q2_K.
    expect(gigabytes).toMatchObject({ q4_k: 178, Q4_K_M: 192, Q2_K: 116, IQ3_XS: 130 });
    const path = join(models, "mixtral.gguf");
    const file = openGguf(path);
    const small = shapeOf(file, "m");
    file.close();
    for (const mixture of ["Q4_K_M", "Q3_K_L", "IQ3_M", "Q2_K"]) {
      const { tensors } = planQuantization({ source: path, type: mixture, requantize: true });
      const written = new Map(tensors.map(({ name, type }) => [name, type]));
      for (const { name, type } of inMixture(small, mixture).matrices) {
        expect([mixture, name, type]).toEqual([mixture, name, written.get(name)]);
      }
    }
  });

  it("says what would help most", async () => {
    // Less than half of the smallest file: the disk holds everything up. With nearly all of it, taking one-bit codes apart does.
    const tight = { ...machineNamed("desktop-64gb"), availableBytes: 24e9 };
    expect((await plan(tight)).changes[0]!.what).toMatch(/memory|disk/);
    expect((await plan(machineNamed("workstation-512gb"))).changes[0]!.what).toBe("memory twice as fast");
    const small = { ...machineNamed("desktop-64gb"), availableBytes: 1e9 };
    expect(await plan(small)).toMatchObject({
      recommended: undefined,
      why: expect.stringMatching(/shorter context/),
      changes: [],
    });
  });

  it("recommends what reads least of a disk whose speed is not known, and promises nothing", async () => {
    const unknown = { ...machineNamed("desktop-64gb"), diskBandwidth: undefined };
    const { recommended, why, changes, rows } = await plan(unknown);
    const least = Math.min(...rows.map(({ estimate }) => estimate.diskPerToken));
    expect(least).toBeGreaterThan(0);
    expect(recommended!.estimate.diskPerToken).toBe(least);
    expect(why).toMatch(/speed is not known/);
    expect(changes).toEqual([]);
  });

  it("comes near what people measured of Grok-1 elsewhere", async () => {
    // A Threadripper with 256 GB: 0.5 tokens a second by llama.cpp; four channels of DDR4-3200, read at 70 GB a second.
    const threadripper = { ...machineNamed("workstation-256gb"), memoryBandwidth: 70e9 };
    const fits = (await plan(threadripper)).rows.filter(({ bits, estimate: { onDisk } }) => onDisk === 0 && bits > 4);
    for (const { estimate: found } of fits) expect(found.decode).toBeGreaterThan(0.5);
    for (const { estimate: found } of fits) expect(found.decode).toBeLessThan(5);
    // A laptop of 128 GB and a larger file, read by page faults at 1 GB a second: 0.02.
    const laptop = { ...machineNamed("desktop-128gb"), diskBandwidth: 1e9, availableBytes: 110e9 };
    const larger = (await plan(laptop)).rows.find(({ quantization }) => quantization === "q4_0")!;
    expect(larger.estimate.decode).toBeGreaterThan(0.01);
    expect(larger.estimate.decode).toBeLessThan(0.2);
  });

  it("has a file's own types first", async () => {
    const file = openGguf(join(models, "mixtral.gguf"));
    const { rows } = await plan(machineNamed("desktop-64gb"), shapeOf(file, "m"), true);
    expect(rows[0]!.quantization).toBe("as it is");
    file.close();
  });
});

describe("a machine's description", () => {
  it("is right in all that are shipped", () => {
    const names = readdirSync(machines);
    expect(names.length).toBeGreaterThanOrEqual(6);
    for (const name of names) expect(readMachine(join(machines, name)).availableBytes).toBeGreaterThan(5e10);
    expect(machineNamed("four-24gb-gpus").gpus).toHaveLength(4);
    expect(machineNamed("unified-192gb").gpus).toMatchObject([{ unified: true, memoryBytes: undefined }]);
  });

  const good = JSON.parse(readFileSync(join(machines, "four-24gb-gpus.json"), "utf8"));
  it.each([
    [{ name: 3 }, /name is 3/],
    [{ cores: 1.5 }, /cores is 1.5/],
    [{ cores: 0 }, /cores is 0/],
    [{ isa: "sse" }, /isa is "sse", expected avx2/],
    [{ memoryGB: "64" }, /memoryGB is "64"/],
    [{ diskGBs: -1 }, /diskGBs is -1/],
    [{ memoryGBs: undefined }, /memoryGBs is undefined/],
    [{ gpus: 1 }, /gpus is 1/],
    [{ gpus: [{}] }, /gpus\[0\]\.name/],
    [{ gpus: [null] }, /gpus\[0\]\.name/],
    [{ memmory: 1 }, /memmory is 1, expected one of name/],
  ])("is refused with %j", (change, message) => {
    const path = join(folder, "machine.json");
    writeFileSync(path, JSON.stringify({ ...good, ...change }));
    expect(() => readMachine(path)).toThrow(
      expect.objectContaining({ code: "format", message: expect.stringMatching(message) }),
    );
  });
});

describe("a remote file's header", () => {
  it("is read by ranges, of all parts, and as long as it is", async () => {
    const formats = join(root, "test/vectors/formats");
    const parts = [1, 2, 3].map((n) => `split-0000${n}-of-00003.gguf`);
    const files = Object.fromEntries(parts.map((name) => [`x/${name}`, readFileSync(join(formats, name))]));
    const hub = await startHub({ ...files, "m.gguf": readFileSync(join(models, "grok-1.gguf")) });
    const web = { ...webDefaults, endpoint: hub.endpoint, attempts: 2, pauseSeconds: 0.001 };
    try {
      const file = await openRemoteGguf(web, `${hub.fileHost}/m.gguf`);
      const local = openGguf(join(models, "grok-1.gguf"));
      const named = ({
        name,
        shape,
        type,
        offset,
      }: {
        name: string;
        shape: readonly number[];
        type: string;
        offset: number;
      }) => [name, shape, type, offset];
      expect([...file.tensors.values()].map(named)).toEqual([...local.tensors.values()].map(named));
      expect(shapeOf(file, "m").bytes).toBe(shapeOf(local, "m").bytes);
      expect(() => file.tensors.values().next().value!.places[0]).not.toThrow();
      const split = await openRemoteGguf(web, `${hub.endpoint}/me/model/resolve/${hub.commit}/x/${parts[1]}`);
      expect(split.tensors.size).toBe(openGguf(join(formats, parts[1]!)).tensors.size);
      hub.serve = ({ response }) => response.end("<html>");
      await expect(openRemoteGguf(web, `${hub.fileHost}/m.gguf`)).rejects.toMatchObject({
        code: expect.stringMatching(/io|format/),
      });
      await expect(openRemoteGguf(web, `${hub.endpoint}/none.gguf`)).rejects.toMatchObject({ code: "io" });
      local.close();
    } finally {
      await hub.close();
    }
  });
});
