import { adaptedOf } from "./low-rank.ts";
import { parameterOf } from "./parameter.ts";
import type { ReferenceWeight } from "./weight.ts";

/** dx [n, cols] += dOut [n, rows] times matrix `index` of `weight` [rows, cols]. */
export function addProduct(
  dx: Float64Array,
  dOut: Float64Array,
  n: number,
  weight: ReferenceWeight,
  index: number,
): void {
  const { rows, cols } = weight;
  weight.eachBlock(index, (values, start, count) => {
    for (let t = 0; t < n; t++) {
      for (let row = 0; row < count; row++) {
        const factor = dOut[t * rows + start + row]!;
        for (let i = 0; i < cols; i++) dx[t * cols + i]! += factor * values[row * cols + i]!;
      }
    }
  });
}

/**
 * For matrix `index` of a weight [rows, cols], adds dOutᵀ x, of dOut [n, rows] and x [n, cols], to what of it is trained:
 * G itself for a parameter; for W + scale B A, scale * Bᵀ G to A and scale * G Aᵀ to B. Frozen weights are left alone.
 */
export function addWeightGradient(
  weight: ReferenceWeight,
  index: number,
  dOut: Float64Array,
  x: Float64Array,
  n: number,
): void {
  const { rows, cols } = weight;
  const parameter = parameterOf(weight);
  if (parameter !== undefined) {
    const gradient = parameter.parts.gradient.subarray(index * rows * cols, (index + 1) * rows * cols);
    addTransposed(gradient, dOut, x, n, rows, cols);
    return;
  }
  const adapted = adaptedOf(weight);
  if (adapted === undefined) return;
  addWeightGradient(adapted.base, index, dOut, x, n);
  const { a, b, scale } = adapted;
  const rank = a.rows;
  const down = new Float64Array(n * rank);
  a.eachBlock(index, (values) => {
    for (let t = 0; t < n; t++) {
      for (let r = 0; r < rank; r++) {
        let sum = 0;
        for (let i = 0; i < cols; i++) sum += x[t * cols + i]! * values[r * cols + i]!;
        down[t * rank + r] = scale * sum;
      }
    }
  });
  const up = new Float64Array(n * rank);
  addProduct(up, dOut, n, b, index);
  for (let i = 0; i < up.length; i++) up[i]! *= scale;
  addWeightGradient(b, index, dOut, down, n);
  addWeightGradient(a, index, up, x, n);
}

/** out [rows, cols] += aᵀ b, of a [n, rows] and b [n, cols], rows of a and b in their order. */
function addTransposed(
  out: Float64Array,
  a: Float64Array,
  b: Float64Array,
  n: number,
  rows: number,
  cols: number,
): void {
  for (let t = 0; t < n; t++) {
    for (let row = 0; row < rows; row++) {
      const factor = a[t * rows + row]!;
      if (factor === 0) continue;
      for (let i = 0; i < cols; i++) out[row * cols + i]! += factor * b[t * cols + i]!;
    }
  }
}
