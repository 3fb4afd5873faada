/** The tokens that penalties look at: of all that the sequence has, the last `window`. */
export interface History {
  /** How often each token occurs in the window; tokens that do not occur are absent. */
  readonly counts: ReadonlyMap<number, number>;
  /** The same of generated tokens alone. */
  readonly generated: ReadonlyMap<number, number>;
  /** A token of the prompt. */
  read(token: number): void;
  /** A token that was generated; none is read after one. */
  accept(token: number): void;
}

/** @param window number of tokens to look back over; -1: all. */
export function createHistory(window: number): History {
  const all = createCounts(window);
  // Generated tokens are the last ones: those in the window are the last `window` of them.
  const generated = createCounts(window);
  return {
    counts: all.counts,
    generated: generated.counts,
    read: all.add,
    accept(token) {
      all.add(token);
      generated.add(token);
    },
  };
}

function createCounts(window: number) {
  const counts = new Map<number, number>();
  const ring: number[] = [];
  let oldest = 0;
  return {
    counts,
    add(token: number) {
      if (window === 0) return;
      if (window > 0) {
        if (ring.length < window) {
          ring.push(token);
        } else {
          const left = ring[oldest]!;
          const count = counts.get(left)! - 1;
          if (count === 0) counts.delete(left);
          else counts.set(left, count);
          ring[oldest] = token;
          oldest = (oldest + 1) % window;
        }
      }
      counts.set(token, (counts.get(token) ?? 0) + 1);
    },
  };
}
