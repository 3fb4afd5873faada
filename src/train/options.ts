import { type ExportType, exportTypes } from "../convert/export.ts";
import type { BackendChoice } from "../engine/options.ts";
import { describeValue, GrokError } from "../errors.ts";
import { checkNames, checkWhole, withDefaults } from "../options.ts";
import type { PassedOver } from "./data/corpus.ts";
import type { EvaluationReport, StepReport } from "./log.ts";
import type { TrainMemory } from "./memory-plan.ts";
import type { ParameterCount } from "./parameters.ts";

export interface TrainOptions {
  /** Default "auto". */
  readonly backend?: BackendChoice;
  /** Threads of all processes together. Default: the physical cores that the process may use. */
  readonly threads?: number;
  /** Processes that share a step's replicas. Default 1. */
  readonly processes?: number;
  /** Go on from the last checkpoint. Without it, a folder that has checkpoints is refused. */
  readonly resume?: boolean;
  /** Type of the exported model. Default "f16". */
  readonly type?: ExportType;
  /**
   * Bytes of memory to stay within, of all processes together: where activations do not fit, layers are computed again, to the same
   * result. Default: what the process may use (src/machine/limits.ts), less a tenth and at least 256 MiB.
   */
  readonly memory?: number;
  /** Ends the run after the step in hand, with a checkpoint. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TrainEvent) => void;
}

export type TrainEvent =
  /** A data file is being tokenized. */
  | { readonly type: "file"; readonly path: string }
  | ({ readonly type: "start" } & TrainStart)
  | { readonly type: "step"; readonly report: StepReport; readonly secondsLeft: number }
  | { readonly type: "evaluation"; readonly report: EvaluationReport }
  | { readonly type: "checkpoint"; readonly path: string; readonly step: number }
  /** Something that the run does otherwise than it was asked to, or slower than it could. */
  | { readonly type: "warning"; readonly message: string };

export interface TrainStart extends PassedOver {
  /** Steps done by earlier runs. */
  readonly step: number;
  readonly parameters: ParameterCount;
  readonly backend: string;
  readonly fallbackReason: string | undefined;
  readonly memory: TrainMemory;
  /** Tokens of one epoch, by source. */
  readonly epochTokens: Readonly<Record<string, number>>;
}

export const defaultTrainOptions = { backend: "auto", processes: 1, type: "f16" } as const;

/** Options with their defaults. */
export type SettledTrainOptions = TrainOptions & Required<Pick<TrainOptions, keyof typeof defaultTrainOptions>>;

const optionNames = Object.keys({
  ...{ backend: true, threads: true, processes: true, resume: true, type: true, memory: true, signal: true },
  onEvent: true,
} satisfies Record<keyof TrainOptions, true>);

/**
 * Fills in the defaults. What a run needs only at its end is refused before it begins.
 * @throws GrokError `argument` naming an option that cannot be.
 */
export function settleTrainOptions(options: TrainOptions): SettledTrainOptions {
  checkNames("train", options, optionNames);
  const given: SettledTrainOptions = withDefaults<TrainOptions, keyof typeof defaultTrainOptions>(
    options,
    defaultTrainOptions,
  );
  const { type, processes, threads, memory } = given;
  if (!exportTypes.includes(type as ExportType)) {
    throw new GrokError("argument", `type is ${describeValue(type)}, expected one of ${exportTypes.join(", ")}`, {
      option: "type",
    });
  }
  checkWhole("processes", processes, 1, 1024);
  if (threads !== undefined) checkWhole("threads", threads, 1, 1024);
  if (memory !== undefined) checkWhole("memory", memory, 1, Number.MAX_SAFE_INTEGER);
  return given;
}
