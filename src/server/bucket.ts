/**
 * A share of something that comes back with time (a token bucket): `most` at first and at any time, all of it within `seconds`. What is
 * taken beyond it is a debt that the time to come pays.
 */
export interface Bucket {
  readonly most: number;
  /** What is there; negative: a debt. */
  left(): number;
  take(amount: number): void;
  /** Seconds until `amount` is there. */
  wait(amount: number): number;
}

/** @param now seconds on a clock that never goes back */
export function createBucket(most: number, seconds: number, now: () => number): Bucket {
  let level = most;
  let at = now();
  const left = () => {
    const time = now();
    level = Math.min(most, level + ((time - at) * most) / seconds);
    at = time;
    return level;
  };
  return {
    most,
    left,
    take(amount) {
      level = left() - amount;
    },
    wait: (amount) => Math.max(0, ((amount - left()) * seconds) / most),
  };
}

export const clock = () => performance.now() / 1000;
