/**
 * The search for scales that the K types' encoders share: try several step sizes around the obvious one, round the
 * elements to each, solve for the scale that then fits best in the weighted least-squares sense, and keep the best.
 * Large elements weigh more, for they carry more of a matrix product.
 */
export interface AffineFit {
  scale: number;
  min: number;
}

/** Step sizes tried around the plain one, in tenths of a level. */
const affineSteps = 10;
const scaleSteps = 9;

/**
 * Fits x ≈ scale * q - min with q in 0..levels and scale, min ≥ 0 over `values[start .. start + count)`, weights
 * rms(x) + |x|. Writes into `fit`.
 */
export function fitAffine(values: Float32Array, start: number, count: number, levels: number, fit: AffineFit): void {
  let low = 0;
  let high = values[start]!;
  let squares = 0;
  for (let i = start; i < start + count; i++) {
    const x = values[i]!;
    if (x < low) low = x;
    if (x > high) high = x;
    squares += x * x;
  }
  fit.scale = 0;
  fit.min = -low;
  if (high <= low) return;
  const rms = Math.sqrt(squares / count);
  let best = Number.POSITIVE_INFINITY;
  for (let step = -affineSteps; step <= affineSteps; step++) {
    const perUnit = (levels + 0.1 * step) / (high - low);
    let w1 = 0;
    let wx = 0;
    let wq = 0;
    let wxx = 0;
    let wxq = 0;
    let wqq = 0;
    for (let i = start; i < start + count; i++) {
      const x = values[i]!;
      const q = Math.min(levels, Math.floor((x - low) * perUnit + 0.5));
      const w = rms + Math.abs(x);
      w1 += w;
      wx += w * x;
      wq += w * q;
      wxx += w * x * x;
      wxq += w * x * q;
      wqq += w * q * q;
    }
    if (wqq === 0) continue;
    const determinant = w1 * wqq - wq * wq;
    let scale = (w1 * wxq - wx * wq) / determinant;
    let offset = (wqq * wx - wq * wxq) / determinant;
    // The min cannot raise values. Nor can it be solved for where all elements share one quant (then all are positive).
    if (!(determinant > 1e-9 * w1 * wqq) || offset > 0) {
      offset = 0;
      scale = wxq / wqq;
    }
    // At the optimum the residual is orthogonal to the fit, so this is the weighted squared error.
    const error = wxx - scale * wxq - offset * wx;
    if (error < best && scale > 0) {
      best = error;
      fit.scale = scale;
      fit.min = -offset;
    }
  }
}

/**
 * The scale (of either sign, 0 for zeros) that fits x ≈ scale * q with q in -levels .. levels - 1 best, weights x².
 */
export function fitScale(values: Float32Array, start: number, count: number, levels: number): number {
  let extreme = 0;
  for (let i = start; i < start + count; i++) if (Math.abs(values[i]!) > Math.abs(extreme)) extreme = values[i]!;
  if (extreme === 0) return 0;
  let scale = 0;
  let best = 0;
  for (let step = -scaleSteps; step <= scaleSteps; step++) {
    const perUnit = -(levels + 0.1 * step) / extreme;
    let wxq = 0;
    let wqq = 0;
    for (let i = start; i < start + count; i++) {
      const x = values[i]!;
      const q = Math.max(-levels, Math.min(levels - 1, Math.floor(x * perUnit + 0.5)));
      const w = x * x;
      wxq += w * x * q;
      wqq += w * q * q;
    }
    // Least squares leaves Σwx² - wxq²/wqq, so the largest gain has the smallest error.
    if (wqq > 0 && wxq * wxq > best * wqq) {
      best = (wxq * wxq) / wqq;
      scale = wxq / wqq;
    }
  }
  return scale;
}
