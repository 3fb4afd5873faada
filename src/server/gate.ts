import { GrokError } from "../errors.ts";

/**
 * How many requests are computed at a time, and how many wait for it. Those who wait take turns, one request each, and each one's
 * requests go in the order in which they came: a burst of one client's stands behind itself, not in front of all others, and nobody waits
 * for more than a turn of each. Where no more may wait, the latest of whoever has most waiting makes room for who has fewer. The engine decides what runs in a step; this bounds what a server holds in memory for its clients.
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

interface Waiting {
  go(): void;
  refuse(error: GrokError): void;
}

export function createGate({ atOnce, waiting: most }: { readonly atOnce: number; readonly waiting: number }): Gate {
  /** Those who wait, by whose they are: whose turn is next stands first, who has had one goes to the end. */
  const turns = new Map<string, Waiting[]>();
  let running = 0;
  let waiting = 0;

  const remove = (owner: string, who: Waiting) => {
    const left = turns.get(owner)!.filter((other) => other !== who);
    waiting--;
    if (left.length > 0) turns.set(owner, left);
    else turns.delete(owner);
  };
  const leave = () => {
    const [next] = turns;
    // The place goes from one to the next, so that nobody who comes later steps between.
    if (next === undefined) running--;
    else {
      const [owner, [first, ...others]] = next as [string, [Waiting, ...Waiting[]]];
      turns.delete(owner);
      if (others.length > 0) turns.set(owner, others);
      waiting--;
      first.go();
    }
  };
  const busy = () => new GrokError("busy", `${running} requests run and ${waiting} wait: try again later`);
  /** @throws GrokError `busy` where nobody has so many waiting that one of them makes room for one of `owner`'s */
  const makeRoom = (owner: string) => {
    if (waiting < most) return;
    const own = turns.get(owner)?.length ?? 0;
    const [longest, theirs] = [...turns].reduce<[string, Waiting[]]>(
      (best, each) => (each[1].length > best[1].length ? each : best),
      [owner, []],
    );
    if (theirs.length <= own + 1) throw busy();
    const last = theirs.at(-1)!;
    last.refuse(busy());
    remove(longest, last);
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
      makeRoom(owner);
      await new Promise<void>((resolve, reject) => {
        const who: Waiting = {
          go() {
            signal.removeEventListener("abort", gone);
            resolve();
          },
          refuse(error) {
            signal.removeEventListener("abort", gone);
            reject(error);
          },
        };
        const gone = () => {
          remove(owner, who);
          reject(new GrokError("cancelled", "the client is gone"));
        };
        turns.set(owner, [...(turns.get(owner) ?? []), who]);
        waiting++;
        signal.addEventListener("abort", gone, { once: true });
      });
      return place();
    },
  };
}
