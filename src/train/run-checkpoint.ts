import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeFolder } from "../bytes/folder.ts";
import { ioError } from "../bytes/io-error.ts";
import { GrokError } from "../errors.ts";
import type { GradOps, Parameter } from "../kernels/grad-ops.ts";
import {
  type Checkpoint,
  type CheckpointKind,
  openCheckpointFile,
  readStreamState,
  writeCheckpointFile,
} from "./checkpoint.ts";
import type { TrainModel } from "./config.ts";
import type { StreamState } from "./data/stream.ts";

/** Where a run stands, beside its tensors: plain JSON. */
export interface RunState {
  readonly version: 1;
  /** Steps done: the moments' bias follows from it. */
  readonly step: number;
  readonly model: TrainModel;
  readonly vocab: number;
  /** Place in the data; with the seed in it, all that is random. */
  readonly stream: StreamState;
  /** Rows trained on. */
  readonly tokens: number;
  /** Seconds of training so far. */
  readonly seconds: number;
  /** [layers, experts] choices since the last evaluation; absent in checkpoints of before they were kept. */
  readonly chosen?: readonly number[];
}

const kind: CheckpointKind<RunState> = {
  key: "state",
  command: "grok1 train",
  read(fields) {
    const model = fields.value("model", "an object", (found) => typeof found === "object" && found !== null);
    const chosen = fields.numbers("chosen", 0, Number.MAX_SAFE_INTEGER, []);
    return {
      version: 1,
      step: fields.integer("step", 0),
      // Compared with the configuration's, value by value, before it counts for anything.
      model: model as TrainModel,
      vocab: fields.integer("vocab", 1),
      stream: readStreamState(fields.object("stream")),
      tokens: fields.integer("tokens", 0),
      seconds: fields.number("seconds", 0, Number.MAX_VALUE),
      ...(chosen.length > 0 && { chosen }),
    };
  },
};

const namePattern = /^step-(\d{8})\.safetensors$/;

/** Path of a step's checkpoint in a run's folder. */
export function checkpointPath(out: string, step: number): string {
  return join(out, "checkpoints", `step-${String(step).padStart(8, "0")}.safetensors`);
}

/** Checkpoints of a run's folder, oldest first; none where there is no such folder. @throws GrokError `io`. */
export function listCheckpoints(out: string): { readonly path: string; readonly step: number }[] {
  const folder = join(out, "checkpoints");
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw ioError("read", folder, error);
  }
  return names
    .filter((name) => namePattern.test(name))
    .sort()
    .map((name) => ({ path: join(folder, name), step: Number(namePattern.exec(name)![1]) }));
}

/** Writes a checkpoint, then removes all but the last `keep`. @throws GrokError `io`: the earlier ones are untouched then. */
export async function writeCheckpoint(
  out: string,
  ops: GradOps,
  parameters: readonly Parameter[],
  state: RunState,
  keep: number,
): Promise<string> {
  const path = checkpointPath(out, state.step);
  makeFolder(join(out, "checkpoints"));
  await writeCheckpointFile(path, kind, ops, parameters, state);
  for (const { path: old } of listCheckpoints(out).slice(0, -keep)) rmSync(old, { force: true });
  return path;
}

/** @throws GrokError as {@link openCheckpointFile}. */
export function openCheckpoint(path: string): Checkpoint<RunState> {
  return openCheckpointFile(path, kind);
}

/** A run's last checkpoint. @throws GrokError `argument` when there is none; `format` for one of another step than its name says. */
export function openLastCheckpoint(out: string): Checkpoint<RunState> {
  const last = listCheckpoints(out).at(-1);
  if (last === undefined) throw new GrokError("argument", `${out}: there is no checkpoint in it`, { path: out });
  const checkpoint = openCheckpoint(last.path);
  const { step } = checkpoint.state;
  if (step === last.step) return checkpoint;
  checkpoint.close();
  throw new GrokError("format", `${last.path}: state.step is ${step}, expected ${last.step} by the file's name`, {
    path: last.path,
    entry: "state.step",
  });
}
