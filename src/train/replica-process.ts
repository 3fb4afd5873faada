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

const send = (message: FromReplica) => process.send!(message);
// Ctrl-C reaches every process of a terminal; it is the first one's to answer.
process.on("SIGINT", () => {});
// The first one can be killed without a chance to tidy up.
process.on("disconnect", () => {
  if (work !== undefined) rmSync(work.start.folder, { recursive: true, force: true });
  process.kill(process.pid); // as its end would be from there
});

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
  readParts(valuesFile(start.folder), ops, parameters, "values", (values, index) =>
    ops.writeParameter(parameters[index]!, "values", values),
  );
  const step = stream.next();
  const done: { replica: number; sums: ReplicaSums }[] = [];
  for (const { replica, batches } of step.shards) {
    if (replica % start.processes !== start.rank) continue;
    done.push({ replica, sums: await trainer.accumulate(batches, step) });
    writeParts(gradientFile(start.folder, replica), ops, parameters, "gradient");
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
