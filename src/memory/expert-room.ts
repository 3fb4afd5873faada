import { type MemoryPlan, margin } from "./budget.ts";

/** The fewest tokens that activations have memory for: drafts that are verified, and a few requests that answer together, change nothing. */
const leastRows = 32;

/**
 * How many tokens activations have memory for from a pass of `tokens` on, in powers of two. What `held` has beyond that is given back once it is
 * four times as much: a prompt's last chunk is not worth it, answering is.
 */
export function scratchRows(held: number, tokens: number): number {
  const rows = 2 ** Math.ceil(Math.log2(Math.max(leastRows, tokens)));
  return rows > held || 4 * rows <= held ? rows : held;
}

/** A program's heaps come and go by tens of megabytes: of a smaller budget what is left over of them is not counted on. */
const leastMeasured = 2 ** 30;

/** What a process was seen to take. */
export interface MeasuredMemory {
  /** Bytes beside experts: the program, weights that every token needs, keys and values, activations of so many rows. */
  readonly others: number;
  readonly rows: number;
  /** Bytes that experts might have taken without others' giving way. */
  readonly room: number;
}

/**
 * Bytes that experts may have while activations have memory for so many rows. A plan leaves room for the largest pass, for all keys and values
 * and for the program; what of it is not taken now is lent to experts, and given back before a pass that needs it. Where what the process
 * takes was measured, that counts if it leaves more.
 */
export function expertRoom(
  {
    experts,
    batchTokens,
    activations,
    budget,
  }: Pick<MemoryPlan, "experts" | "batchTokens" | "activations"> & { readonly budget: number },
  rows: number,
  measured: MeasuredMemory | undefined,
): number {
  const planned = experts + Math.max(0, batchTokens - rows) * activations;
  if (measured === undefined || budget < leastMeasured) return planned;
  const growing = Math.max(0, Math.min(rows, batchTokens) - measured.rows) * activations;
  return Math.max(planned, Math.min(budget * (1 - margin) - measured.others, measured.room) - growing);
}
