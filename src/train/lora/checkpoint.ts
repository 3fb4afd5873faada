import { existsSync } from "node:fs";
import { join } from "node:path";
import type { GradOps, Parameter } from "../../kernels/grad-ops.ts";
import {
  type Checkpoint,
  type CheckpointKind,
  openCheckpointFile,
  readStreamState,
  writeCheckpointFile,
} from "../checkpoint.ts";
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

const finetuneCheckpoint = "checkpoint.safetensors";

/** What a pass and a step may be at most: a state that says more would take all memory, or forever. */
const [mostBatchTokens, mostAccumulation] = [2 ** 24, 2 ** 20];

const kind: CheckpointKind<FinetuneState> = {
  key: "finetune",
  command: "grok1 finetune",
  read(fields) {
    const firstLoss = fields.number("firstLoss", 0, Number.MAX_VALUE, -1);
    return {
      version: 1,
      step: fields.integer("step", 0),
      settings: fields.value("settings", "an object of texts and numbers", isSettings) as FinetuneState["settings"],
      batchTokens: fields.integer("batchTokens", 1, mostBatchTokens),
      accumulation: fields.integer("accumulation", 1, mostAccumulation),
      stream: readStreamState(fields.object("stream")),
      tokens: fields.integer("tokens", 0),
      ...(firstLoss >= 0 && { firstLoss }),
    };
  },
};

function isSettings(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    Object.values(value).every((each) => typeof each === "string" || typeof each === "number")
  );
}

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
  await writeCheckpointFile(join(folder, finetuneCheckpoint), kind, ops, parameters, state);
}

/** @throws GrokError as {@link openCheckpointFile}. */
export function openFinetuneCheckpoint(folder: string): Checkpoint<FinetuneState> {
  return openCheckpointFile(join(folder, finetuneCheckpoint), kind);
}
