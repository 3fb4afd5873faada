/** The tokens that penalties look at: the last `window` of those accepted. */
export interface History {
  /** How often each token occurs in the window; tokens that do not occur are absent. */
  readonly counts: ReadonlyMap<number, number>;
  accept(token: number): void;
}

/** @param window number of tokens to look back over; -1: all. */
export function createHistory(window: number): History {
  const counts = new Map<number, number>();
  const ring: number[] = [];
  let oldest = 0;
  return {
    counts,
    accept(token) {
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
