import type { Activation } from "../ops.ts";
import { gelu, silu } from "./elementwise.ts";

const sqrt2OverPi = Math.sqrt(2 / Math.PI);

/** The derivative of GELU's tanh approximation. */
function geluSlope(x: number): number {
  const t = Math.tanh(sqrt2OverPi * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt2OverPi * (1 + 3 * 0.044715 * x * x);
}

/** The derivative of SiLU. */
function siluSlope(x: number): number {
  const s = 1 / (1 + Math.exp(-x));
  return s * (1 + x * (1 - s));
}

/** A gate's values and slopes: dgate = dOut up f'(gate) and dup = dOut f(gate), element by element, through `put`. */
export function eachGateGradient(
  dOut: Float64Array,
  activation: Activation,
  gates: Float64Array,
  ups: Float64Array,
  put: (i: number, dGate: number, dUp: number) => void,
): void {
  const [f, slope] = activation === "gelu" ? [gelu, geluSlope] : [silu, siluSlope];
  for (let i = 0; i < dOut.length; i++) {
    put(i, dOut[i]! * ups[i]! * slope(gates[i]!), dOut[i]! * f(gates[i]!));
  }
}
