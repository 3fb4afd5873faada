import { GrokError } from "../errors.ts";
import type { HeldOutSet } from "./data/held-out.ts";
import type { BatchStream } from "./data/stream.ts";
import type { Replicas, StepSums } from "./replicas.ts";
import type { HeldOutScore, Trainer } from "./trainer.ts";

/** How far a training is. */
export interface Progress {
  /** Steps done. */
  readonly step: number;
  /** Rows trained on. */
  readonly tokens: number;
  /** Seconds of steps. */
  readonly seconds: number;
  /** [layers, experts] choices since the last evaluation. */
  readonly chosen: readonly number[];
}

/** A step that was just done. */
export interface StepDone {
  readonly progress: Progress;
  readonly sums: StepSums;
  readonly rate: number;
  /** Of the gradient, before clipping. */
  readonly norm: number;
  /** Seconds of this step. */
  readonly elapsed: number;
}

/** A training: an objective's trainer, its data, and what is kept on the way. */
export interface Training {
  readonly trainer: Trainer;
  readonly replicas: Replicas;
  readonly stream: BatchStream;
  readonly heldOut: readonly HeldOutSet[];
  /** Steps in all; steps between two evaluations, and two checkpoints. */
  readonly steps: number;
  readonly evaluationInterval: number;
  readonly checkpointInterval: number;
  /** The file that an error names. */
  readonly source: string;
  /** Where an earlier run stopped. */
  readonly from: Progress;
  /** Whether a checkpoint of that place is there already. */
  readonly saved: boolean;
  /** Ends the training after the step in hand, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
  onStep(done: StepDone): void;
  /** Writes a checkpoint. */
  save(progress: Progress): Promise<void>;
  /** Scores of this step that an earlier run kept: they are not measured again. */
  known?(step: number): readonly HeldOutScore[] | undefined;
  onScores(progress: Progress, scores: readonly HeldOutScore[]): Promise<void> | void;
}

export interface TrainingEnd {
  readonly progress: Progress;
  /** False: stopped by the signal, to go on from the checkpoint. */
  readonly finished: boolean;
  /** Nats a learned token of the last step that this call did. */
  readonly loss?: number;
  /** After the last step, of a training that finished. */
  readonly heldOut?: readonly HeldOutScore[];
}

/** Trains up to the last step, or the signal. What comes of it is the same to the bit however often it is stopped and goes on. */
export async function runTraining(training: Training): Promise<TrainingEnd> {
  const { trainer, replicas, stream, steps, signal } = training;
  let progress = training.from;
  let saved = training.saved ? progress.step : undefined;
  let loss: number | undefined;

  const save = async () => {
    if (saved === progress.step) return;
    await training.save(progress);
    saved = progress.step;
  };
  /** Undefined when the signal came between. */
  const evaluate = async (): Promise<readonly HeldOutScore[] | undefined> => {
    const known = training.known?.(progress.step);
    const scores = known ?? (await trainer.score(training.heldOut, progress.step, signal));
    if (scores === undefined) return undefined;
    if (known === undefined) await training.onScores(progress, scores);
    progress = { ...progress, chosen: [] };
    return scores;
  };
  const end = (finished: boolean): TrainingEnd => ({ progress, finished, ...(loss !== undefined && { loss }) });
  const stop = async () => {
    await save();
    return end(false);
  };
  const isDue = () => progress.step < steps && progress.step % training.evaluationInterval === 0;

  // The run before was stopped between a step and its evaluation.
  if (progress.step > 0 && isDue() && (await evaluate()) === undefined) return stop();
  while (progress.step < steps) {
    if (signal?.aborted) return stop();
    const step = progress.step + 1;
    const began = performance.now();
    const sums = await replicas.step(stream);
    if (sums.learned === 0) {
      throw new GrokError(
        "argument",
        `${training.source}: step ${step} has no token to learn: batchTokens is too small`,
        { step },
      );
    }
    const { rate, norm } = trainer.update(step);
    const elapsed = (performance.now() - began) / 1000;
    loss = sums.loss / sums.learned;
    progress = {
      step,
      tokens: progress.tokens + sums.tokens,
      seconds: progress.seconds + elapsed,
      chosen: sums.chosen.map((count, i) => count + (progress.chosen[i] ?? 0)),
    };
    training.onStep({ progress, sums, rate, norm, elapsed });
    if (step === steps || step % training.checkpointInterval === 0) await save();
    if (isDue() && (await evaluate()) === undefined) return stop();
  }
  const heldOut = await evaluate();
  return heldOut === undefined ? stop() : { ...end(true), heldOut };
}
