import { GrokError } from "../errors.ts";

/**
 * How many requests are computed at a time, and how many wait for it, first come, first served. The engine decides what runs in a
 * step; this bounds what a server holds in memory for its clients.
 */
export interface Gate {
  readonly running: number;
  readonly waiting: number;
  /** A place, to be disposed of. @throws GrokError `busy` when too many wait; `cancelled` by the signal */
  enter(signal: AbortSignal): Promise<Disposable>;
}

export function createGate({ atOnce, waiting: most }: { readonly atOnce: number; readonly waiting: number }): Gate {
  const queue: (() => void)[] = [];
  let running = 0;

  const leave = () => {
    const next = queue.shift();
    // The place goes from one to the next, so that nobody who comes later steps between.
    if (next === undefined) running--;
    else next();
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
      return queue.length;
    },
    async enter(signal) {
      if (signal.aborted) throw new GrokError("cancelled", "the client is gone");
      if (running < atOnce) {
        running++;
        return place();
      }
      if (queue.length >= most) {
        throw new GrokError("busy", `${running} requests run and ${queue.length} wait: try again later`);
      }
      await new Promise<void>((resolve, reject) => {
        const go = () => {
          signal.removeEventListener("abort", gone);
          resolve();
        };
        const gone = () => {
          queue.splice(queue.indexOf(go), 1);
          reject(new GrokError("cancelled", "the client is gone"));
        };
        queue.push(go);
        signal.addEventListener("abort", gone, { once: true });
      });
      return place();
    },
  };
}
