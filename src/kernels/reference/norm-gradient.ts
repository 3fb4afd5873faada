/** The rule of rmsNorm: adds to dx [rows, cols] and dgain [cols] where they are given. See GradOps.rmsNormBackward. */
export function addNormGradient(
  dx: Float64Array | undefined,
  dgain: Float64Array | undefined,
  dOut: Float64Array,
  x: Float64Array,
  gain: Float32Array | Float64Array,
  rows: number,
  eps: number,
): void {
  const cols = gain.length;
  for (let start = 0; start < rows * cols; start += cols) {
    let squares = 0;
    let along = 0;
    for (let i = 0; i < cols; i++) {
      squares += x[start + i]! * x[start + i]!;
      along += gain[i]! * dOut[start + i]! * x[start + i]!;
    }
    const r = 1 / Math.sqrt(squares / cols + eps);
    const pull = (r * r * along) / cols;
    for (let i = 0; i < cols; i++) {
      if (dx !== undefined) dx[start + i]! += r * (gain[i]! * dOut[start + i]! - x[start + i]! * pull);
      if (dgain !== undefined) dgain[i]! += dOut[start + i]! * x[start + i]! * r;
    }
  }
}
