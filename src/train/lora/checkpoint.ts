import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { GrokError } from "../../errors.ts";
import { openSafetensors } from "../../formats/safetensors/file.ts";
import { writeSafetensors } from "../../formats/safetensors/write.ts";
import type { GradOps, Parameter } from "../../kernels/grad-ops.ts";
import type { StreamState } from "../data/stream.ts";

/** Where a fine-tuning stands, beside its tensors: plain JSON. */
export interface FinetuneState {
  readonly version: 1;
  readonly step: number;
  /** What must be the same for a run to go on: base, shape of the adapter, schedule. */
  readonly settings: Readonly<Record<string, string | number>>;
  readonly batchTokens: number;
  readonly accumulation: number;
  readonly stream: StreamState;
  readonly tokens: number;
  /** Nats a learned token on held-out data before training; absent without such data. */
  readonly firstLoss?: number;
}

export const finetuneCheckpoint = "checkpoint.safetensors";
const parts = ["values", "mean", "variance"] as const;

export function hasCheckpoint(folder: string): boolean {
  return existsSync(join(folder, finetuneCheckpoint));
}

/** Writes the checkpoint in place of the one before, whole or not at all. @throws GrokError `io`: the one before stays. */
export async function writeFinetuneCheckpoint(
  folder: string,
  ops: GradOps,
  parameters: readonly Parameter[],
  state: FinetuneState,
): Promise<void> {
  const tensors = parts.flatMap((part) =>
    parameters.map((parameter) => {
      const values = ops.readParameter(parameter, part);
      return {
        name: `${part}/${parameter.name}`,
        dtype: values instanceof Float64Array ? ("F64" as const) : ("F32" as const),
        shape: parameter.shape,
        data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice(),
      };
    }),
  );
  const text = JSON.stringify(state);
  const hash = createHash("sha256").update(text);
  for (const { data } of tensors) hash.update(data);
  const metadata = { finetune: text, sha256: hash.digest("hex") };
  await writeSafetensors(join(folder, finetuneCheckpoint), tensors, metadata);
}

export interface FinetuneCheckpoint {
  readonly state: FinetuneState;
  /** @throws GrokError `shape` for parameters of another shape. */
  restore(ops: GradOps, parameters: readonly Parameter[]): void;
  close(): void;
}

/** @throws GrokError `io`; `format` for one that is damaged, or no checkpoint of a fine-tuning. */
export function openFinetuneCheckpoint(folder: string): FinetuneCheckpoint {
  const path = join(folder, finetuneCheckpoint);
  const file = openSafetensors(path);
  try {
    const text = file.metadata.get("finetune");
    const expected = file.metadata.get("sha256");
    if (text === undefined || expected === undefined) {
      throw new GrokError("format", `${path}: not a checkpoint of grok1 finetune`, { path });
    }
    const hash = createHash("sha256").update(text);
    for (const entry of file.entries.values()) hash.update(entry.bytes());
    if (hash.digest("hex") !== expected) {
      throw new GrokError("format", `${path}: the checkpoint is damaged: its contents are not what was written`, {
        path,
      });
    }
    const state = JSON.parse(text) as FinetuneState;
    if (state.version !== 1)
      throw new GrokError("format", `${path}: version ${String(state.version)}, expected 1`, { path });
    return {
      state,
      restore(ops, parameters) {
        for (const part of parts) {
          for (const parameter of parameters) {
            const values = file.entry(`${part}/${parameter.name}`).values();
            ops.writeParameter(parameter, part, values as Float32Array | Float64Array);
          }
        }
      },
      close: file.close,
    };
  } catch (error) {
    file.close();
    throw error;
  }
}
