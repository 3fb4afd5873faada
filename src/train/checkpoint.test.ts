import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { writeSafetensors } from "../formats/safetensors/write.ts";
import { createRandom } from "../sampling/random.ts";
import { train } from "./run.ts";
import { listCheckpoints, openCheckpoint } from "./run-checkpoint.ts";
import { lastTensors, makeToy } from "./toy.case.ts";

const fault = vi.hoisted(() => ({ file: "", code: "" }));

/** The real file system, but for files whose name `fault` has a part of: writing them fails. */
vi.mock("node:fs/promises", async (original) => {
  const fs = await original<typeof import("node:fs/promises")>();
  return {
    ...fs,
    async open(path: string, flags: string, mode?: number) {
      const file = await fs.open(path, flags, mode);
      if (fault.file !== "" && path.includes(fault.file)) {
        file.write = async () => {
          throw Object.assign(new Error("injected"), { code: fault.code });
        };
      }
      return file;
    },
  };
});

afterEach(() => void Object.assign(fault, { file: "", code: "" }));
// Checkpoints are flushed to the disk, which others may keep busy.
vi.setConfig({ testTimeout: 120_000 });
const toy = makeToy();
afterAll(() => rmSync(toy.folder, { recursive: true, force: true }));

const trained = toy.config();
const running = train(trained, { backend: "reference" });

/** A run's folder with one checkpoint, a copy of the trained one's last. */
async function copyRun() {
  await running;
  const config = toy.config();
  const { path } = listCheckpoints(trained.out).at(-1)!;
  const copy = path.replace(trained.out, config.out);
  mkdirSync(dirname(copy));
  copyFileSync(path, copy);
  return { config, path: copy };
}

describe("a damaged checkpoint", () => {
  it("is refused by name wherever a bit of it changed", async () => {
    const { config, path } = await copyRun();
    const whole = readFileSync(path);
    const random = createRandom(3);
    const headerEnd = 8 + Number(whole.readBigUInt64LE(0));
    const places = [
      ...Array.from({ length: 12 }, () => headerEnd + Math.floor(random.uniform() * (whole.length - headerEnd))),
      whole.indexOf('\\"step\\":') + 9,
    ];
    for (const place of places) {
      const damaged = Buffer.from(whole);
      damaged[place]! ^= 1;
      writeFileSync(path, damaged);
      expect(() => openCheckpoint(path), `byte ${place}`).toThrow(
        expect.objectContaining({ code: "format", message: expect.stringContaining(path) }),
      );
    }
    await expect(train(config, { backend: "reference", resume: true })).rejects.toMatchObject({ code: "format" });
    writeFileSync(path, whole);
    openCheckpoint(path).close();
  });

  it("is refused when it was cut off, empty, or something else", async () => {
    const { path } = await copyRun();
    const { length } = readFileSync(path);
    for (const size of [length - 1, length >> 1, 20, 3, 0]) {
      truncateSync(path, size);
      expect(() => openCheckpoint(path), `${size} bytes`).toThrow(
        expect.objectContaining({ code: "format", message: expect.stringContaining(path) }),
      );
    }
    await writeSafetensors(path, [{ name: "a", dtype: "F32", shape: [1], data: new Uint8Array(4) }]);
    expect(() => openCheckpoint(path)).toThrow(/not a checkpoint/);
  });

  it("is refused for another model and for other data", async () => {
    const { config } = await copyRun();
    const resume = (changes: object) => train({ ...config, ...changes }, { backend: "reference", resume: true });
    await expect(resume({ model: { ...config.model, layers: 1 } })).rejects.toMatchObject({
      code: "argument",
      message: expect.stringMatching(/layers 2.* 1$/),
    });
    await expect(resume({ seed: 6 })).rejects.toMatchObject({ code: "argument" });
  });
});

describe("a full disk", () => {
  it.each(["ENOSPC", "EDQUOT"])(
    "ends the run by name (%s), and the earlier checkpoint serves to go on",
    async (code) => {
      await running;
      const config = toy.config();
      Object.assign(fault, { file: "step-00000004", code });
      await expect(train(config, { backend: "reference" })).rejects.toMatchObject({
        code: "io",
        message: expect.stringContaining("step-00000004"),
        details: { code },
      });
      expect(readdirSync(join(config.out, "checkpoints"))).toEqual(["step-00000002.safetensors"]);
      fault.file = "";
      await train(config, { backend: "reference", resume: true });
      expect(lastTensors(config)).toEqual(lastTensors(trained));
    },
  );

  it("leaves no half of a model", async () => {
    const config = toy.config({ steps: 3 });
    Object.assign(fault, { file: ".gguf", code: "ENOSPC" });
    await expect(train(config, { backend: "reference" })).rejects.toMatchObject({ code: "io" });
    expect(readdirSync(config.out).sort()).toEqual(["checkpoints", "log.jsonl", "loss.svg"]);
  });
});
