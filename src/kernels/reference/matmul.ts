import type { ReferenceWeight } from "./weight.ts";

/** Dot product in float64 of `values` with x[start ...]; four sums, so that additions need not wait for one another. */
export function dot(values: Float32Array, x: Float64Array, start: number): number {
  const n = values.length;
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = 0;
  for (; i + 3 < n; i += 4) {
    a += values[i]! * x[start + i]!;
    b += values[i + 1]! * x[start + i + 1]!;
    c += values[i + 2]! * x[start + i + 2]!;
    d += values[i + 3]! * x[start + i + 3]!;
  }
  for (; i < n; i++) a += values[i]! * x[start + i]!;
  return a + b + (c + d);
}

/**
 * out [n, rows] = x [n, cols] times matrix `index` of `weight` [rows, cols], transposed. A weight's row is decoded once and
 * used for all n.
 */
export function multiply(out: Float64Array, x: Float64Array, n: number, weight: ReferenceWeight, index: number): void {
  const { rows, cols } = weight;
  weight.eachRow(index, (values, row) => {
    for (let t = 0; t < n; t++) out[t * rows + row] = dot(values, x, t * cols);
  });
}
