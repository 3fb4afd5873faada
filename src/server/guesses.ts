import { GrokError } from "../errors.ts";
import { type Bucket, clock, createBucket } from "./bucket.ts";

/** Counts wrong keys by the address that they came from, so that nobody tries them by the thousand. */
export interface Guesses {
  /** @throws GrokError `limited` when so many were wrong that even a right one is not looked at now */
  check(address: string): void;
  wrong(address: string): void;
}

/** So many wrong keys at once, and as many more in each minute: a person's mistakes, not a program's. */
const mostWrong = 10;
const mostAddresses = 4096;

export function createGuesses(now = clock): Guesses {
  const lanes = new Map<string, Bucket>();

  function remember(address: string): Bucket {
    const lane = lanes.get(address) ?? createBucket(mostWrong, 60, now);
    // The latest stand last.
    lanes.delete(address);
    lanes.set(address, lane);
    if (lanes.size > mostAddresses) lanes.delete(lanes.keys().next().value!);
    return lane;
  }

  return {
    check(address) {
      const wait = lanes.get(address)?.wait(1) ?? 0;
      if (wait === 0) return;
      const retryAfter = Math.ceil(wait);
      throw new GrokError("limited", `too many wrong keys: try again in ${retryAfter} s`, { retryAfter });
    },
    wrong(address) {
      remember(address).take(1);
    },
  };
}
