import { Worker } from "node:worker_threads";
import { programFile } from "../engine/thread/program.ts";
import { type ErrorData, errorFromData } from "../engine/thread/protocol.ts";
import { GrokError } from "../errors.ts";
import { coreLimit } from "../machine/limits.ts";
import type { Work, WorkResult } from "./work.ts";

export type FromWorker =
  | { readonly type: "bytes"; readonly count: number }
  | { readonly type: "done"; readonly result: WorkResult }
  | { readonly type: "failed"; readonly error: ErrorData };

/** Threads that go through files, first come, first served. */
export interface Pool {
  /** The same work asked for twice is done once. @throws GrokError `io`, `cancelled`. */
  run(work: Work): Promise<WorkResult>;
  close(): Promise<void>;
}

export interface PoolOptions {
  /** Default: the physical cores that the process may use. */
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of all bytes done so far. */
  readonly onBytes?: ((done: number) => void) | undefined;
}

interface Waiting {
  readonly work: Work;
  readonly resolve: (result: WorkResult) => void;
  readonly reject: (error: unknown) => void;
}

export function createPool({ threads = coreLimit(), signal, onBytes }: PoolOptions): Pool {
  const known = new Map<string, Promise<WorkResult>>();
  const waiting: Waiting[] = [];
  const idle: Worker[] = [];
  const busy = new Map<Worker, Waiting>();
  let done = 0;

  const cancel = () => {
    const error = new GrokError("cancelled", "verifying was cancelled", {}, signal?.reason);
    for (const { reject } of [...busy.values(), ...waiting.splice(0)]) reject(error);
    busy.clear();
    void close();
  };
  signal?.addEventListener("abort", cancel);
  const workers = new Set<Worker>();

  function start(): Worker {
    const worker = new Worker(programFile(import.meta.url, "verify/pool", "verify/worker.js"), {
      ...{ execArgv: [], env: {} },
    });
    workers.add(worker);
    const settle = (how: (waiting: Waiting) => void) => {
      const current = busy.get(worker);
      busy.delete(worker);
      if (current) how(current);
    };
    worker.on("message", (message: FromWorker) => {
      if (message.type === "bytes") {
        done += message.count;
        onBytes?.(done);
        return;
      }
      settle(({ resolve, reject }) => {
        if (message.type === "done") resolve(message.result);
        else reject(errorFromData(message.error));
      });
      idle.push(worker);
      next();
    });
    worker.on("error", (error) => {
      workers.delete(worker);
      settle(({ reject }) =>
        reject(new GrokError("internal", `a verifying thread failed: ${error.message}`, {}, error)),
      );
      next();
    });
    return worker;
  }

  function next(): void {
    while (waiting.length > 0) {
      const worker = idle.pop() ?? (workers.size < threads ? start() : undefined);
      if (worker === undefined) return;
      const one = waiting.shift()!;
      busy.set(worker, one);
      worker.postMessage(one.work);
    }
  }

  async function close(): Promise<void> {
    signal?.removeEventListener("abort", cancel);
    await Promise.all([...workers].map((worker) => worker.terminate()));
    workers.clear();
  }

  return {
    run(work) {
      const key = JSON.stringify(work);
      const same = known.get(key);
      if (same) return same;
      const result = signal?.aborted
        ? Promise.reject(new GrokError("cancelled", "verifying was cancelled", {}, signal.reason))
        : new Promise<WorkResult>((resolve, reject) => {
            waiting.push({ work, resolve, reject });
            next();
          });
      // Who asked hears of it; who asks again does too.
      result.catch(() => undefined);
      known.set(key, result);
      return result;
    },
    close,
  };
}
