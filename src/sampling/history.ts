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
  /** The same past, to go on in another way. */
  fork(): History;
}

/** @param window number of tokens to look back over; -1: all. */
export function createHistory(window: number): History {
  // Generated tokens are the last ones: those in the window are the last `window` of them.
  return historyOf(createCounts(window), createCounts(window));
}

function historyOf(all: Counts, generated: Counts): History {
  return {
    counts: all.counts,
    generated: generated.counts,
    read: all.add,
    accept(token) {
      all.add(token);
      generated.add(token);
    },
    fork: () => historyOf(all.fork(), generated.fork()),
  };
}

interface Counts {
  readonly counts: ReadonlyMap<number, number>;
  add(token: number): void;
  fork(): Counts;
}

function createCounts(window: number, counts = new Map<number, number>(), ring: number[] = [], oldest = 0): Counts {
  return {
    counts,
    fork: () => createCounts(window, new Map(counts), [...ring], oldest),
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
