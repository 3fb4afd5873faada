import { parentPort } from "node:worker_threads";
import { errorToData } from "../engine/thread/protocol.ts";
import type { FromWorker } from "./pool.ts";
import { doWork, type Work } from "./work.ts";

/** A thread of the pool: one work at a time. */
const post = (message: FromWorker) => parentPort!.postMessage(message);

parentPort!.on("message", async (work: Work) => {
  try {
    const result = await doWork(work, (count) => post({ type: "bytes", count }));
    post({ type: "done", result });
  } catch (error) {
    post({ type: "failed", error: errorToData(error) });
  }
});
