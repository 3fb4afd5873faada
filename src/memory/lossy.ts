import { GrokError } from "../errors.ts";
import { checkNames, checkText } from "../options.ts";

/** What a model's routing may lose where an expert is not in memory. */
export interface LossyRouting {
  /** Experts in memory are chosen as if their logits were higher by this: an absent one is read only where it is likelier by more. */
  readonly preferResident?: number;
  /** An absent expert, other than a token's first, is left out where its share of the weights is below this. */
  readonly skipSecond?: number;
}

/**
 * What an answer may lose where an expert is not in memory. None of it is on unless it is asked for by name: answers are others then, and
 * depend on what was asked before. A prompt of many tokens loses nothing: it reads each expert once.
 */
export interface Lossy extends LossyRouting {
  /**
   * A file of the same model in fewer bits, whose experts are all in memory: in the place of one that is not there its copy is computed, and
   * nobody waits; where it is worth a place in memory it is read meanwhile, for the tokens to come.
   */
  readonly standIn?: string;
}

/**
 * The most tokens of a pass that loses anything: as many as a draft is verified with, or a few conversations have. More are a prompt's, and
 * what they read is shared by so many that there is little to gain.
 */
export const mostLossyTokens = 16;

/** @throws GrokError `argument` */
export function checkLossy(lossy: Lossy): void {
  checkNames(
    "lossy",
    lossy,
    Object.keys({ preferResident: true, skipSecond: true, standIn: true } satisfies Record<keyof Lossy, true>),
  );
  if (lossy.standIn !== undefined) checkText("lossy.standIn", lossy.standIn);
  for (const [name, most] of [
    ["preferResident", 100],
    ["skipSecond", 1],
  ] as const) {
    const value = lossy[name];
    if (value === undefined || (typeof value === "number" && value >= 0 && value <= most)) continue;
    throw new GrokError("argument", `lossy.${name} is ${value}, expected a number from 0 to ${most}`, {
      option: "lossy",
    });
  }
}

/** A routing's values: see `Routing`. */
export interface RoutingValues {
  readonly rows: number;
  readonly used: number;
  readonly renormalize: boolean;
  /** [rows, experts] */
  readonly probabilities: Float32Array;
  /** [rows, used] */
  readonly chosen: Float32Array;
  readonly weights: Float32Array;
}

/**
 * Changes what was chosen, and the weights with it. In the place of an expert that is left out stands one in memory, with weight 0.
 * @param resident Of each expert, whether it is in memory.
 * @returns how many choices were changed to others, and how many were left out.
 */
export function loseRouting(
  { rows, used, renormalize, probabilities, chosen, weights }: RoutingValues,
  resident: readonly boolean[],
  { preferResident = 0, skipSecond = 0 }: LossyRouting,
): { readonly changed: number; readonly leftOut: number } {
  const experts = resident.length;
  let changed = 0;
  let leftOut = 0;
  const raised = resident.map((there) => (there ? Math.exp(preferResident) : 1));
  for (let row = 0; row < rows; row++) {
    const of = probabilities.subarray(row * experts, (row + 1) * experts);
    const own = chosen.subarray(row * used, (row + 1) * used);
    const factors = weights.subarray(row * used, (row + 1) * used);
    if (own.every((expert) => resident[expert])) continue;
    const likely = (expert: number) => of[expert]! * raised[expert]!;
    const picked =
      preferResident > 0
        ? resident
            .map((_, expert) => expert)
            .sort((a, b) => likely(b) - likely(a) || a - b)
            .slice(0, used)
        : [...own];
    const total = picked.reduce((sum, expert) => sum + of[expert]!, 0);
    const kept = picked.filter((expert, i) => i === 0 || resident[expert] || of[expert]! >= skipSecond * total);
    // A row has no expert twice: in the place of one that is left out another is computed that costs no read, and counts nothing.
    const fillers = resident.flatMap((there, expert) => (there && !picked.includes(expert) ? [expert] : []));
    const list = picked.length - kept.length <= fillers.length ? kept : picked;
    changed += picked.filter((expert) => !own.includes(expert)).length;
    leftOut += used - list.length;
    const divisor = renormalize ? list.reduce((sum, expert) => sum + of[expert]!, 0) : 1;
    for (let i = 0; i < used; i++) {
      own[i] = list[i] ?? fillers[i - list.length]!;
      factors[i] = i < list.length ? of[list[i]!]! / divisor : 0;
    }
  }
  return { changed, leftOut };
}
