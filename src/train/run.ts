import { join } from "node:path";
import { writeAtomic } from "../bytes/atomic-write.ts";
import { type ExportType, writeModel } from "../convert/export.ts";
import { GrokError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf/encode.ts";
import { coreLimit, memoryLimit } from "../machine/limits.ts";
import { openGradBackend } from "./backend.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { readTrainConfig, type TrainConfig } from "./config.ts";
import { countPassedOver } from "./data/corpus.ts";
import type { BatchStream } from "./data/stream.ts";
import { describeUse } from "./expert-use.ts";
import { createFullTrainer } from "./full-model.ts";
import { openLog, type StepReport } from "./log.ts";
import { type Progress, runTraining } from "./loop.ts";
import { plotCurves } from "./loss-plot.ts";
import { checkParameterMemory, defaultBound, planTraining } from "./memory-plan.ts";
import { type SettledTrainOptions, settleTrainOptions, type TrainOptions, type TrainStart } from "./options.ts";
import { countParameters, modelMetadata } from "./parameters.ts";
import { startProcesses } from "./processes.ts";
import { createLocalReplicas, type Replicas } from "./replicas.ts";
import {
  checkpointPath,
  listCheckpoints,
  openLastCheckpoint,
  type RunState,
  writeCheckpoint,
} from "./run-checkpoint.ts";
import { checkSameModel, openInitial, prepareTraining, type TrainSetup } from "./setup.ts";
import type { HeldOutScore, Trainer } from "./trainer.ts";

export interface TrainResult {
  readonly step: number;
  /** False: stopped by the signal, to be resumed. */
  readonly finished: boolean;
  readonly checkpoint: string;
  /** The GGUF file and its last scores, of a run that finished. */
  readonly model?: string;
  readonly heldOut?: readonly HeldOutScore[];
  readonly tokens: number;
  readonly seconds: number;
}

/** Data, model and processes, ready for the first step. */
export interface OpenRun {
  readonly setup: TrainSetup;
  readonly trainer: Trainer;
  readonly stream: BatchStream;
  readonly replicas: Replicas;
  readonly start: TrainStart;
  /** What earlier runs did. */
  readonly from: Progress;
  readonly resumed: boolean;
  close(): Promise<void>;
}

/**
 * Reads data, makes or loads the model and starts processes.
 * @throws GrokError naming the file, entry or option at fault.
 */
export async function openRun(config: TrainConfig, options: SettledTrainOptions): Promise<OpenRun> {
  const { processes, backend, memory: bound = defaultBound(memoryLimit()) } = options;
  if (processes > config.replicas) {
    throw new GrokError(
      "argument",
      `${processes} processes for ${config.replicas} replicas: ${config.path} needs "replicas" of at least as many, so that results do not depend on processes`,
      { processes, replicas: config.replicas },
    );
  }
  const setup = await prepareTraining(config, (path) => options.onEvent?.({ type: "file", path }));
  const stream = setup.stream();
  const threads = Math.max(1, Math.floor((options.threads ?? coreLimit()) / processes));
  const parameters = countParameters(config.model, setup.vocab);
  const { ops, fallbackReason } = openGradBackend(backend, threads);
  let checkpoint: Checkpoint<RunState> | undefined;
  let initial: ReturnType<typeof openInitial> | undefined;
  try {
    if (options.resume) checkpoint = openLastCheckpoint(config.out);
    checkParameterMemory(config, parameters, ops);
    if (checkpoint) {
      checkSameModel(checkpoint, setup);
      stream.restore(checkpoint.state.stream, checkpoint.path);
    }
    const memory = await planTraining(config, setup.specs, { ops, processes, bound });
    const { recompute } = memory;
    initial = checkpoint ? undefined : openInitial(config);
    const values = initial?.values ?? (({ name, shape }) => checkpoint!.values("values", name, shape));
    const trainer = createFullTrainer(ops, config, { ...setup, values, recompute });
    checkpoint?.restore(ops, trainer.parameters);
    const state = stream.save();
    const onWarning = (message: string) => options.onEvent?.({ type: "warning", message });
    const replicas =
      processes === 1
        ? createLocalReplicas(trainer)
        : await startProcesses(trainer, { config, backend, threads, processes, state, recompute, onWarning });
    return {
      ...{ setup, trainer, stream, replicas },
      start: {
        step: checkpoint?.state.step ?? 0,
        parameters,
        ...{ backend: ops.backend, fallbackReason },
        memory,
        epochTokens: Object.fromEntries(
          setup.corpora.map(({ source }, i) => [source.name, stream.epochTokens[i]!] as const),
        ),
        ...countPassedOver(setup.corpora),
      },
      from: {
        ...{ step: checkpoint?.state.step ?? 0, tokens: checkpoint?.state.tokens ?? 0 },
        ...{ seconds: checkpoint?.state.seconds ?? 0, chosen: checkpoint?.state.chosen ?? [] },
      },
      resumed: checkpoint !== undefined,
      async close() {
        await replicas.close();
        ops.close();
      },
    };
  } catch (error) {
    ops.close();
    throw error;
  } finally {
    initial?.close();
    checkpoint?.close();
  }
}

/** Path of the model that a run exports. */
function exportPath(config: TrainConfig, type: ExportType): string {
  return join(config.out, `${config.model.name.replace(/[^\p{L}\p{M}\p{N}_.-]+/gu, "-")}-${type}.gguf`);
}

/**
 * Trains a model as a configuration says: a file's, by its path, or one that {@link readTrainConfig} read. Into its folder go `checkpoints/`, `log.jsonl`, `loss.svg` and, at the end, the model
 * as GGUF. A run that was stopped and resumed does what an uninterrupted one does, to the bit.
 *
 * @throws GrokError `argument` (a folder that has a run already, one that has none to resume, a training that diverged), `io`
 * (no space), `format`, `shape` (data, checkpoints), naming file and place.
 */
export async function train(from: string | TrainConfig, options: TrainOptions = {}): Promise<TrainResult> {
  const given = settleTrainOptions(options);
  const config = typeof from === "string" ? readTrainConfig(from) : from;
  const existing = listCheckpoints(config.out).at(-1);
  if (!given.resume && existing !== undefined) {
    throw new GrokError("argument", `${config.out}: there is a run in it already: resume it, or name another folder`, {
      path: config.out,
    });
  }
  const run = await openRun(config, given);
  try {
    return await trainAndExport(run, given);
  } finally {
    await run.close();
  }
}

async function trainAndExport(run: OpenRun, options: SettledTrainOptions): Promise<TrainResult> {
  const { setup, trainer, replicas, stream, start } = run;
  const { config } = setup;
  const { model } = config;
  const emit = options.onEvent ?? (() => {});
  const log = await openLog(config.out, start.step);
  emit({ type: "start", ...start });
  const plot = async () => {
    const picture = plotCurves(`${model.name}: loss`, "bits per byte", log.curves());
    await writeAtomic(join(config.out, "loss.svg"), [Buffer.from(picture)]);
  };
  let secondsAStep = 0;
  const { progress, finished, heldOut } = await runTraining({
    ...{ trainer, replicas, stream, heldOut: setup.heldOut, steps: config.steps, source: config.path },
    ...{ evaluationInterval: config.evaluation.interval, checkpointInterval: config.checkpoint.interval },
    ...{ from: run.from, saved: run.resumed, signal: options.signal },
    onStep({ progress: { step, tokens }, sums, rate, norm, elapsed }) {
      secondsAStep = secondsAStep === 0 ? elapsed : 0.9 * secondsAStep + 0.1 * elapsed;
      const { imbalance, unused } = describeUse(sums.chosen, model.layers);
      const report: StepReport = {
        step,
        loss: sums.loss / sums.learned,
        bitsPerByte: sums.loss / Math.LN2 / sums.bytes,
        ...{ balance: sums.balance, zLoss: sums.zLoss, rate, norm, tokens },
        tokensPerSecond: sums.tokens / elapsed,
        ...{ imbalance, unused },
      };
      log.append(report);
      emit({ type: "step", report, secondsLeft: secondsAStep * (config.steps - step) });
    },
    async save({ step, tokens, seconds, chosen }) {
      const place = { model, vocab: setup.vocab, stream: stream.save() };
      const state = { version: 1, step, ...place, tokens, seconds, chosen } as const;
      const path = await writeCheckpoint(config.out, trainer.ops, trainer.parameters, state, config.checkpoint.keep);
      emit({ type: "checkpoint", path, step });
    },
    known: (step) => log.scoresAt(step),
    async onScores({ step, chosen }, scores) {
      const experts = chosen.length === 0 ? [] : describeUse(chosen, model.layers).shares;
      const report = { step, heldOut: scores, experts };
      log.append(report);
      emit({ type: "evaluation", report });
      await plot();
    },
  });
  const { step, tokens, seconds } = progress;
  const result = { step, finished, checkpoint: checkpointPath(config.out, step), tokens, seconds };
  if (!finished) {
    await plot();
    return result;
  }
  // Also when a finished run is resumed: to export it in another type.
  const path = exportPath(config, options.type);
  const tensors = trainer.parameters.map((parameter) => ({
    ...{ name: parameter.name, shape: parameter.shape },
    values: () => trainer.ops.readParameter(parameter, "values"),
  }));
  const metadata = [...modelMetadata(model), ...describeAbout(config)];
  await writeModel(path, { metadata, tokenizer: setup.tokenizerMetadata, tensors }, options.type);
  return { ...result, model: path, ...(heldOut && { heldOut }) };
}

/** What the configuration has the model say of itself. */
function describeAbout({ about = {} }: TrainConfig): [string, GgufValue][] {
  return Object.entries(about).map(([key, value]) => [`general.${key}`, { type: "string", value }]);
}
