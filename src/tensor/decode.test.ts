import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GrokError } from "../errors.ts";
import { canDecode, canEncode, decodeRow, encodeRow } from "./decode.ts";
import { encodedBytes, type TensorType, tensorTypes } from "./types.ts";

// Made by test/oracles/make_tensor_vectors.py with the Python gguf package.
const folder = new URL("../../test/vectors/tensor-types/", import.meta.url);
const readJson = (name: string) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
const index = readJson("index.json") as Record<"decode" | "encode", Record<string, number>>;
const digests = readJson("digests.json") as Record<string, string>;

/** The generator of the oracle script, once more: xorshift32 in [0, 1). */
function createDraw(): () => number {
  let state = 1234567;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** A copy with an offset of its own, since rows in mapped files start anywhere. */
function unaligned(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes.length + 1).subarray(1);
  copy.set(bytes);
  return copy;
}

function canonicalBits(values: Float32Array): Uint32Array {
  const bits = new Uint32Array(values.buffer.slice(values.byteOffset, values.byteOffset + values.byteLength));
  return bits.map((pattern) => ((pattern & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : pattern));
}

function relativeError(actual: Float32Array, expected: Float32Array): number {
  let difference = 0;
  let square = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    square += expected[i]! ** 2;
  }
  return Math.sqrt(difference / square);
}

describe("against the gguf package, bit for bit", () => {
  test("every type that has to run has vectors", () => {
    const types = "f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs".split(" ");
    const small = "iq1_s iq1_m iq2_xxs iq2_xs iq2_s iq3_xxs iq3_s tq1_0 tq2_0 mxfp4 nvfp4".split(" ");
    expect(Object.keys(index.decode).sort()).toEqual([...types, ...small].sort());
    expect(Object.keys(digests)).toEqual(small);
  });

  for (const [name, elements] of Object.entries(index.decode)) {
    test(`decodes ${name}`, () => {
      const type = name as TensorType;
      const file = readFileSync(new URL(`decode/${name}.bin`, folder));
      const length = encodedBytes(type, elements);
      expect(file.length).toBe(length + 4 * elements);
      const out = new Float32Array(elements);
      decodeRow(type, unaligned(file.subarray(0, length)), out);
      const expected = new Float32Array(file.buffer.slice(file.byteOffset + length, file.byteOffset + file.length));
      expect(canonicalBits(out)).toEqual(canonicalBits(expected));
    });
  }

  for (const [name, digest] of Object.entries(digests)) {
    test(`decodes every entry of ${name}'s tables`, () => {
      const { blockSize, blockBytes } = tensorTypes[name as TensorType];
      const draw = createDraw();
      const bytes = Uint8Array.from({ length: 1024 * blockBytes }, () => draw() * 256);
      const out = new Float32Array(1024 * blockSize);
      decodeRow(name as TensorType, bytes, out);
      expect(createHash("sha256").update(canonicalBits(out)).digest("hex")).toBe(digest);
    });
  }

  for (const [name, elements] of Object.entries(index.encode)) {
    test(`encodes ${name}`, () => {
      const file = readFileSync(new URL(`encode/${name}.bin`, folder));
      const values = new Float32Array(file.buffer.slice(file.byteOffset, file.byteOffset + 4 * elements));
      const encoded = encodeRow(name as TensorType, values);
      expect(Buffer.from(encoded).toString("hex")).toBe(file.subarray(4 * elements).toString("hex"));
    });
  }
});

describe("properties", () => {
  // Grids and three values put elements far from where they were: row-encoder.test.ts has what holds for these.
  const isCoarse = (type: TensorType) => /^(iq[123]_|tq)/.test(type);
  const encodable = (Object.keys(tensorTypes) as TensorType[]).filter((type) => canEncode(type) && !isCoarse(type));

  test.each(encodable)("%s: no element is further from its value than a step of its block", (type) => {
    const { blockSize } = tensorTypes[type];
    const size = Math.max(32, blockSize);
    // Largest distance, relative to the block's largest magnitude: half a step, the rounding of scales, and what a
    // least-squares fit may trade between elements.
    const bound = {
      f32: 0,
      f16: 2 ** -11,
      bf16: 2 ** -8,
      q8_0: 0.005,
      q6_k: 0.05,
      q5_0: 0.064,
      q5_1: 0.034,
      q5_k: 0.1,
      q2_k: 1,
      q3_k: 0.5,
    } as Record<string, number>;
    const worst = bound[type] ?? 0.2;
    const finite = fc.double({ min: -100, max: 100, noNaN: true });
    fc.assert(
      fc.property(fc.array(finite, { minLength: size, maxLength: size }), (numbers) => {
        const values = Float32Array.from(numbers);
        const back = new Float32Array(size);
        decodeRow(type, encodeRow(type, values), back);
        const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
        // Below 2^-13 an f16 scale itself is coarse.
        for (let i = 0; i < size; i++) {
          expect(Math.abs(back[i]! - values[i]!)).toBeLessThanOrEqual(worst * largest + 2 ** -13);
        }
      }),
      { numRuns: 60 },
    );
  });

  test.each(encodable)("%s: the largest values allowed stay finite", (type) => {
    const values = Float32Array.from({ length: 256 }, (_, i) => (i % 3 ? 65504 : -65504));
    const back = new Float32Array(256);
    decodeRow(type, encodeRow(type, values), back);
    // The sign opposite to a block of Q4_0's scale reaches 7/8 of the largest only.
    expect(relativeError(back, values)).toBeLessThan(0.13);
  });

  test("a row decodes as its blocks do", () => {
    for (const type of (Object.keys(tensorTypes) as TensorType[]).filter(canDecode)) {
      const { blockSize, blockBytes } = tensorTypes[type];
      const bytes = Uint8Array.from({ length: 5 * blockBytes }, (_, i) => (i * 97 + 13) & 0x3f);
      const whole = new Float32Array(5 * blockSize);
      decodeRow(type, bytes, whole);
      for (let b = 0; b < 5; b++) {
        const part = new Float32Array(blockSize);
        decodeRow(type, bytes.subarray(b * blockBytes, (b + 1) * blockBytes), part);
        expect(part).toEqual(whole.slice(b * blockSize, (b + 1) * blockSize));
      }
    }
  });

  test("plain numbers", () => {
    const doubles = new Float64Array([0.1, -1e300, 3]);
    const out = new Float32Array(3);
    decodeRow("f64", new Uint8Array(doubles.buffer), out);
    expect([...out]).toEqual([Math.fround(0.1), Number.NEGATIVE_INFINITY, 3]);
    decodeRow("i64", new Uint8Array(new BigInt64Array([-5n, 2n ** 40n, 7n]).buffer), out);
    expect([...out]).toEqual([-5, 2 ** 40, 7]);
    decodeRow("i32", new Uint8Array(new Int32Array([-5, 1 << 30, 7]).buffer), out);
    expect([...out]).toEqual([-5, 2 ** 30, 7]);
    decodeRow("i16", new Uint8Array(new Int16Array([-5, 300, 7]).buffer), out);
    expect([...out]).toEqual([-5, 300, 7]);
    decodeRow("i8", new Uint8Array(new Int8Array([-5, 100, 7]).buffer), out);
    expect([...out]).toEqual([-5, 100, 7]);
  });
});

describe("errors", () => {
  const thrown = (run: () => unknown): GrokError => {
    try {
      run();
    } catch (error) {
      if (error instanceof GrokError) return error;
      throw error;
    }
    throw new Error("nothing thrown");
  };

  test("types without a decoder or encoder", () => {
    expect(canDecode("q8_k")).toBe(false);
    expect(thrown(() => decodeRow("q8_k", new Uint8Array(292), new Float32Array(256))).code).toBe("unsupported");
    expect(canEncode("q8_k")).toBe(false);
    expect(thrown(() => encodeRow("q8_k", new Float32Array(256))).message).toContain("q8_k");
  });

  test("lengths that do not match, and values that would spoil a block", () => {
    expect(thrown(() => decodeRow("q4_0", new Uint8Array(17), new Float32Array(32))).code).toBe("argument");
    expect(thrown(() => decodeRow("q4_0", new Uint8Array(9), new Float32Array(16))).code).toBe("argument");
    expect(thrown(() => decodeRow("f32", new Uint8Array(7), new Float32Array(2))).code).toBe("argument");
    expect(thrown(() => encodeRow("q8_0", new Float32Array(33))).code).toBe("argument");
    expect(thrown(() => encodeRow("q8_0", new Float32Array(32), new Uint8Array(33))).code).toBe("argument");
    const values = new Float32Array(64);
    values[40] = Number.NaN;
    expect(thrown(() => encodeRow("q4_0", values)).details).toMatchObject({ index: 40 });
    values[40] = -65505;
    expect(
      thrown(() =>
        encodeRow(
          "q4_k",
          Float32Array.from({ length: 256 }, (_, i) => values[i % 64]!),
        ),
      ).message,
    ).toContain("65504");
    values[40] = Number.NaN;
    expect(encodeRow("f16", values).subarray(80, 82)).toEqual(new Uint8Array([0, 0x7e]));
  });
});
