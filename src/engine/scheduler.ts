/** Something that wants to compute: a sequence with tokens that are known but not yet in the cache. */
export interface Work {
  readonly id: number;
  /** Tokens to compute, at least 1. Exactly 1 is a decode step; more is a prompt, taken in chunks. */
  readonly pending: number;
  /** Passes since it last had a place in a batch. */
  readonly waited: number;
}

export interface Budget {
  /** Most rows in a batch. */
  readonly tokens: number;
  /** Most of them for prompts: bounds how long a pass, and so the wait for a cancellation, can take. */
  readonly prefill: number;
}

export interface Slot {
  readonly id: number;
  readonly count: number;
}

/** Below this share a prompt waits for a later batch: very small chunks read the weights for little. */
const smallestShare = 32;

/**
 * The next batch: decode steps first (they are what people watch), then chunks of prompts in equal shares. Who waited
 * longest goes first. While prompts wait, a quarter of the rows is theirs, so nobody starves either way. Pure: the same
 * state gives the same batch.
 */
export function nextBatch(works: readonly Work[], budget: Budget): Slot[] {
  const byWait = [...works].sort((a, b) => b.waited - a.waited || a.id - b.id);
  if (budget.tokens <= 1) return byWait.slice(0, 1).map(({ id }) => ({ id, count: 1 }));

  const decodes = byWait.filter((work) => work.pending === 1);
  const prompts = byWait.filter((work) => work.pending > 1);
  const kept = prompts.length > 0 ? Math.max(1, budget.tokens >> 2) : 0;
  const slots: Slot[] = decodes.slice(0, budget.tokens - kept).map(({ id }) => ({ id, count: 1 }));

  const room = Math.min(budget.tokens - slots.length, Math.max(1, budget.prefill));
  const taken = prompts.slice(0, Math.max(1, Math.floor(room / smallestShare)));
  return slots.concat(shareOut(taken, room));
}

/** Equal shares of `room`; what a short prompt leaves goes to the longer ones. */
function shareOut(works: readonly Work[], room: number): Slot[] {
  const counts = new Map<number, number>();
  let left = room;
  const shortestFirst = [...works].sort((a, b) => a.pending - b.pending || a.id - b.id);
  shortestFirst.forEach((work, index) => {
    const count = Math.min(work.pending, Math.floor(left / (works.length - index)));
    counts.set(work.id, count);
    left -= count;
  });
  return works.map(({ id }) => ({ id, count: counts.get(id)! })).filter((slot) => slot.count > 0);
}
