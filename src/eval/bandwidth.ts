import { loadAddon } from "../addon.ts";

/** Larger than any processor's cache, so that memory is what is measured. */
const bytes = 256 * 2 ** 20;

/**
 * Bytes a second that `threads` threads read from memory: the best of some passes over a block of 256 MiB. With the
 * compiled addon this is the machine's own limit; without it, what plain JavaScript on one thread can read.
 */
export function measureBandwidth(threads: number): number {
  const { addon } = loadAddon();
  if (addon) return addon.measureBandwidth(threads, bytes);
  const values = new Float64Array(bytes / 8).fill(1);
  let best = Number.POSITIVE_INFINITY;
  for (let pass = 0; pass < 3; pass++) {
    const start = performance.now();
    const sum = sumOf(values);
    best = Math.min(best, performance.now() - start);
    // The sum has to be used, or the loop could be left out.
    if (sum !== values.length) throw new RangeError(`sum ${sum}`);
  }
  return bytes / (best / 1000);
}

/** Eight sums side by side, so that reading and not the latency of an addition sets the pace. */
function sumOf(values: Float64Array): number {
  let [a, b, c, d, e, f, g, h] = [0, 0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < values.length; i += 8) {
    a += values[i]!;
    b += values[i + 1]!;
    c += values[i + 2]!;
    d += values[i + 3]!;
    e += values[i + 4]!;
    f += values[i + 5]!;
    g += values[i + 6]!;
    h += values[i + 7]!;
  }
  return a + b + c + d + e + f + g + h;
}
