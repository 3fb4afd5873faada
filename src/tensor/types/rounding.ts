/**
 * What the round-to-nearest quantizers share. Their arithmetic is float32, one rounding an operation, so that the bytes
 * come out as the ggml reference's do: hence the `fround`s here and there.
 */

/** 1 / d in float32; 0 where that is none, so that a block of zeros, or of what no f16 scale holds, has zero quants. */
export function inverse(d: number): number {
  const inverse = Math.fround(1 / d);
  return Number.isFinite(inverse) ? inverse : 0;
}

/** The first element of the largest magnitude among `values[start .. start + count)`, with its sign. */
export function extreme(values: Float32Array, start: number, count: number): number {
  let found = values[start]!;
  for (let i = start + 1; i < start + count; i++) if (Math.abs(values[i]!) > Math.abs(found)) found = values[i]!;
  return found;
}

/** Smallest and largest element of `values[start .. start + count)`. */
export function range(values: Float32Array, start: number, count: number): { low: number; high: number } {
  let low = values[start]!;
  let high = low;
  for (let i = start + 1; i < start + count; i++) {
    const value = values[i]!;
    if (value < low) low = value;
    else if (value > high) high = value;
  }
  return { low, high };
}

/** x rounded to the nearest whole number, halves away from zero. */
export function roundAway(x: number): number {
  return x < 0 ? -Math.floor(0.5 - x) : Math.floor(x + 0.5);
}
