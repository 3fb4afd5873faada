import type { Activation } from "../ops.ts";

const sqrt2OverPi = Math.sqrt(2 / Math.PI);

/** GELU, tanh approximation: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x³))). Hendrycks & Gimpel (2016). */
export function gelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(sqrt2OverPi * (x + 0.044715 * x * x * x)));
}

/** SiLU: x / (1 + e^-x). */
export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

function activationOf(activation: Activation): (x: number) => number {
  return activation === "gelu" ? gelu : silu;
}

/** out = activation(gate) * up; `out` may be one of the operands. */
export function gate(out: Float64Array, activation: Activation, gates: Float64Array, ups: Float64Array): void {
  const f = activationOf(activation);
  for (let i = 0; i < out.length; i++) out[i] = f(gates[i]!) * ups[i]!;
}

/** out = a + b; `out` may be one of the operands. */
export function addInto(out: Float64Array, a: Float64Array, b: Float64Array): void {
  for (let i = 0; i < out.length; i++) out[i] = a[i]! + b[i]!;
}

/** out = x * factor; `out` may be `x`. */
export function scaleInto(out: Float64Array, x: Float64Array, factor: number): void {
  for (let i = 0; i < out.length; i++) out[i] = x[i]! * factor;
}

/** out = cap * tanh(x / cap); `out` may be `x`. */
export function softcapInto(out: Float64Array, x: Float64Array, cap: number): void {
  for (let i = 0; i < out.length; i++) out[i] = cap * Math.tanh(x[i]! / cap);
}

/** out = x / sqrt(mean(x²) + eps) * gain, a row at a time. Zhang & Sennrich, RMSNorm (2019). */
export function normalize(
  out: Float64Array,
  x: Float64Array,
  gain: Float32Array | Float64Array,
  rows: number,
  eps: number,
): void {
  const cols = gain.length;
  for (let row = 0; row < rows; row++) {
    const start = row * cols;
    let sum = 0;
    for (let i = 0; i < cols; i++) sum += x[start + i]! * x[start + i]!;
    const factor = 1 / Math.sqrt(sum / cols + eps);
    for (let i = 0; i < cols; i++) out[start + i] = x[start + i]! * factor * gain[i]!;
  }
}
