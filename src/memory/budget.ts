import { formatBytes, GrokError } from "../errors.ts";

/** What a model needs of memory, in bytes. */
export interface MemoryDemand {
  /** The model's file, for messages. */
  readonly path: string;
  /** What every token needs: all weights but experts'. */
  readonly kept: number;
  /** Experts of a copy that stand in for those that are not in memory, if not all are; absent: none do. */
  readonly standIns?: number;
  /** All experts, and the largest of them: its three matrices. */
  readonly experts: number;
  readonly largestExpert: number;
  /** Experts of a layer that one token uses. */
  readonly used: number;
  /** Keys and values of all the tokens that the cache holds. */
  readonly cache: number;
  /** Activations of one token of a pass. */
  readonly activations: number;
}

export interface MemoryPlan {
  /** Whether experts are brought as they are needed: they do not all fit. */
  readonly streamed: boolean;
  /** Bytes for experts, and those below which not one token can be computed. */
  readonly experts: number;
  readonly least: number;
  /** Tokens that a pass may have, and bytes that the activations of each take. */
  readonly batchTokens: number;
  readonly activations: number;
}

/** What the program itself takes, its two threads' heaps with it, and what is held back of a budget for what nobody counts. */
export const programBytes = 200 * 2 ** 20;
export const margin = 0.02;

/** Beyond what a drive's transfer of all experts hides anyway, a longer chunk saves nothing. */
const mostBatchTokens = 4096;
/** A prompt of so many tokens is one chunk where this share of the memory lets it: experts have that room again when answering. */
const usualPromptTokens = 1024;
const usualPromptShare = 0.4;
/** Below that a chunk reads all experts for little. */
const leastBatchTokens = 32;

/**
 * How a budget is used. Where not all fits, what every token needs comes first, then the keys and values, then the tokens of a pass: a
 * prompt reads each expert once a chunk, so a chunk may take an eighth of what is left, or more for a prompt of the usual
 * length, and experts have the rest.
 * @param allowed Bytes that whoever asks allows, of which `budget` are to be had now: for messages.
 * @param batchTokens What was asked for; absent: what fits best.
 * @throws GrokError `capacity` for a budget in which not one token can be computed.
 */
export function planMemory(
  demand: MemoryDemand,
  {
    budget,
    allowed = budget,
    batchTokens,
  }: { readonly budget: number; readonly allowed?: number; readonly batchTokens?: number | undefined },
): MemoryPlan {
  const { path, kept, standIns = 0, experts, largestExpert, used, cache, activations } = demand;
  const all = budget * (1 - margin) - programBytes - kept - cache;
  const usual = batchTokens ?? 512;
  // One that is computed and one that is on its way.
  const least = Math.max(2, used) * largestExpert;
  if (experts === 0 || all >= experts + usual * activations)
    return { streamed: false, experts, least, batchTokens: usual, activations };
  const usable = all - standIns;
  const share = Math.max(
    usable / 8,
    usable - experts,
    Math.min(usualPromptTokens * activations, usualPromptShare * usable),
  );
  const most = Math.floor(Math.min(share, usable - least) / activations);
  const tokens = batchTokens ?? Math.max(leastBatchTokens, Math.min(mostBatchTokens, most));
  const left = Math.floor(usable - tokens * activations);
  if (left < least) {
    const chunk = (batchTokens ?? leastBatchTokens) * activations;
    const needed = Math.ceil((programBytes + kept + standIns + cache + chunk + least) / (1 - margin));
    throw new GrokError(
      "capacity",
      `${path}: ${formatBytes(budget)} of memory ${budget < allowed ? `can be had now of the ${formatBytes(allowed)} that may be used` : "may be used"}, and ${formatBytes(needed)} is the least: ${formatBytes(kept)} of weights that every token needs, ${standIns > 0 ? `${formatBytes(standIns)} of experts that stand in, ` : ""}${formatBytes(cache)} for keys and values, ${Math.max(2, used)} experts of ${formatBytes(largestExpert)}, ${formatBytes(chunk)} of activations, ${formatBytes(programBytes)} for the program: allow more, choose a shorter context, or a smaller type of weights or cache`,
      { path, budget, needed, kept, standIns, cache, expert: largestExpert, activations: chunk, program: programBytes },
    );
  }
  return { streamed: true, experts: left, least, batchTokens: tokens, activations };
}

/**
 * What each of several models that are in memory together may take of a budget: those that need less than an equal part take what they need,
 * the largest has what is left.
 */
export function shareBudget(needs: readonly number[], budget: number): number[] {
  const shares = needs.map(() => 0);
  const ascending = [...needs.keys()].sort((a, b) => needs[a]! - needs[b]!);
  let left = budget;
  for (const [i, model] of ascending.entries()) {
    const part = left / (needs.length - i);
    const share = i === needs.length - 1 ? left : Math.min(needs[model]!, part);
    shares[model] = Math.floor(share);
    left -= share;
  }
  return shares;
}
