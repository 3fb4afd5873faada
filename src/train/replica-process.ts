import { rmSync } from "node:fs";
import { errorToData } from "../engine/thread/protocol.ts";
import { openGradBackend } from "./backend.ts";
import type { BatchStream } from "./data/stream.ts";
import { createFullTrainer } from "./full-model.ts";
import { type FromReplica, gradientFile, readParts, type ToReplica, valuesFile, writeParts } from "./processes.ts";
import { prepareTraining } from "./setup.ts";
import type { ReplicaSums, Trainer } from "./trainer.ts";

/** A replica's process: computes gradients with values that it is given. It ends when the one that started it does. */
interface Work {
  readonly trainer: Trainer;
  readonly stream: BatchStream;
  readonly start: Extract<ToReplica, { type: "start" }>;
}

/** Where the exchanged files are. */
const folder = process.argv[2]!;

/** The first process is no more, and had perhaps no chance to tidy up. */
function end(): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch {
    // Another replica is at it, or still writes: the last one to end takes all.
  }
  process.kill(process.pid); // as its end would be from there
}

const send = (message: FromReplica) => {
  // It may be gone before the news of it is here.
  if (process.connected) process.send!(message, undefined, undefined, (error) => error && end());
  else end();
};
// Ctrl-C reaches every process of a terminal; it is the first one's to answer.
process.on("SIGINT", () => {});
process.on("disconnect", end);
process.on("error", end);
// It may have ended while this one was still loading.
if (!process.connected) end();

async function begin(start: Work["start"]): Promise<Work> {
  const setup = await prepareTraining(start.config);
  const { ops } = openGradBackend(start.backend, start.threads);
  const zeros = ({ shape }: { shape: readonly number[] }) => new Float32Array(shape.reduce((a, b) => a * b, 1));
  const trainer = createFullTrainer(ops, start.config, { ...setup, values: zeros, recompute: start.recompute });
  const stream = setup.stream();
  stream.restore(start.state, "the run");
  return { trainer, stream, start };
}

async function compute({ trainer, stream, start }: Work) {
  const { ops, parameters } = trainer;
  readParts(valuesFile(folder), ops, parameters, "values", (values, index) =>
    ops.writeParameter(parameters[index]!, "values", values),
  );
  const step = stream.next();
  const done: { replica: number; sums: ReplicaSums }[] = [];
  for (const { replica, batches } of step.shards) {
    if (replica % start.processes !== start.rank) continue;
    done.push({ replica, sums: await trainer.accumulate(batches, step) });
    writeParts(gradientFile(folder, replica), ops, parameters, "gradient");
  }
  return done;
}

let work: Work | undefined;
process.on("message", async (message: ToReplica) => {
  try {
    if (message.type === "start") {
      work = await begin(message);
      send({ type: "ready" });
    } else {
      send({ type: "done", sums: await compute(work!) });
    }
  } catch (error) {
    send({ type: "failed", error: errorToData(error) });
  }
});
