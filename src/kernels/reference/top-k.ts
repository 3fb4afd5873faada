/** Of x [n, cols] each row's k largest values, their columns and log Σ exp. See Ops.topK. */
export function largest(
  x: Float64Array,
  n: number,
  cols: number,
  k: number,
  values: Float64Array,
  indices: Float64Array,
  logSumExp: Float64Array,
): void {
  for (let t = 0; t < n; t++) {
    const row = x.subarray(t * cols, (t + 1) * cols);
    const precedes = (i: number, j: number) => {
      const [a, b] = [row[i]!, row[j]!];
      if (a > b) return -1;
      return b > a ? 1 : Number(Number.isNaN(a)) - Number(Number.isNaN(b)) || i - j;
    };
    const order: number[] = [];
    for (let i = 0; i < cols; i++) {
      if (order.length === k && precedes(order[k - 1]!, i) < 0) continue;
      let at = Math.min(order.length, k - 1);
      for (; at > 0 && precedes(i, order[at - 1]!) < 0; at--) order[at] = order[at - 1]!;
      order[at] = i;
    }
    for (let i = 0; i < k; i++) {
      indices[t * k + i] = order[i]!;
      values[t * k + i] = row[order[i]!]!;
    }
    logSumExp[t] = logSumOf(row);
  }
}

/** log Σ exp of a row; of infinities all of the sum, or none of it. */
export function logSumOf(row: Float64Array): number {
  const top = row.reduce((most, value) => (value <= most ? most : value), Number.NEGATIVE_INFINITY);
  if (Number.isNaN(top) || row.some((value) => Number.isNaN(value))) return Number.NaN;
  return Number.isFinite(top) ? top + Math.log(row.reduce((sum, value) => sum + Math.exp(value - top), 0)) : top;
}
