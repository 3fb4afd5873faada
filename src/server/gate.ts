import { GrokError } from "../errors.ts";

/**
 * How many requests are computed at a time, and how many wait for it. Those who wait take turns, one request each, and each one's
 * requests go in the order in which they came: a burst of one client's stands behind itself, not in front of all others, and nobody waits
 * for more than a turn of each. The engine decides what runs in a step; this bounds what a server holds in memory for its clients.
 */
export interface Gate {
  readonly running: number;
  readonly waiting: number;
  /**
   * A place, to be disposed of.
   * @param owner whose request it is: a key's name, or an address
   * @throws GrokError `busy` when too many wait; `cancelled` by the signal
   */
  enter(owner: string, signal: AbortSignal): Promise<Disposable>;
}

export function createGate({ atOnce, waiting: most }: { readonly atOnce: number; readonly waiting: number }): Gate {
  /** What wakes those who wait, by whose they are: whose turn is next stands first, who has had one goes to the end. */
  const turns = new Map<string, (() => void)[]>();
  let running = 0;
  let waiting = 0;

  const remove = (owner: string, go: () => void) => {
    const left = turns.get(owner)!.filter((other) => other !== go);
    waiting--;
    if (left.length > 0) turns.set(owner, left);
    else turns.delete(owner);
  };
  const leave = () => {
    const [next] = turns;
    // The place goes from one to the next, so that nobody who comes later steps between.
    if (next === undefined) running--;
    else {
      const [owner, [go, ...others]] = next as [string, [() => void, ...(() => void)[]]];
      turns.delete(owner);
      if (others.length > 0) turns.set(owner, others);
      waiting--;
      go();
    }
  };
  const place = (): Disposable => {
    let held = true;
    return {
      [Symbol.dispose]() {
        if (held) leave();
        held = false;
      },
    };
  };

  return {
    get running() {
      return running;
    },
    get waiting() {
      return waiting;
    },
    async enter(owner, signal) {
      if (signal.aborted) throw new GrokError("cancelled", "the client is gone");
      if (running < atOnce) {
        running++;
        return place();
      }
      if (waiting >= most) {
        throw new GrokError("busy", `${running} requests run and ${waiting} wait: try again later`);
      }
      await new Promise<void>((resolve, reject) => {
        const go = () => {
          signal.removeEventListener("abort", gone);
          resolve();
        };
        const gone = () => {
          remove(owner, go);
          reject(new GrokError("cancelled", "the client is gone"));
        };
        turns.set(owner, [...(turns.get(owner) ?? []), go]);
        waiting++;
        signal.addEventListener("abort", gone, { once: true });
      });
      return place();
    },
  };
}
