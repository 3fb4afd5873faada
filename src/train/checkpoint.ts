import { createHash } from "node:crypto";
import { createFields, type Fields } from "../bytes/json-fields.ts";
import { GrokError } from "../errors.ts";
import { openSafetensors } from "../formats/safetensors/file.ts";
import { writeSafetensors } from "../formats/safetensors/write.ts";
import type { GradOps, Parameter, ParameterPart } from "../kernels/grad-ops.ts";
import type { StreamState } from "./data/stream.ts";

/**
 * A checkpoint file: tensors `values/NAME`, `mean/NAME` and `variance/NAME` in the backend's own precision; in the metadata, where
 * the training stands, as JSON under a name of its own, and a SHA-256 of both.
 */
export interface Checkpoint<State> {
  readonly path: string;
  readonly state: State;
  /** Values of a parameter's part. @throws GrokError `shape` when there is none of that name and shape. */
  values(part: CheckpointPart, name: string, shape: readonly number[]): Float32Array | Float64Array;
  /** Puts values and moments into parameters. @throws GrokError `shape` for parameters of other names or shapes. */
  restore(ops: GradOps, parameters: readonly Parameter[]): void;
  close(): void;
}

const parts = ["values", "mean", "variance"] as const satisfies readonly ParameterPart[];
export type CheckpointPart = (typeof parts)[number];

/** Kinds of checkpoint: the name that the state has in the file, how it is read, and what makes such files. */
export interface CheckpointKind<State> {
  readonly key: string;
  readonly command: string;
  read(fields: Fields): State;
}

/**
 * Writes a checkpoint, whole or not at all.
 * @throws GrokError `io`: no space, no permission. What was there is untouched then.
 */
export async function writeCheckpointFile<State>(
  path: string,
  { key }: CheckpointKind<State>,
  ops: GradOps,
  parameters: readonly Parameter[],
  state: State,
): Promise<void> {
  const tensors = parts.flatMap((part) =>
    parameters.map((parameter) => ({
      name: `${part}/${parameter.name}`,
      dtype: ops.readParameter(parameter, part) instanceof Float64Array ? ("F64" as const) : ("F32" as const),
      shape: parameter.shape,
      data: () => [bytesOf(ops.readParameter(parameter, part))],
    })),
  );
  const text = JSON.stringify(state);
  const hash = createHash("sha256").update(text);
  for (const { data } of tensors) for (const bytes of data()) hash.update(bytes);
  await writeSafetensors(path, tensors, { [key]: text, sha256: hash.digest("hex") });
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Float64Array) =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

/**
 * Opens a checkpoint and checks all of it.
 * @throws GrokError `io`; `format` naming the file, and the entry, for one that is damaged, no checkpoint of this kind, or says what
 * cannot be.
 */
export function openCheckpointFile<State>(path: string, kind: CheckpointKind<State>): Checkpoint<State> {
  const file = openSafetensors(path);
  const fail = (what: string, cause?: unknown): never => {
    throw new GrokError("format", `${path}: ${what}`, { path }, cause);
  };
  const readState = (): State => {
    const text = file.metadata.get(kind.key);
    const expected = file.metadata.get("sha256");
    if (text === undefined || expected === undefined) return fail(`not a checkpoint of ${kind.command}`);
    const hash = createHash("sha256").update(text);
    for (const entry of file.entries.values()) hash.update(entry.bytes());
    if (hash.digest("hex") !== expected) {
      return fail(
        "the checkpoint is damaged: its contents are not what was written (delete it to go on from the one before)",
      );
    }
    let state: unknown;
    try {
      state = JSON.parse(text);
    } catch (error) {
      return fail("the checkpoint's state is not JSON", error);
    }
    const fields = createFields(state, path, kind.key, "format");
    fields.integer("version", 1, 1);
    return kind.read(fields);
  };
  const values = (part: CheckpointPart, name: string, shape: readonly number[]) => {
    const entry = file.entry(`${part}/${name}`);
    if (entry.shape.length !== shape.length || entry.shape.some((n, axis) => n !== shape[axis])) {
      throw new GrokError(
        "shape",
        `${path}: ${name} has shape [${entry.shape.join(", ")}], the model's is [${shape.join(", ")}]`,
        { path, tensor: name },
      );
    }
    const found = entry.values();
    if (found instanceof Float32Array || found instanceof Float64Array) return found;
    return fail(`${entry.name} is of dtype ${entry.dtype}, expected F32 or F64`);
  };
  try {
    return {
      path,
      state: readState(),
      values,
      restore(ops, parameters) {
        for (const part of parts) {
          for (const parameter of parameters) {
            ops.writeParameter(parameter, part, values(part, parameter.name, parameter.shape));
          }
        }
      },
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** A place in the data, as it stands in a state. What the numbers may be beyond their kind, the stream itself checks. */
export function readStreamState(fields: Fields): StreamState {
  fields.integer("version", 1, 1);
  return {
    version: 1,
    fingerprint: fields.text("fingerprint"),
    steps: fields.integer("steps", 0),
    sources: fields.objects("sources").map((source) => ({
      epoch: source.integer("epoch", 0),
      position: source.integer("position", 0),
      offset: source.integer("offset", 0),
      served: source.integer("served", 0),
    })),
  };
}
