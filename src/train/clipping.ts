/**
 * The factor on all gradients that brings their common norm down to `limit`, 1 where it is not above. Pascanu et al. (2013);
 * the small term under the line is PyTorch's.
 */
export function clippingFactor(norm: number, limit: number): number {
  return Math.min(1, limit / (norm + 1e-6));
}
