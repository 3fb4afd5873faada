import type { BackendChoice } from "../../engine/options.ts";
import { GrokError } from "../../errors.ts";
import { checkList, checkNames, checkText, checkWhole, withDefaults } from "../../options.ts";
import type { PassedOver } from "../data/corpus.ts";
import type { DataFormat, OverlongPolicy } from "../data/source.ts";
import type { MemoryPlan } from "./memory-plan.ts";

export interface FinetuneOptions {
  /** The base: stays mapped, of any tensor type, and as it is. */
  readonly model: string;
  /** Files of texts, prompts with answers, or conversations; of the latter two only the answers are learned. */
  readonly data: readonly string[];
  /** Folder for the adapter and the checkpoint. */
  readonly out: string;
  readonly rank?: number;
  /** Default: twice the rank. */
  readonly alpha?: number;
  /** Of attention, experts, router; or last parts of modules' names. Default: queries and values, as `peft` has it for Llama. */
  readonly targets?: readonly string[];
  /** Default: told from the file. */
  readonly format?: DataFormat;
  /** What to do with documents longer than the context. Default "error". */
  readonly overlong?: OverlongPolicy;
  /** Share of the documents that are held out, by their content; or a file of such. */
  readonly heldOut?: number | string;
  /** A Jinja chat template in place of the model's own. */
  readonly chatTemplate?: string;
  /** Tokens of a sequence at most. Default: the model's own context, at most 512 and `batchTokens`. */
  readonly context?: number;
  /** Rows of a forward pass. Default: the larger of 1024 and the context. */
  readonly batchTokens?: number;
  readonly accumulation?: number;
  /** Steps of the optimizer; default: as many as `epochs` take. */
  readonly steps?: number;
  readonly epochs?: number;
  readonly rate?: number;
  /** Steps of warm-up. Default: 3 % of all, at most 100. */
  readonly warmup?: number;
  readonly weightDecay?: number;
  readonly seed?: number;
  /** Steps between two evaluations, and two checkpoints. */
  readonly evaluationInterval?: number;
  readonly checkpointInterval?: number;
  /** Bytes of memory, the mapped model file not counted. Default: half of what the process may use. */
  readonly memory?: number;
  readonly backend?: BackendChoice;
  readonly threads?: number;
  /** Go on from the checkpoint in `out`. */
  readonly resume?: boolean;
  /** Stops after the step under way, with a checkpoint. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: FinetuneEvent) => void;
}

export const defaultFinetuneOptions = {
  rank: 16,
  targets: ["q_proj", "v_proj"],
  heldOut: 0.05,
  accumulation: 1,
  epochs: 3,
  rate: 2e-4,
  weightDecay: 0,
  seed: 1,
  checkpointInterval: 50,
  evaluationInterval: 50,
  backend: "auto",
} as const;

/** Options with their defaults. */
export type SettledOptions = FinetuneOptions & Required<Pick<FinetuneOptions, keyof typeof defaultFinetuneOptions>>;

export type FinetuneEvent =
  | { readonly type: "file"; readonly path: string }
  | ({ readonly type: "start" } & FinetuneStart)
  | ({ readonly type: "step" } & FinetuneStep)
  | { readonly type: "evaluation"; readonly step: number; readonly loss: number; readonly bitsPerByte: number }
  | { readonly type: "checkpoint"; readonly step: number };

export interface FinetuneStart extends PassedOver {
  readonly step: number;
  readonly steps: number;
  readonly trainable: number;
  readonly parameters: number;
  /** Share of all parameters, the adapter's with them, that are frozen. */
  readonly frozenShare: number;
  readonly epochTokens: number;
  readonly documents: number;
  readonly heldOut: number;
  readonly memory: MemoryPlan;
  readonly backend: string;
  readonly fallbackReason: string | undefined;
}

export interface FinetuneStep {
  readonly step: number;
  /** Nats a learned token. */
  readonly loss: number;
  readonly norm: number;
  readonly rate: number;
  readonly tokens: number;
  readonly tokensPerSecond: number;
}

export interface FinetuneResult {
  readonly adapter: string;
  readonly step: number;
  /** False when the signal ended it early. */
  readonly finished: boolean;
  readonly loss: number | undefined;
  /** Nats a learned token on held-out data, before and after; absent without such data, the latter also where the signal came before it. */
  readonly heldOutBefore: number | undefined;
  readonly heldOutAfter: number | undefined;
  readonly trainable: number;
  readonly frozenShare: number;
  /** Bytes: the estimate, and the most that was seen of the process's own memory after any step. */
  readonly estimate: number;
  readonly peakMemory: number;
  /** With the pages of mapped files that were in memory. */
  readonly peakResident: number;
}

const optionNames = Object.keys({
  ...{ model: true, data: true, out: true, rank: true, alpha: true, targets: true, format: true, overlong: true },
  ...{ heldOut: true, chatTemplate: true, context: true, batchTokens: true, accumulation: true, steps: true },
  ...{ epochs: true, rate: true, warmup: true, weightDecay: true, seed: true, evaluationInterval: true },
  ...{ checkpointInterval: true, memory: true, backend: true, threads: true, resume: true, signal: true },
  onEvent: true,
} satisfies Record<keyof FinetuneOptions, true>);

/** Fills in the defaults. @throws GrokError `argument` naming an option that cannot be. */
export function settleOptions(options: FinetuneOptions): SettledOptions {
  checkNames("finetune", options, optionNames);
  checkText("model", options.model);
  checkText("out", options.out);
  checkList("data", options.data);
  for (const [i, path] of options.data.entries()) checkText(`data[${i}]`, path);
  const given: SettledOptions = withDefaults<FinetuneOptions, keyof typeof defaultFinetuneOptions>(
    options,
    defaultFinetuneOptions,
  );
  const wrong = (name: string, value: unknown, expected: string) => {
    throw new GrokError("argument", `${name} is ${value}, expected ${expected}`, { option: name });
  };
  const whole = [
    "context",
    "batchTokens",
    "accumulation",
    "steps",
    "evaluationInterval",
    "checkpointInterval",
  ] as const;
  checkWhole("seed", given.seed, 0, Number.MAX_SAFE_INTEGER);
  if (given.warmup !== undefined) checkWhole("warmup", given.warmup, 0, Number.MAX_SAFE_INTEGER);
  for (const name of whole) {
    const value = given[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1))
      wrong(name, value, "a whole number above 0");
  }
  for (const name of ["alpha", "epochs", "rate", "memory"] as const) {
    const value = given[name];
    if (value !== undefined && !(value > 0 && Number.isFinite(value))) wrong(name, value, "a number above 0");
  }
  checkList("targets", given.targets);
  return given;
}
