import { createHash } from "node:crypto";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeFolder } from "../bytes/folder.ts";
import { ioError } from "../bytes/io-error.ts";
import { GrokError } from "../errors.ts";
import { openSafetensors, type SafetensorsFile } from "../formats/safetensors/file.ts";
import { writeSafetensors } from "../formats/safetensors/write.ts";
import type { GradOps, Parameter, ParameterPart } from "../kernels/grad-ops.ts";
import type { TrainModel } from "./config.ts";
import type { StreamState } from "./data/stream.ts";

/** Where a run stands, beside its tensors: plain JSON. */
export interface CheckpointState {
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
}

const parts = ["values", "mean", "variance"] as const satisfies readonly ParameterPart[];

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

/**
 * Writes a checkpoint, whole or not at all, then removes all but the last `keep`. Tensors are `values/NAME`, `mean/NAME` and
 * `variance/NAME` in the backend's own precision; the metadata hold the state and a SHA-256 of both.
 *
 * @throws GrokError `io`: no space, no permission. The earlier checkpoints are untouched then.
 */
export async function writeCheckpoint(
  out: string,
  ops: GradOps,
  parameters: readonly Parameter[],
  state: CheckpointState,
  keep: number,
): Promise<string> {
  const tensors = parts.flatMap((part) =>
    parameters.map((parameter) => {
      const { dtype } = read(ops, parameter, part);
      return {
        name: `${part}/${parameter.name}`,
        dtype,
        shape: parameter.shape,
        data: () => [read(ops, parameter, part).bytes],
      };
    }),
  );
  const text = JSON.stringify(state);
  const hash = createHash("sha256").update(text);
  for (const { data } of tensors) for (const bytes of data()) hash.update(bytes);
  const path = checkpointPath(out, state.step);
  makeFolder(join(out, "checkpoints"));
  await writeSafetensors(path, tensors, { state: text, sha256: hash.digest("hex") });
  for (const { path: old } of listCheckpoints(out).slice(0, -keep)) rmSync(old, { force: true });
  return path;
}

function read(ops: GradOps, parameter: Parameter, part: ParameterPart) {
  const values = ops.readParameter(parameter, part);
  return {
    dtype: values instanceof Float64Array ? ("F64" as const) : ("F32" as const),
    bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  };
}

/** A checkpoint that is whole. */
export interface Checkpoint {
  readonly path: string;
  readonly state: CheckpointState;
  /** Values of a parameter's part. @throws GrokError `shape` when there is none of that name and shape. */
  values(part: "values" | "mean" | "variance", name: string, shape: readonly number[]): Float32Array | Float64Array;
  close(): void;
}

/** @throws GrokError `io`; `format` naming the file for one that is damaged, or no checkpoint. */
export function openCheckpoint(path: string): Checkpoint {
  const file = openSafetensors(path);
  try {
    return { path, state: checkState(file), values: (part, name, shape) => valuesOf(file, part, name, shape), close };
  } catch (error) {
    close();
    throw error;
  }
  function close() {
    file.close();
  }
}

function checkState(file: SafetensorsFile): CheckpointState {
  const fail = (what: string, cause?: unknown): never => {
    throw new GrokError("format", `${file.path}: ${what}`, { path: file.path }, cause);
  };
  const text = file.metadata.get("state");
  const expected = file.metadata.get("sha256");
  if (text === undefined || expected === undefined) return fail("not a checkpoint of grok1 train");
  const hash = createHash("sha256").update(text);
  for (const entry of file.entries.values()) hash.update(entry.bytes());
  if (hash.digest("hex") !== expected) {
    return fail(
      "the checkpoint is damaged: its contents are not what was written (delete it to go on from the one before)",
    );
  }
  let state: CheckpointState;
  try {
    state = JSON.parse(text) as CheckpointState;
  } catch (error) {
    return fail("the checkpoint's state is not JSON", error);
  }
  if (state.version !== 1) return fail(`a checkpoint of version ${String(state.version)}, expected 1`);
  return state;
}

function valuesOf(file: SafetensorsFile, part: string, name: string, shape: readonly number[]) {
  const entry = file.entry(`${part}/${name}`);
  if (entry.shape.length !== shape.length || entry.shape.some((n, axis) => n !== shape[axis])) {
    throw new GrokError(
      "shape",
      `${file.path}: ${name} has shape [${entry.shape.join(", ")}], the configuration's is [${shape.join(", ")}]`,
      { path: file.path, tensor: name },
    );
  }
  const values = entry.values();
  if (values instanceof Float32Array || values instanceof Float64Array) return values;
  throw new GrokError("format", `${file.path}: ${entry.name} is of dtype ${entry.dtype}, expected F32 or F64`, {
    path: file.path,
    tensor: name,
  });
}
