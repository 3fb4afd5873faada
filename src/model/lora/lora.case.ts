import type { LoraAdapter, LowRankTerm } from "./adapter.ts";
import type { LoraModule } from "./modules.ts";

/** Values from -1 to 1 that depend on a seed alone. */
export function noise(length: number, seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround(state / 2 ** 31 - 1);
  });
}

/** Terms of `rank` for every module that `wanted` takes. */
export function makeAdapter(
  modules: readonly LoraModule[],
  options: {
    readonly rank?: number;
    readonly alpha?: number;
    readonly seed?: number;
    readonly size?: number;
    readonly wanted?: (module: LoraModule) => boolean;
  } = {},
): LoraAdapter {
  const { rank = 3, alpha = 6, seed = 1, size = 0.2, wanted = () => true } = options;
  const terms = modules.filter(wanted).map((target, i): LowRankTerm => {
    const part = (length: number, n: number) => noise(length, seed * 7919 + i * 31 + n).map((value) => value * size);
    return {
      ...{ target, rank, scale: alpha / rank },
      a: part(rank * target.in, 1),
      b: part(target.out * rank, 2),
    };
  });
  return { path: `adapter ${seed}`, terms };
}
