import type { Rope } from "../ops.ts";

/** Rotates `out` [rows, heads * headSize] in place by each row's position. See Ops.rope. */
export function rotate(out: Float64Array, rows: number, positions: Int32Array, rope: Rope): void {
  const { headSize, frequencies, magnitude } = rope;
  const pairs = frequencies.length;
  const cols = out.length / rows;
  const half = rope.pairing === "half";
  const cos = new Float64Array(pairs);
  const sin = new Float64Array(pairs);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < pairs; i++) {
      const angle = positions[row]! * frequencies[i]!;
      cos[i] = Math.cos(angle) * magnitude;
      sin[i] = Math.sin(angle) * magnitude;
    }
    for (let head = row * cols; head < (row + 1) * cols; head += headSize) {
      for (let i = 0; i < pairs; i++) {
        const a = head + (half ? i : 2 * i);
        const b = half ? a + pairs : a + 1;
        const x = out[a]!;
        const y = out[b]!;
        out[a] = x * cos[i]! - y * sin[i]!;
        out[b] = x * sin[i]! + y * cos[i]!;
      }
    }
  }
}
