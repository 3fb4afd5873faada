/** out = softmax of each row of `x` [rows, cols]. */
export function softmaxRows(out: Float64Array, x: Float64Array, rows: number, cols: number): void {
  for (let start = 0; start < rows * cols; start += cols) {
    let max = -Infinity;
    for (let i = 0; i < cols; i++) max = Math.max(max, x[start + i]!);
    let sum = 0;
    for (let i = 0; i < cols; i++) {
      const e = Math.exp(x[start + i]! - max);
      out[start + i] = e;
      sum += e;
    }
    for (let i = 0; i < cols; i++) out[start + i]! /= sum;
  }
}

/**
 * The `used` largest of each row of `probabilities` [rows, experts], largest first, the lower index winning a tie, into
 * `chosen` and `weights` [rows, used]; with `renormalize` each row's weights sum to one.
 */
export function choose(
  probabilities: Float64Array,
  rows: number,
  experts: number,
  used: number,
  renormalize: boolean,
  chosen: Float64Array,
  weights: Float64Array,
): void {
  const order = new Array<number>(experts);
  for (let row = 0; row < rows; row++) {
    const p = probabilities.subarray(row * experts, (row + 1) * experts);
    for (let e = 0; e < experts; e++) order[e] = e;
    order.sort((a, b) => p[b]! - p[a]! || a - b);
    let sum = 0;
    for (let i = 0; i < used; i++) {
      chosen[row * used + i] = order[i]!;
      weights[row * used + i] = p[order[i]!]!;
      sum += p[order[i]!]!;
    }
    if (renormalize) for (let i = 0; i < used; i++) weights[row * used + i]! /= sum;
  }
}
