import { basename } from "node:path";
import { GrokError } from "../errors.ts";
import type { SlotState, Streaming } from "../kernels/native/slot-store.ts";
import { availableMemory, memoryGroups, memoryLimit, watchAvailableMemory } from "../machine/limits.ts";
import { type MemoryPlan, planMemory, programBytes } from "../memory/budget.ts";
import { createExpertCache } from "../memory/expert-cache.ts";
import { expertRoom, type MeasuredMemory } from "../memory/expert-room.ts";
import { governedLimit } from "../memory/governor.ts";
import type { TraceHead } from "../memory/trace.ts";
import { describeModel } from "../model/describe.ts";
import type { ModelConfig, ModelFile } from "../model/model.ts";
import { findStack } from "../model/weights.ts";
import { elementCount, type Tensor } from "../tensor/tensor.ts";
import { encodedBytes } from "../tensor/types.ts";
import { type EngineOptions, settleEngineOptions } from "./options.ts";

/** A tensor that holds experts: all of a layer, or, in older files, one. */
const expertPart = /^blk\.(\d+)\.ffn_(gate|up|down)(_exps|\.\d+)\.weight$/;

/** The layer whose experts a tensor holds, by its name. */
export function expertLayer({ name }: Tensor): number | undefined {
  const layer = expertPart.exec(name)?.[1];
  return layer === undefined ? undefined : Number(layer);
}

/** Layers may be without experts. */
const sumOf = (layers: readonly number[]) => layers.reduce((sum, bytes) => sum + bytes, 0);

/** Bytes of what every token needs, and of each layer's experts. */
function weightBytes(file: ModelFile): { kept: number; layers: number[] } {
  let kept = 0;
  const layers: number[] = [];
  for (const tensor of file.tensors.values()) {
    const bytes = encodedBytes(tensor.type, elementCount(tensor.shape));
    const layer = expertLayer(tensor);
    if (layer === undefined) kept += bytes;
    else layers[layer] = (layers[layer] ?? 0) + bytes;
  }
  return { kept, layers };
}

/** What a routing trace says of a model. @throws GrokError `argument` for one without experts. */
export function traceHead(file: ModelFile): TraceHead {
  const { config } = describeModel(file);
  if (config === undefined || config.experts === 0) {
    throw new GrokError("argument", `${file.path} has no experts whose use could be recorded`, {
      option: "trace",
      path: file.path,
    });
  }
  const { kept, layers } = weightBytes(file);
  return {
    ...{ model: basename(file.path), layers: config.layers, experts: config.experts, keptBytes: kept },
    expertBytes: layers.map((bytes) => Math.round(bytes / config.experts)),
    activationBytes: Math.ceil(activationBytes(file, config)),
  };
}

/** Files that are in memory beside a model: one that drafts is there whole, of one that stands in its experts are. They may be one. */
export interface FilesBeside {
  readonly draft?: ModelFile | undefined;
  readonly standIn?: ModelFile | undefined;
}

/**
 * What memory a model may take, and how it is used. What nobody bounds is what can be had now, less a margin, and experts are then
 * streamed only where the model does not fit: the system's page cache has it otherwise, and nothing stands in for what is there.
 * @throws GrokError `capacity`, `argument`
 */
export function planModelMemory(
  file: ModelFile,
  options: EngineOptions,
  { draft, standIn }: FilesBeside = {},
): MemoryPlan & { readonly budget: number } {
  const budget = options.memory ?? defaultBudget();
  const { config } = describeModel(file);
  const none = {
    streamed: false,
    experts: 0,
    least: 0,
    batchTokens: options.batchTokens ?? 512,
    activations: 0,
    budget,
  };
  if (config === undefined || config.experts === 0 || options.backend === "reference") return none;
  const settled = settleEngineOptions(options, { kvType: "f16" }, config, { path: file.path });
  const { kept, layers: byLayer } = weightBytes(file);
  const drafting = draft === undefined ? { weights: 0, cache: 0 } : draftBytes(draft, settled.contextLength);
  const experts = sumOf(byLayer);
  const { headSize, layers, kvHeads, used, experts: count } = config;
  const largestLayer = Math.max(0, ...byLayer);
  const demand = {
    ...{ path: file.path, kept: kept + drafting.weights, experts, used },
    standIns: standIn === undefined || standIn === draft ? 0 : sumOf(weightBytes(standIn).layers),
    // Matrices are read in whole blocks of the drive.
    largestExpert: Math.ceil(largestLayer / count) + 3 * 8192,
    cache: settled.cacheTokens * layers * 2 * encodedBytes(settled.kvType, kvHeads * headSize) + drafting.cache,
    activations: activationBytes(file, config),
  };
  try {
    return {
      ...planMemory(demand, { budget: within(budget), allowed: budget, batchTokens: options.batchTokens }),
      budget,
    };
  } catch (error) {
    // Nobody asked for a bound, nor for what only one can have: the page cache does what it can.
    if (options.memory === undefined && standIn === undefined) return none;
    throw error;
  }
}

/**
 * What is decided on memory, before anything is bound: what a backend needs to have experts as they are needed, absent where all fits.
 * @throws GrokError as {@link planModelMemory}.
 */
export function streamingOf(
  file: ModelFile,
  options: EngineOptions,
  beside: FilesBeside = {},
): { readonly streaming?: Streaming; readonly batchTokens: number } {
  const plan = planModelMemory(file, options, beside);
  const { streamed, experts: bytes, batchTokens } = plan;
  if (!streamed) return { batchTokens };
  const { layers, experts } = describeModel(file).config!;
  const cache = createExpertCache({ bytes, layers, experts });
  const { draft, standIn } = beside;
  // What is bound of others is kept. They may be split into files.
  const others = [draft, standIn].flatMap((each) =>
    each === undefined ? [] : [each.path, ...[...each.tensors.values()].map(({ source }) => source)],
  );
  const kept = new Set(others);
  const layerOf = (tensor: Tensor) => (kept.has(tensor.source) ? undefined : expertLayer(tensor));
  return {
    streaming: {
      ...{ cache, layerOf, ...(options.lossy && { lossy: options.lossy }), ...yieldMemory(plan) },
      ...(standIn && { standIn: ({ name, shape }: Tensor) => findStack(standIn, name, shape) }),
    },
    batchTokens,
  };
}

/** Of one token of a pass: the intermediates that have names of their own, in float32, and experts' inner values as they are packed, in 8 bits and scales. */
function activationBytes(file: ModelFile, config: ModelConfig): number {
  const { width, heads, headSize, used, experts, hidden, expertHidden, vocab } = config;
  const dense = [...file.tensors.keys()].some((name) => /^blk\.\d+\.ffn_up\.weight$/.test(name));
  const named = (10 + used) * width + 4 * heads * headSize + 4 * experts + (dense ? 3 * hidden : 0);
  return 4 * named + 1.25 * expertHidden + vocab / 64;
}

/** What a model that drafts takes, its keys and values with it. */
function draftBytes(file: ModelFile, contextLength: number): { weights: number; cache: number } {
  const { kept, layers: byLayer } = weightBytes(file);
  const { layers = 0, kvHeads = 0, headSize = 0 } = describeModel(file).config ?? {};
  return {
    weights: kept + sumOf(byLayer),
    cache: contextLength * layers * 2 * encodedBytes("f16", kvHeads * headSize),
  };
}

/** Least milliseconds from one look at what is available to the next. */
const lookInterval = 50;

/** What is left to others: they take some of it before anybody looks. */
const reserveFor = (limit: number) => Math.min(2 ** 30, Math.max(2 ** 26, 0.025 * limit));

/**
 * How a streamed model yields to others. Within milliseconds a thread of the addon's drops experts that nobody computes with; what experts may
 * take from then on is settled when a layer next asks for some.
 */
function yieldMemory(plan: MemoryPlan & { readonly budget: number }): Pick<Streaming, "limit" | "holding" | "guard"> {
  const reserve = reserveFor(memoryLimit());
  const limit = govern(plan, reserve, watchAvailableMemory());
  return { limit, holding: Math.max(plan.least, reserve), guard: { groups: memoryGroups(), reserve } };
}

function govern(plan: MemoryPlan & { readonly budget: number }, reserve: number, available: () => number) {
  const { least } = plan;
  /** Bytes that were left to others. */
  let yielded = 0;
  let measured: MeasuredMemory | undefined;
  let looked = Number.NEGATIVE_INFINITY;
  return ({ filled, filling, rows }: SlotState): number => {
    const now = performance.now();
    const looks = now - looked >= lookInterval;
    const spare = looks ? available() : 0;
    if (looks && !filling && process.platform === "linux") {
      measured = { others: process.memoryUsage.rss() - filled, rows, room: filled + spare - reserve };
    }
    const most = expertRoom(plan, rows, measured);
    if (looks) {
      looked = now;
      const limit = Math.max(least, most - yielded);
      yielded = Math.max(0, most - governedLimit({ limit, filled, most, least, available: spare, reserve }));
    }
    return Math.max(least, Math.floor(most - yielded));
  };
}

/** Bytes that models take where nobody bounds them: others need some too; where the system does not say what is available, more is left. */
export function defaultBudget(): number {
  const limit = memoryLimit();
  if (process.platform !== "linux") return 0.75 * limit;
  const available = availableMemory();
  return Math.max(0.5 * available, available - Math.max(0.05 * limit, 2 ** 29));
}

/** What can be had of a budget: the reserve is not taken to be given back at once, and what the program has already is counted once. */
function within(budget: number): number {
  if (process.platform !== "linux") return budget;
  const had = Math.min(process.memoryUsage.rss(), programBytes);
  return Math.min(budget, availableMemory() + had - reserveFor(memoryLimit()));
}
