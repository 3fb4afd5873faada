import { Worker } from "node:worker_threads";
import { GrokError } from "../../errors.ts";
import type { Engine, EngineInfo } from "../engine.ts";
import type { EngineOptions } from "../options.ts";
import { type Client, connect } from "./client.ts";
import { cancellationBytes } from "./interrupt.ts";
import { programFile } from "./program.ts";
import { errorFromData, type FromEngine, type WorkerStart } from "./protocol.ts";

/**
 * Starts an engine for a model file on a thread of its own, and waits until the weights are bound. The thread keeps the
 * process alive only while something is asked of it: a program that ends without closing its engine still ends.
 *
 * @throws GrokError what opening or binding throws; `argument` for an option that cannot cross to the thread; `unsupported` where
 * no thread can be started, or a bundler has parted its program from this one; `internal` when the thread dies.
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
  const program = programFile(import.meta.url, "engine/thread/start", "engine/thread/worker.js");
  try {
    // The process's own flags are for its own program: some end a thread (--input-type), others load code into it (--require).
    return new Worker(program, { workerData, execArgv: [], env: withoutNodeOptions });
  } catch (error) {
    const { name, code, message } = error as NodeJS.ErrnoException;
    if (name === "DataCloneError") {
      throw new GrokError("argument", `an option cannot be sent to the engine: ${message}`, {}, error);
    }
    const hint = code === "ERR_ACCESS_DENIED" ? ": under --permission it needs --allow-worker" : "";
    throw new GrokError("unsupported", `the engine's thread cannot be started (${message})${hint}`, {}, error);
  }
}

/** Flags would come with the environment as well. The engine reads nothing from it. */
const withoutNodeOptions = {};
