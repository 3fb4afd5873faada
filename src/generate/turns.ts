import type { Steps } from "../tokenizer/steps.ts";

/** Milliseconds of work after which the event loop has its turn. */
const mostAtOnce = 8;

/** Who prepares something large lets others be answered in between, and prepares beside others that do. */
export interface Turns {
  /** What the steps come to: at once where that is soon, else later. Those under way take steps in turn. */
  run<T>(steps: Steps<T>): T | Promise<T>;
}

/** @param now milliseconds */
export function createTurns(now: () => number = () => performance.now()): Turns {
  /** Each takes a step, and says whether there are more. */
  const waiting: (() => boolean)[] = [];
  let spent = 0;
  let ticking = false;

  function timed<T>(work: () => T): T {
    const began = now();
    try {
      return work();
    } finally {
      spent += now() - began;
    }
  }

  function tick(): void {
    const isIdle = waiting.length === 0 && spent === 0;
    spent = 0;
    while (waiting.length > 0 && spent < mostAtOnce) {
      const step = waiting.shift()!;
      if (timed(step)) waiting.push(step);
    }
    ticking = !isIdle;
    if (ticking) setImmediate(tick);
  }

  return {
    run<T>(steps: Steps<T>) {
      if (!ticking) setImmediate(tick);
      ticking = true;
      while (waiting.length === 0 && spent < mostAtOnce) {
        const { done, value } = timed(() => steps.next());
        if (done) return value;
      }
      return new Promise<T>((resolve, reject) => {
        waiting.push(() => {
          try {
            const { done, value } = steps.next();
            if (done) resolve(value);
            return !done;
          } catch (error) {
            reject(error);
            return false;
          }
        });
      });
    },
  };
}

/**
 * For work that is short, and cannot be taken in steps, but comes from many at once: resolves while the event loop has not been busy for
 * long, at once or in a later round of it, in the order of the calls.
 * @param now milliseconds
 */
export function createPace(now: () => number = () => performance.now()): () => Promise<void> {
  /** When this round of the loop began such work. */
  let began: number | undefined;
  let waiting = 0;

  function isBusy(): boolean {
    if (began === undefined) {
      began = now();
      setImmediate(() => {
        began = undefined;
      });
    }
    return now() - began >= mostAtOnce;
  }

  return async () => {
    if (waiting === 0 && !isBusy()) return;
    waiting++;
    do await new Promise(setImmediate);
    while (isBusy());
    waiting--;
  };
}

/** Those of this program, whose event loop is one. */
const turns = createTurns();

/** {@link createPace}, for all of this program. */
export const keepPace = createPace();

/** {@link Turns.run}, beside all others of this program. */
export const inTurns = <T>(steps: Steps<T>): T | Promise<T> => turns.run(steps);
