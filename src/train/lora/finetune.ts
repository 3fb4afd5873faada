import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { makeFolder } from "../../bytes/folder.ts";
import { GrokError } from "../../errors.ts";
import { type GgufFile, openGguf } from "../../formats/gguf/file.ts";
import type { GradOps } from "../../kernels/grad-ops.ts";
import { coreLimit } from "../../machine/limits.ts";
import { describeModel } from "../../model/describe.ts";
import { adapterFile } from "../../model/lora/config.ts";
import { writeAdapter } from "../../model/lora/write.ts";
import { elementCount } from "../../tensor/tensor.ts";
import { openGradBackend } from "../backend.ts";
import type { TrainOptimizer } from "../config.ts";
import { type Corpus, countPassedOver } from "../data/corpus.ts";
import { type HeldOutSet, heldOutSets } from "../data/held-out.ts";
import { createBatchStream } from "../data/stream.ts";
import { runTraining } from "../loop.ts";
import { createCrossEntropy } from "../objective.ts";
import { readMemory } from "../pass-memory.ts";
import { createLocalReplicas } from "../replicas.ts";
import { createTrainer, type HeldOutScore } from "../trainer.ts";
import { type AdapterShape, adaptedTensors, adaptModel } from "./adapted-model.ts";
import { type FinetuneState, hasCheckpoint, openFinetuneCheckpoint, writeFinetuneCheckpoint } from "./checkpoint.ts";
import { identify, largestLearnedShare, loadData } from "./data.ts";
import { type MemoryPlan, planMemory } from "./memory-plan.ts";
import { type FinetuneOptions, type FinetuneResult, type SettledOptions, settleOptions } from "./options.ts";

const fixed = { betas: [0.9, 0.999], epsilon: 1e-8, clip: 1, finalShare: 0.1 } as const;

/**
 * Trains a low-rank adapter on a frozen model. What is in `out` afterwards is an adapter in `peft`'s layout and the checkpoint; each
 * is written whole or not at all, and the base's file is only ever read.
 *
 * Interrupted and resumed, a run gives what it would have given uninterrupted.
 * @throws GrokError `argument` (an option, or data to be resumed that is not the same), `io`, `format` naming file and line of
 * what is wrong with the data, `capacity` when the memory does not suffice.
 */
export async function finetune(options: FinetuneOptions): Promise<FinetuneResult> {
  const given = settleOptions(options);
  const { rank, targets, out, resume = false } = given;
  const shape: AdapterShape = { rank, alpha: given.alpha ?? 2 * rank, targets };
  const file = openGguf(given.model);
  let ops: GradOps | undefined;
  try {
    adaptedTensors(file, shape);
    checkFolder(out, resume);
    const context = contextFor(file, given);
    const corpora = await loadData(file, given, context, given.onEvent ?? (() => {}));
    const checkpoint = resume ? openFinetuneCheckpoint(out) : undefined;
    try {
      const backend = openGradBackend(given.backend, given.threads ?? coreLimit());
      ops = backend.ops;
      const memory = await planMemory(file, {
        ...{ shape, context, ops, outputShare: largestLearnedShare(corpora) },
        batchTokens: checkpoint?.state.batchTokens ?? given.batchTokens ?? Math.max(1024, context),
        accumulation: checkpoint?.state.accumulation ?? given.accumulation,
        mayShrink: checkpoint === undefined,
        ...(given.memory !== undefined && { bound: given.memory }),
      });
      const plan = { given, file, corpora, context, memory, shape, state: checkpoint?.state };
      const run = prepare(ops, plan);
      checkpoint?.restore(ops, run.adapted.parameters);
      makeFolder(out);
      return await runFinetune(ops, run, backend.fallbackReason);
    } finally {
      checkpoint?.close();
    }
  } finally {
    ops?.close();
    file.close();
  }
}

function checkFolder(out: string, resume: boolean): void {
  if (resume && !hasCheckpoint(out)) {
    throw new GrokError("argument", `${out}: there is no checkpoint to resume`, { path: out });
  }
  if (resume || !(hasCheckpoint(out) || existsSync(join(out, adapterFile)))) return;
  throw new GrokError(
    "argument",
    `${out}: holds an adapter or a checkpoint already: resume it, or name another folder`,
    { path: out },
  );
}

function contextFor(file: GgufFile, given: SettledOptions): number {
  const { contextLength } = describeModel(file).config!;
  const context = given.context ?? Math.min(512, contextLength, given.batchTokens ?? 512);
  if (context > contextLength) {
    throw new GrokError("argument", `context is ${context}, more than the model's ${contextLength}`, { context });
  }
  if (given.batchTokens !== undefined && given.batchTokens < context) {
    throw new GrokError("argument", `batchTokens is ${given.batchTokens}, less than the context, ${context}`, {
      context,
    });
  }
  return context;
}

/** What a run consists of, decided before anything is written. */
interface Plan {
  readonly given: SettledOptions;
  readonly file: GgufFile;
  readonly corpora: readonly Corpus[];
  readonly context: number;
  readonly memory: MemoryPlan;
  readonly shape: AdapterShape;
  /** Where an earlier run stopped. */
  readonly state: FinetuneState | undefined;
}

function prepare(ops: GradOps, plan: Plan) {
  const { given, file, corpora, context, memory, shape, state } = plan;
  const { batchTokens, accumulation } = memory;
  const { seed } = given;
  const stream = createBatchStream(corpora, { context, batchTokens, accumulation, replicas: 1, seed });
  const epochTokens = stream.epochTokens.reduce((sum, count) => sum + count, 0);
  const steps = given.steps ?? Math.max(1, Math.ceil((given.epochs * epochTokens) / (batchTokens * accumulation)));
  const warmup = Math.min(steps, given.warmup ?? Math.min(100, Math.ceil(0.03 * steps)));
  const { rate, weightDecay } = given;
  const length = { steps, warmup };
  // Without a word for the data, which the stream knows by its contents: steps that come of `epochs` differ where those do.
  const kept = {
    ...{ base: identify(file), rank: shape.rank, alpha: shape.alpha, targets: shape.targets.join(",") },
    ...{ format: given.format ?? "told from the file", overlong: given.overlong ?? "error" },
    ...{ heldOut: given.heldOut, context, rate, weightDecay, seed },
  };
  const settings = { ...kept, ...length };
  if (state) {
    checkSettings(given, state.settings, kept);
    stream.restore(state.stream, given.out);
    checkSettings(given, state.settings, length);
  }
  const adapted = adaptModel(ops, file, shape, { seed, recompute: memory.recompute });
  const optimizer: TrainOptimizer = { ...fixed, rate, warmup, weightDecay };
  const { parameters } = adapted;
  const objective = createCrossEntropy(ops, adapted);
  const trainer = createTrainer(ops, { parameters, objective, optimizer, steps, source: given.model });
  const heldOut = heldOutSets(corpora, { context, batchTokens });
  return { ...plan, stream, epochTokens, steps, settings, adapted, trainer, heldOut };
}

async function runFinetune(
  ops: GradOps,
  run: ReturnType<typeof prepare>,
  fallbackReason: string | undefined,
): Promise<FinetuneResult> {
  const { given, file, corpora, memory, shape, state, stream, steps, settings, adapted, trainer, heldOut } = run;
  const { out, signal, onEvent: emit = () => {} } = given;
  const { parameters, config } = describeModel(file);
  const trainable = adapted.parameters.reduce((sum, { shape: sides }) => sum + elementCount(sides), 0);
  const frozenShare = parameters / (parameters + trainable);
  const { step = 0 } = state ?? {};
  emit({
    ...{ type: "start", step, steps, trainable, parameters, frozenShare, epochTokens: run.epochTokens, memory },
    ...{ backend: ops.backend, fallbackReason },
    documents: corpora.reduce((sum, { training }) => sum + training.length, 0),
    heldOut: corpora.reduce((sum, { heldOut: some }) => sum + some.length, 0),
    ...countPassedOver(corpora),
  });
  const show = (at: number, scores: readonly HeldOutScore[]): number | undefined => {
    const mean = meanScore(heldOut, scores);
    if (mean !== undefined) emit({ type: "evaluation", step: at, ...mean });
    return mean?.loss;
  };
  let firstLoss = state?.firstLoss;
  if (step === 0) firstLoss = show(0, (await trainer.score(heldOut, 0, signal)) ?? []);
  let peakMemory = 0;
  const { batchTokens, accumulation } = memory;
  const { progress, finished, ...end } = await runTraining({
    ...{ trainer, replicas: createLocalReplicas(trainer), stream, heldOut, steps, source: given.model, signal },
    ...{ evaluationInterval: given.evaluationInterval, checkpointInterval: given.checkpointInterval },
    ...{ from: { step, tokens: state?.tokens ?? 0, seconds: 0, chosen: [] }, saved: state !== undefined },
    onStep({ progress: { step: at, tokens }, sums, rate, norm, elapsed }) {
      peakMemory = Math.max(peakMemory, readMemory().anonymous);
      const loss = sums.loss / sums.learned;
      emit({ type: "step", step: at, loss, norm, rate, tokens, tokensPerSecond: sums.tokens / elapsed });
    },
    async save({ step: at, tokens }) {
      await writeFinetuneCheckpoint(out, ops, adapted.parameters, {
        ...{ version: 1, step: at, settings, batchTokens, accumulation, stream: stream.save(), tokens },
        ...(firstLoss !== undefined && { firstLoss }),
      });
      emit({ type: "checkpoint", step: at });
    },
    onScores: ({ step: at }, scores) => void show(at, scores),
  });
  const { rank, alpha } = shape;
  const base = resolve(given.model);
  await writeAdapter(out, { terms: adapted.terms(), rank, alpha, base, headSize: config!.headSize });
  return {
    ...{ adapter: join(out, adapterFile), step: progress.step, finished, loss: end.loss, trainable, frozenShare },
    ...{ heldOutBefore: firstLoss, heldOutAfter: end.heldOut && meanScore(heldOut, end.heldOut)?.loss },
    ...{ estimate: memory.estimate, peakMemory, peakResident: readMemory().peakResident },
  };
}

/** Over all sets, each by what it holds; undefined where nothing was scored. */
function meanScore(sets: readonly HeldOutSet[], scores: readonly HeldOutScore[]) {
  if (scores.length === 0) return undefined;
  const sum = (value: (set: HeldOutSet, index: number) => number) => sets.map(value).reduce((a, b) => a + b, 0);
  const nats = sum(({ tokens }, i) => scores[i]!.loss * tokens);
  return { loss: nats / sum(({ tokens }) => tokens), bitsPerByte: nats / Math.LN2 / sum(({ bytes }) => bytes) };
}

function checkSettings(
  { out, model }: SettledOptions,
  before: FinetuneState["settings"],
  now: FinetuneState["settings"],
): void {
  for (const [name, value] of Object.entries(now)) {
    if (before[name] === value) continue;
    const what =
      name === "base"
        ? `on another model than ${model}, its weights have changed, or an earlier grok1 began it`
        : `with ${name} ${before[name]}, and goes on with ${value}`;
    throw new GrokError("argument", `${out}: the run was begun ${what}`, { path: out, option: name });
  }
}
