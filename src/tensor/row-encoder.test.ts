import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { loadAddon } from "../addon.ts";
import { GrokError } from "../errors.ts";
import { decodeRow, encodeRow } from "./decode.ts";
import { createRowEncoder } from "./row-encoder.ts";
import { type TensorType, tensorTypes } from "./types.ts";

const { addon } = loadAddon() as { addon: NonNullable<ReturnType<typeof loadAddon>["addon"]> };
const why = addon === undefined ? "no native addon" : "";
const encodable = (Object.keys(tensorTypes) as TensorType[]).filter((type) => addon?.canEncode(tensorTypes[type].ggml));

/** Made by test/oracles/make_encode_errors.py: what ggml's own encoders lose on the same rows. */
const losses = JSON.parse(
  readFileSync(new URL("../../test/vectors/tensor-types/encode-errors.json", import.meta.url), "utf8"),
) as Record<string, Record<string, { plain: number | null; weighted: number }>>;

const columns = 1024;

/** The generator and rows of the oracle script, once more. */
function drawRows() {
  let state = 1234567;
  const draw = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const twelve = () => Array.from({ length: 12 }, draw).reduce((sum, x) => sum + x, 0) - 6;
  const rows = (make: () => number) => Float32Array.from({ length: 4 * columns }, make);
  const kinds = {
    normal: rows(twelve),
    uniform: rows(() => draw() * 2 - 1),
    heavy: rows(() => twelve() ** 3),
    shifted: rows(() => 3 + 0.5 * (draw() + draw())),
  };
  return { kinds, importance: Float32Array.from({ length: columns }, () => (0.1 + draw()) ** 4) };
}
const { kinds, importance } = drawRows();
const ones = new Float32Array(columns).fill(1);

/** Rows that searches stumble over: zeros, one value, spikes, what scales cannot hold, the largest, all of one sign. */
const edges = Float32Array.from({ length: 8 * columns }, (_, i) => {
  const [row, col] = [Math.floor(i / columns), i % columns];
  const wave = Math.sin(i * 12.9898) * 43.7;
  if (row === 0) return 0;
  if (row === 1) return col < 512 ? -1.5 : 2.25;
  if (row === 2) return col % 301 === 0 ? 42 : 0;
  if (row === 3) return wave * 1e-9;
  if (row === 4) return wave * 1e-38;
  if (row === 5) return col % 3 === 0 ? -65504 : 65504;
  if (row === 6) return col === 7 ? 1000 : wave * 1e-4;
  return -Math.abs(wave) - 5;
});

function loss(type: TensorType, values: Float32Array, bytes: Uint8Array, weights: Float32Array): number {
  const back = new Float32Array(values.length);
  decodeRow(type, bytes, back);
  let [off, all] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    off += weights[i % columns]! * (back[i]! - values[i]!) ** 2;
    all += weights[i % columns]! * values[i]! ** 2;
  }
  return Math.sqrt(off / all);
}

describe.skipIf(why !== "")(`the addon's encoder ${why}`, () => {
  const encoder = createRowEncoder({ threads: 2 });

  for (const [name, byKind] of Object.entries(losses).filter(([name]) => encodable.includes(name as TensorType))) {
    const type = name as TensorType;
    test(`${type} loses no more than ggml's own encoder`, () => {
      for (const [kind, { plain, weighted }] of Object.entries(byKind)) {
        const values = kinds[kind as keyof typeof kinds];
        const own = encoder.encode(type, values, columns);
        if (plain !== null) expect(loss(type, values, own, ones), kind).toBeLessThan(plain * 1.06);
        const informed = encoder.encode(type, values, columns, importance);
        expect(loss(type, values, informed, importance), `${kind}, weighted`).toBeLessThan(weighted * 1.01);
      }
    });
  }

  test.each(encodable)("%s: the same bytes on any instruction set and any number of threads", (type) => {
    const { ggml, blockSize, blockBytes } = tensorTypes[type];
    for (const values of [kinds.heavy, kinds.shifted, edges]) {
      for (const weights of [new Float32Array(0), importance]) {
        const encoded = addon.machine().isas.flatMap((isa) =>
          [1, 3].map((threads) => {
            const one = addon.createEncoder(threads, isa);
            const out = new Uint8Array((values.length / blockSize) * blockBytes);
            const from = new Uint8Array(values.buffer);
            expect(one.encode(0, from, ggml, values.length / columns, columns, weights, out)).toBe(-1);
            one.close();
            return Buffer.from(out).toString("latin1");
          }),
        );
        expect(new Set(encoded).size).toBe(1);
      }
    }
  });

  test.each(encodable)("%s: hostile rows come back as finite numbers, near where they were", (type) => {
    for (const weights of [undefined, importance]) {
      const back = new Float32Array(edges.length);
      decodeRow(type, encoder.encode(type, edges, columns, weights), back);
      expect(back.every(Number.isFinite)).toBe(true);
      expect(back.subarray(0, columns).every((x) => x === 0)).toBe(true);
      expect(back.subarray(4 * columns, 5 * columns).every((x) => Math.abs(x) < 1e-5)).toBe(true);
      for (let i = 0; i < edges.length; i++) expect(Math.abs(back[i]!)).toBeLessThanOrEqual(65504 * 1.5);
    }
  });

  test.each(["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1"] as const)(
    "%s: the bytes of the encoder in TypeScript",
    (type) => {
      for (const values of [...Object.values(kinds), edges]) {
        expect(Buffer.compare(encoder.encode(type, values, columns), encodeRow(type, values))).toBe(0);
      }
    },
  );

  test.each(["tq1_0", "tq2_0"] as const)("%s: weights that are ternary come back to the bit", (type) => {
    const scales = Array.from({ length: 16 }, (_, i) => (1024 + ((i * 389) % 1024)) * 2 ** (-26 + i));
    const values = Float32Array.from(kinds.uniform, (x, i) => {
      if (i >= 256 && i < 512) return 0;
      return scales[Math.floor(i / 256)]! * (Math.abs(x) < 1 / 3 ? 0 : Math.sign(x));
    });
    for (const weights of [undefined, importance]) {
      const back = new Float32Array(values.length);
      decodeRow(type, encoder.encode(type, values, columns, weights), back);
      expect(back.every((x, i) => x === values[i])).toBe(true);
    }
  });

  test("reads rows of other types as it goes", () => {
    const halves = encodeRow("f16", kinds.normal);
    const values = new Float32Array(kinds.normal.length);
    decodeRow("f16", halves, values);
    const out = new Uint8Array((values.length / 256) * 144);
    const one = addon.createEncoder(1, "best");
    expect(one.encode(tensorTypes.f16.ggml, halves, tensorTypes.q4_k.ggml, 4, columns, importance, out)).toBe(-1);
    expect(Buffer.compare(out, encoder.encode("q4_k", values, columns, importance))).toBe(0);
    one.close();
    const stored = { type: "f16", bytes: halves } as const;
    expect(encoder.reads("f16") && encoder.reads("q4_k") && !encoder.reads("i8")).toBe(true);
    expect(Buffer.compare(out, encoder.encode("q4_k", stored, columns, importance))).toBe(0);
    halves.set([0, 0x7c], 2 * 1500);
    expect(() => encoder.encode("q4_k", stored, columns)).toThrow(/value 1500 is Infinity/);
  });

  test("what calibration never met is rounded all the same, and importance has no unit", () => {
    const partly = importance.map((weight, i) => (i < 512 ? 0 : weight));
    const back = new Float32Array(kinds.normal.length);
    decodeRow("q4_k", encoder.encode("q4_k", kinds.normal, columns, partly), back);
    for (let i = 0; i < back.length; i++) expect(Math.abs(back[i]! - kinds.normal[i]!)).toBeLessThan(1);
    const bytes = encoder.encode("q3_k", kinds.normal, columns, importance);
    const scaled = importance.map((weight) => weight * 2 ** -60);
    expect(Buffer.compare(encoder.encode("q3_k", kinds.normal, columns, scaled), bytes)).toBe(0);
    const zeros = encoder.encode("q3_k", kinds.normal, columns, new Float32Array(columns));
    expect(Buffer.compare(zeros, encoder.encode("q3_k", kinds.normal, columns, ones))).toBe(0);
  });

  test("the first value that a type cannot hold is named, from whichever thread", () => {
    const values = Float32Array.from({ length: 512 * columns }, (_, i) => Math.sin(i));
    values[300 * columns + 17] = Number.NaN;
    values[201 * columns + 5] = Number.POSITIVE_INFINITY;
    values[201 * columns + 6] = 70000;
    const thrown = (type: TensorType) => {
      try {
        encoder.encode(type, values, columns);
      } catch (error) {
        if (error instanceof GrokError) return error;
      }
      throw new Error("nothing thrown");
    };
    for (const type of encodable) expect(thrown(type).details).toMatchObject({ index: 201 * columns + 5 });
    values[201 * columns + 5] = 1;
    expect(thrown("f16").details).toMatchObject({ index: 201 * columns + 6 });
    expect(thrown("bf16").details).toMatchObject({ index: 300 * columns + 17 });
  });

  test("rows, bytes and importance that do not fit, and a closed encoder, are refused", () => {
    expect(() => encoder.encode("q4_k", new Float32Array(300), 300)).toThrow(/do not fill blocks of 256/);
    expect(() => encoder.encode("q4_k", new Float32Array(512), 0)).toThrow(GrokError);
    expect(() => encoder.encode("q4_k", new Float32Array(512), 256, new Float32Array(255))).toThrow(/do not fit/);
    expect(() => encoder.encode("q4_k", new Float32Array(512), 256, new Float32Array(256).fill(-1))).toThrow(
      /importance/,
    );
    expect(() => encoder.encode("q8_1", new Float32Array(512), 256)).toThrow(/q8_1 cannot be encoded/);
    const closed = createRowEncoder({ threads: 1 });
    closed.close();
    expect(() => closed.encode("f16", new Float32Array(32), 32)).toThrow(/closed/);
  });
});
