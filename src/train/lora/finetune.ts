import { createHash } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { ioError } from "../../bytes/io-error.ts";
import type { BackendChoice } from "../../engine/options.ts";
import { GrokError } from "../../errors.ts";
import { type GgufFile, openGguf } from "../../formats/gguf/file.ts";
import { createJinjaTemplate, plainTemplate } from "../../generate/chat-template.ts";
import type { GradOps } from "../../kernels/grad-ops.ts";
import { coreLimit } from "../../machine/limits.ts";
import { describeModel } from "../../model/describe.ts";
import { adapterFile } from "../../model/lora/config.ts";
import { writeAdapter } from "../../model/lora/write.ts";
import { elementCount } from "../../tensor/tensor.ts";
import { tokenizerFromGguf } from "../../tokenizer/gguf.ts";
import { openGradBackend } from "../backend.ts";
import { clippingFactor } from "../clipping.ts";
import { type Corpus, countOverlong, loadCorpus } from "../data/corpus.ts";
import { type HeldOutSet, heldOutSets } from "../data/held-out.ts";
import type { DataFormat, OverlongPolicy } from "../data/source.ts";
import { type BatchStream, createBatchStream } from "../data/stream.ts";
import { readMemory } from "../memory.ts";
import { rateAt } from "../schedule.ts";
import { type AdaptedModel, type AdapterShape, adaptedTensors, adaptModel } from "./adapted-model.ts";
import { type FinetuneState, hasCheckpoint, openFinetuneCheckpoint, writeFinetuneCheckpoint } from "./checkpoint.ts";
import { type MemoryPlan, planMemory } from "./memory.ts";
import { sourceOf } from "./source.ts";

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
type Settled = FinetuneOptions & Required<Pick<FinetuneOptions, keyof typeof defaultFinetuneOptions>>;

export type FinetuneEvent =
  | { readonly type: "file"; readonly path: string }
  | ({ readonly type: "start" } & FinetuneStart)
  | ({ readonly type: "step" } & FinetuneStep)
  | { readonly type: "evaluation"; readonly step: number; readonly loss: number; readonly bitsPerByte: number }
  | { readonly type: "checkpoint"; readonly step: number };

export interface FinetuneStart {
  readonly step: number;
  readonly steps: number;
  readonly trainable: number;
  readonly parameters: number;
  /** Share of all parameters, the adapter's with them, that are frozen. */
  readonly frozenShare: number;
  readonly epochTokens: number;
  readonly documents: number;
  readonly heldOut: number;
  /** Of them and beside them: what did not fit the context and was left out, or cut. */
  readonly skipped: number;
  readonly truncated: number;
  readonly memory: MemoryPlan;
  readonly backend: "native" | "reference";
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

const betas = [0.9, 0.999] as const;
const epsilon = 1e-8;
const clip = 1;
const finalShare = 0.1;

/**
 * Trains a low-rank adapter on a frozen model. What is in `out` afterwards is an adapter in `peft`'s layout and the checkpoint; each
 * is written whole or not at all, and the base's file is only ever read.
 *
 * Interrupted and resumed, a run gives what it would have given uninterrupted.
 * @throws GrokError `argument` (an option, or data to be resumed that is not the same), `io`, `format` naming file and line of
 * what is wrong with the data, `capacity` when the memory does not suffice.
 */
export async function finetune(options: FinetuneOptions): Promise<FinetuneResult> {
  const given: Settled = { ...defaultFinetuneOptions, ...options };
  const { rank, targets, out, resume = false } = given;
  const shape: AdapterShape = { rank, alpha: given.alpha ?? 2 * rank, targets };
  checkNumbers(given);
  const file = openGguf(given.model);
  const emit = given.onEvent ?? (() => {});
  let ops: GradOps | undefined;
  try {
    adaptedTensors(file, shape);
    if (resume && !hasCheckpoint(out)) {
      throw new GrokError("argument", `${out}: there is no checkpoint to resume`, { path: out });
    }
    if (!resume && (hasCheckpoint(out) || existsSync(join(out, adapterFile)))) {
      throw new GrokError(
        "argument",
        `${out}: holds an adapter or a checkpoint already: resume it, or name another folder`,
        {
          path: out,
        },
      );
    }
    const model = describeModel(file);
    const { contextLength } = model.config!;
    const context = given.context ?? Math.min(512, contextLength, given.batchTokens ?? 512);
    if (context > contextLength) {
      throw new GrokError("argument", `context is ${context}, more than the model's ${contextLength}`, { context });
    }
    if (given.batchTokens !== undefined && given.batchTokens < context) {
      throw new GrokError("argument", `batchTokens is ${given.batchTokens}, less than the context, ${context}`, {
        context,
      });
    }
    const corpora = await loadData(file, given, context, emit);
    const checkpoint = resume ? openFinetuneCheckpoint(out) : undefined;
    try {
      const backend = openGradBackend(given.backend, given.threads ?? coreLimit());
      ops = backend.ops;
      const memory = await planMemory(file, {
        ...{ shape, context, backend: ops.backend, outputShare: largestLearnedShare(corpora) },
        batchTokens: checkpoint?.state.batchTokens ?? given.batchTokens ?? Math.max(1024, context),
        accumulation: checkpoint?.state.accumulation ?? given.accumulation,
        mayShrink: checkpoint === undefined,
        ...(given.memory !== undefined && { bound: given.memory }),
      });
      const { batchTokens, accumulation } = memory;
      const stream = createBatchStream(corpora, { context, batchTokens, accumulation, replicas: 1, seed: given.seed });
      const epochTokens = stream.epochTokens.reduce((sum, count) => sum + count, 0);
      const steps = given.steps ?? Math.max(1, Math.ceil((given.epochs * epochTokens) / (batchTokens * accumulation)));
      const warmup = Math.min(steps, given.warmup ?? Math.min(100, Math.ceil(0.03 * steps)));
      const settings = {
        ...{ base: identify(file), rank, alpha: shape.alpha, targets: targets.join(","), steps, warmup },
        ...{ rate: given.rate, weightDecay: given.weightDecay, seed: given.seed },
      };
      if (checkpoint) checkSettings(out, checkpoint.state.settings, settings);
      const adapted = adaptModel(ops, file, shape, { seed: given.seed, recompute: memory.recompute });
      if (checkpoint) {
        stream.restore(checkpoint.state.stream, out);
        checkpoint.restore(ops, adapted.parameters);
      }
      try {
        mkdirSync(out, { recursive: true });
      } catch (error) {
        throw ioError("create the folder", out, error);
      }
      const trainable = adapted.parameters.reduce((sum, { shape: sides }) => sum + elementCount(sides), 0);
      const frozenShare = model.parameters / (model.parameters + trainable);
      const sets = heldOutSets(corpora, { context, batchTokens });
      emit({
        ...{ type: "start", step: checkpoint?.state.step ?? 0, steps, trainable, parameters: model.parameters },
        ...{ frozenShare, epochTokens, memory, backend: ops.backend, fallbackReason: backend.fallbackReason },
        documents: corpora.reduce((sum, { training }) => sum + training.length, 0),
        heldOut: corpora.reduce((sum, { heldOut }) => sum + heldOut.length, 0),
        ...countOverlong(corpora),
      });
      const run: Run = { given, ops, adapted, stream, steps, warmup, sets, emit, settings, memory };
      const outcome = await runSteps(run, checkpoint?.state);
      await writeAdapter(out, {
        ...{ terms: adapted.terms(), rank, alpha: shape.alpha, base: resolve(given.model) },
        headSize: model.config!.headSize,
      });
      const { peakResident } = readMemory();
      return {
        ...{ adapter: join(out, adapterFile), trainable, frozenShare, peakResident, estimate: memory.estimate },
        ...outcome,
      };
    } finally {
      checkpoint?.close();
    }
  } finally {
    ops?.close();
    file.close();
  }
}

interface Run {
  readonly given: Settled;
  readonly ops: GradOps;
  readonly adapted: AdaptedModel;
  readonly stream: BatchStream;
  readonly steps: number;
  readonly warmup: number;
  readonly sets: readonly HeldOutSet[];
  readonly emit: (event: FinetuneEvent) => void;
  readonly settings: FinetuneState["settings"];
  readonly memory: MemoryPlan;
}

async function runSteps(run: Run, state: FinetuneState | undefined) {
  const { given, ops, adapted, stream, steps, warmup, sets, emit } = run;
  const { tape, model, cache, parameters } = adapted;
  const cancelled = () => given.signal?.aborted === true;
  let step = state?.step ?? 0;
  let saved = step;
  let tokens = state?.tokens ?? 0;
  let loss: number | undefined;
  let peakMemory = 0;
  const scored = sets.some((set) => set.tokens > 0);

  /** Undefined without held-out data, and when the signal came between. */
  const evaluate = async (): Promise<number | undefined> => {
    let [nats, targets, bytes] = [0, 0, 0];
    for (const set of sets) {
      for (const { batch, targets: wanted, weights } of set.batches()) {
        if (cancelled()) return undefined;
        if (wanted.length === 0) continue;
        nats += ops.crossEntropy(undefined, await model.forward(batch, cache), wanted, weights).loss;
        tape.forget();
        await new Promise((done) => setImmediate(done));
      }
      targets += set.tokens;
      bytes += set.bytes;
    }
    if (targets === 0) return undefined;
    if (!Number.isFinite(nats)) {
      const why = step === 0 ? "a weight is damaged" : "training diverged; try a lower rate";
      throw new GrokError("argument", `${given.model}: at step ${step} the held-out loss is ${nats}: ${why}`, { step });
    }
    emit({ type: "evaluation", step, loss: nats / targets, bitsPerByte: nats / Math.LN2 / bytes });
    return nats / targets;
  };
  const firstLoss = step === 0 ? await evaluate() : state?.firstLoss;
  let lastLoss = step === steps ? await evaluate() : undefined;
  const save = async () => {
    if (saved === step && hasCheckpoint(given.out)) return;
    const { batchTokens, accumulation } = run.memory;
    await writeFinetuneCheckpoint(given.out, ops, parameters, {
      ...{ version: 1, step, settings: run.settings, batchTokens, accumulation, stream: stream.save(), tokens },
      ...(firstLoss !== undefined && { firstLoss }),
    });
    saved = step;
    emit({ type: "checkpoint", step });
  };

  while (step < steps && !cancelled()) {
    const began = performance.now();
    const next = stream.next();
    if (next.learned === 0) {
      throw new GrokError("argument", `step ${step + 1} has no token to learn: a larger batchTokens may help`, {
        step,
      });
    }
    ops.zeroGradients(parameters);
    loss = 0;
    for (const { batch, targets } of next.shards[0]!.batches) {
      if (targets.length === 0) continue;
      const logits = await model.forward(batch, cache);
      const weights = new Float64Array(targets.length).fill(1 / next.learned);
      loss += (await tape.backward(logits, targets, weights)).loss;
      await new Promise((done) => setImmediate(done));
    }
    const norm = ops.gradientNorm(parameters);
    if (!Number.isFinite(norm)) {
      throw new GrokError(
        "argument",
        `at step ${step + 1} the gradient is ${norm}: training diverged; try a lower rate`,
        {
          step: step + 1,
        },
      );
    }
    step++;
    const rate = rateAt(step, steps, { rate: given.rate, warmup, finalShare });
    const [beta1, beta2] = betas;
    const decay = given.weightDecay;
    ops.adamw(parameters, { rate, beta1, beta2, epsilon, decay, step, factor: clippingFactor(norm, clip) });
    tokens += next.tokens;
    peakMemory = Math.max(peakMemory, readMemory().anonymous);
    const tokensPerSecond = (1000 * next.tokens) / (performance.now() - began);
    emit({ type: "step", step, loss, norm, rate, tokens, tokensPerSecond });
    if (step % given.checkpointInterval === 0) await save();
    const due = step === steps || step % given.evaluationInterval === 0;
    lastLoss = due ? await evaluate() : undefined;
  }
  await save();
  return {
    ...{ step, finished: step === steps && (lastLoss !== undefined || !scored), loss, peakMemory },
    ...{ heldOutBefore: firstLoss, heldOutAfter: lastLoss },
  };
}

function checkNumbers(given: Settled): void {
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
  for (const name of whole) {
    const value = given[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1))
      wrong(name, value, "a whole number above 0");
  }
  for (const name of ["alpha", "epochs", "rate", "memory"] as const) {
    const value = given[name];
    if (value !== undefined && !(value > 0 && Number.isFinite(value))) wrong(name, value, "a number above 0");
  }
  if (given.data.length === 0) wrong("data", "empty", "at least one file");
  if (given.targets?.length === 0) wrong("targets", "empty", "at least one");
}

async function loadData(
  file: GgufFile,
  given: Settled,
  context: number,
  emit: (event: FinetuneEvent) => void,
): Promise<Corpus[]> {
  const tokenizer = tokenizerFromGguf(file.metadata, file.path);
  const own = given.chatTemplate ?? file.metadata.string("tokenizer.chat_template", undefined);
  const template = own === undefined ? undefined : createJinjaTemplate(own, file.path);
  const encodingKey = createHash("sha256")
    .update(identify(file))
    .update(own ?? "")
    .digest("hex");
  const { heldOut, overlong } = given;
  const corpora: Corpus[] = [];
  for (const path of given.data) {
    const source = sourceOf(path, {
      ...(given.format !== undefined && { format: given.format }),
      ...(overlong !== undefined && { overlong }),
      heldOut,
    });
    // As in use: a model without a template of its own chats in a plain format, and goes on with a prompt as it is.
    const format = template ?? (source.format === "chat" ? plainTemplate : undefined);
    const corpus = await loadCorpus(source, {
      ...{ tokenizer, context, encodingKey, addBos: tokenizer.addBos, addEos: true },
      ...(format !== undefined && { template: format }),
      onFile: (name) => emit({ type: "file", path: name }),
    });
    // Sources count by what there is of them.
    const weight = corpus.training.reduce(
      (sum, index) => sum + corpus.documents.starts[index + 1]! - corpus.documents.starts[index]!,
      0,
    );
    corpora.push({ ...corpus, source: { ...source, weight } });
  }
  return corpora;
}

/** The largest share of a document's tokens that are learned: no packing of them has more. */
function largestLearnedShare(corpora: readonly Corpus[]): number {
  let most = 0;
  const look = ({ mask, starts }: Corpus["documents"], chosen: Uint32Array) => {
    if (mask === undefined) most = 1;
    for (let i = 0; most < 1 && i < chosen.length; i++) {
      const [start, end] = [starts[chosen[i]!]!, starts[chosen[i]! + 1]!];
      let learned = 0;
      for (let at = start + 1; at < end; at++) learned += mask![at]!;
      most = Math.max(most, learned / (end - start - 1));
    }
  };
  for (const { documents, training, heldOutDocuments, heldOut } of corpora) {
    look(documents, training);
    look(heldOutDocuments, heldOut);
  }
  return most;
}

/** A short hash of a model's names, shapes, places and size. */
function identify(file: GgufFile): string {
  const tensors = [...file.tensors.values()].map(({ name, type, shape, offset }) => [name, type, shape, offset]);
  return createHash("sha256")
    .update(JSON.stringify([file.size, tensors]))
    .digest("hex")
    .slice(0, 16);
}

function checkSettings(out: string, before: FinetuneState["settings"], now: FinetuneState["settings"]): void {
  for (const [name, value] of Object.entries(now)) {
    if (before[name] === value) continue;
    throw new GrokError(
      "argument",
      `${out}: the run was begun with ${name} ${before[name]}, and goes on with ${value}`,
      {
        path: out,
        option: name,
      },
    );
  }
}
