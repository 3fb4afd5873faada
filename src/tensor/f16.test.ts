import fc from "fast-check";
import { expect, test } from "vitest";
import { f16AsF32Bits, f16Values, fromBf16, fromF16, readF16, toBf16, toF16, writeF16 } from "./f16.ts";

/** The definition of IEEE 754 binary16, in arithmetic. */
function define(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

test("every f16 value, there and back", () => {
  for (let half = 0; half < 65536; half++) {
    expect(Object.is(fromF16(half), define(half))).toBe(true);
    if (!Number.isNaN(f16Values[half]!)) expect(toF16(f16Values[half]!)).toBe(half);
    else expect(toF16(f16Values[half]!) & 0x7e00).toBe(0x7e00);
  }
  expect(f16AsF32Bits[0x7c01]).toBe(0x7f802000);
});

test("every finite bf16 value, there and back", () => {
  for (let half = 0; half < 65536; half++) {
    if ((half & 0x7fff) <= 0x7f80) expect(toBf16(fromBf16(half))).toBe(half);
    else expect(toBf16(fromBf16(half)) & 0x7fc0).toBe(0x7fc0);
  }
});

test("narrowing picks the nearest value, the even one on a tie", () => {
  for (const [narrow, widen, largest] of [
    [toF16, fromF16, 0x7bff],
    [toBf16, fromBf16, 0x7f7f],
  ] as const) {
    for (let half = 0; half < largest; half++) {
      const low = widen(half);
      const high = widen(half + 1);
      const middle = (low + high) / 2;
      const even = half & 1 ? half + 1 : half;
      expect(narrow(middle)).toBe(even);
      expect(narrow(-middle)).toBe(even | 0x8000);
    }
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
