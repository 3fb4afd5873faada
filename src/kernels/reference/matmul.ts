import type { ReferenceWeight } from "./weight.ts";

/**
 * out [n, rows] = x [n, cols] times matrix `index` of `weight` [rows, cols], transposed. A weight is decoded once and used for
 * all n. Four of its rows go together: the sums do not wait for one another, and a value of x is loaded once for four.
 */
export function multiply(out: Float64Array, x: Float64Array, n: number, weight: ReferenceWeight, index: number): void {
  const { rows, cols } = weight;
  weight.eachBlock(index, (values, start, count) => {
    let row = 0;
    for (; row + 3 < count; row += 4) {
      const a = row * cols;
      const b = a + cols;
      const c = b + cols;
      const d = c + cols;
      for (let t = 0; t < n; t++) {
        const from = t * cols;
        let sumA = 0;
        let sumB = 0;
        let sumC = 0;
        let sumD = 0;
        for (let i = 0; i < cols; i++) {
          const value = x[from + i]!;
          sumA += values[a + i]! * value;
          sumB += values[b + i]! * value;
          sumC += values[c + i]! * value;
          sumD += values[d + i]! * value;
        }
        const to = t * rows + start + row;
        out[to] = sumA;
        out[to + 1] = sumB;
        out[to + 2] = sumC;
        out[to + 3] = sumD;
      }
    }
    for (; row < count; row++) {
      for (let t = 0; t < n; t++) {
        let sum = 0;
        for (let i = 0; i < cols; i++) sum += values[row * cols + i]! * x[t * cols + i]!;
        out[t * rows + start + row] = sum;
      }
    }
  });
}
