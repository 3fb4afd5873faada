import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { GrokError } from "../../errors.ts";
import type { Engine, EngineInfo } from "../engine.ts";
import type { EngineOptions } from "../options.ts";
import { type Client, connect } from "./client.ts";
import { cancellationBytes } from "./interrupt.ts";
import { errorFromData, type FromEngine, type WorkerStart } from "./protocol.ts";

/**
 * Starts an engine for a model file on a thread of its own, and waits until the weights are bound. The thread keeps the
 * process alive only while something is asked of it: a program that ends without closing its engine still ends.
 *
 * @throws GrokError what opening or binding throws; `argument` for an option that cannot cross to the thread; `internal` when
 * the thread dies.
 */
export async function startEngine(path: string, options: EngineOptions = {}): Promise<Engine> {
  const cancellations = new SharedArrayBuffer(cancellationBytes);
  const workerData: WorkerStart = { path, options, cancellations };
  const worker = startWorker(workerData);
  return await new Promise<Engine>((resolve, reject) => {
    let client: Client | undefined;
    const fail = (error: GrokError) => {
      client?.fail(error);
      reject(error);
    };
    worker.on("error", (error) => {
      fail(new GrokError("internal", `the engine's thread failed: ${error.message}`, {}, error));
    });
    worker.on("exit", (status) => {
      fail(new GrokError("internal", `the engine's thread ended (status ${status})`, { status }));
    });
    const ready = (info: EngineInfo) => {
      worker.unref();
      client = connect(worker, info, {
        cancellations: new Int32Array(cancellations),
        onBusy: (busy) => (busy ? worker.ref() : worker.unref()),
        onClosed: () => worker.terminate(),
      });
      resolve(client);
    };
    worker.on("message", (message: FromEngine) => {
      if (message.type === "ready") ready(message.info);
      else if (message.type === "failed") {
        fail(errorFromData(message.error));
        void worker.terminate();
      }
    });
  });
}

function startWorker(workerData: WorkerStart): Worker {
  try {
    return new Worker(workerPath(), { workerData });
  } catch (error) {
    if ((error as Error).name !== "DataCloneError") throw error;
    const reason = (error as Error).message;
    throw new GrokError("argument", `an option cannot be sent to the engine: ${reason}`, {}, error);
  }
}

/** The compiled worker, also when this file runs as TypeScript under a test runner: threads load no TypeScript. */
function workerPath(): string {
  const here = import.meta.url;
  return fileURLToPath(new URL(here.endsWith(".ts") ? "../../../dist/engine/thread/worker.js" : "./worker.js", here));
}
