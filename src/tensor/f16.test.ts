import fc from "fast-check";
import { expect, test } from "vitest";
import { bf16FromF32Bits, f16AsF32Bits, f16Values, readF16, toF16, writeF16 } from "./f16.ts";

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);
const fromF16 = (half: number) => f16Values[half]!;

function fromBf16(half: number): number {
  bits[0] = half << 16;
  return float[0]!;
}

function toBf16(value: number): number {
  float[0] = value;
  return bf16FromF32Bits(bits[0]!);
}

/** The definition of IEEE 754 binary16, in arithmetic. */
function define(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

/** Every 16-bit pattern that a check fails for: one expectation for all, for expectations are slow. */
function failing(count: number, holds: (half: number) => boolean): number[] {
  return Array.from({ length: count }, (_, half) => half).filter((half) => !holds(half));
}

test("every f16 value, there and back", () => {
  expect(failing(65536, (half) => Object.is(fromF16(half), define(half)))).toEqual([]);
  const back = failing(65536, (half) =>
    Number.isNaN(f16Values[half]!) ? (toF16(f16Values[half]!) & 0x7e00) === 0x7e00 : toF16(f16Values[half]!) === half,
  );
  expect(back).toEqual([]);
  expect(f16AsF32Bits[0x7c01]).toBe(0x7f802000);
});

test("every finite bf16 value, there and back", () => {
  const back = failing(65536, (half) =>
    (half & 0x7fff) <= 0x7f80 ? toBf16(fromBf16(half)) === half : (toBf16(fromBf16(half)) & 0x7fc0) === 0x7fc0,
  );
  expect(back).toEqual([]);
});

test("narrowing picks the nearest value, the even one on a tie", () => {
  for (const [narrow, widen, largest] of [
    [toF16, fromF16, 0x7bff],
    [toBf16, fromBf16, 0x7f7f],
  ] as const) {
    const ties = failing(largest, (half) => {
      const middle = (widen(half) + widen(half + 1)) / 2;
      const even = half & 1 ? half + 1 : half;
      return narrow(middle) === even && narrow(-middle) === (even | 0x8000);
    });
    expect(ties).toEqual([]);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: largest - 1 }), fc.double({ min: 0, max: 1, noNaN: true }), (half, t) => {
        const low = widen(half);
        const high = widen(half + 1);
        const value = Math.fround(low + (high - low) * t);
        const nearest = value - low < high - value ? half : half + 1;
        if (value - low !== high - value) expect(narrow(value)).toBe(nearest);
      }),
    );
  }
});

test("bytes are little-endian", () => {
  const bytes = new Uint8Array(4);
  writeF16(bytes, 1, 1.5);
  expect([...bytes]).toEqual([0, 0x00, 0x3e, 0]);
  expect(readF16(bytes, 1)).toBe(1.5);
});
