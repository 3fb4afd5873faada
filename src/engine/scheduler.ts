/** Something that wants to compute: a sequence with tokens that are known but not yet in the cache. */
export interface Work {
  readonly id: number;
  /** Tokens to compute, at least 1. Exactly 1 is a decode step unless it is background; more is a prompt, taken in chunks. */
  readonly pending: number;
  /** Of these, how many come before the first whose row of logits is wanted. */
  readonly quiet: number;
  /** Nobody watches it: beside decode steps it takes what the budget leaves it. */
  readonly background: boolean;
  /** Passes since it last had a place in a batch. */
  readonly waited: number;
}

export interface Budget {
  /** Most tokens in a batch. */
  readonly tokens: number;
  /** Most of them for prompts and background work: bounds how long a pass, and so the wait for a cancellation, can take. */
  readonly prefill: number;
  /** Most rows of logits: bounds the memory that they take. */
  readonly rows: number;
  /** Most tokens of background work beside decode steps; without any it is bounded like prompts. */
  readonly background: number;
}

export interface Slot {
  readonly id: number;
  readonly count: number;
}

/** Below this share a prompt waits for a later batch: very small chunks read the weights for little. */
const smallestShare = 32;

/**
 * The next batch: decode steps first (they are what people watch), then chunks of prompts and of background work in equal
 * shares. Who waited longest goes first. While others wait, a quarter of the tokens and rows is theirs, so nobody starves
 * either way. Pure: the same state gives the same batch.
 */
export function nextBatch(works: readonly Work[], budget: Budget): Slot[] {
  const byWait = [...works].sort((a, b) => b.waited - a.waited || a.id - b.id);
  if (budget.tokens <= 1) return byWait.slice(0, 1).map(({ id }) => ({ id, count: 1 }));

  const decodes = byWait.filter((work) => work.pending === 1 && !work.background);
  const background = decodes.length > 0 ? budget.background : Number.POSITIVE_INFINITY;
  const others = byWait.filter((work) => (work.background ? background > 0 : work.pending > 1));
  const kept = (most: number) => (others.length > 0 ? Math.max(1, most >> 2) : 0);
  const slots: Slot[] = decodes
    .slice(0, Math.max(1, Math.min(budget.tokens - kept(budget.tokens), budget.rows - kept(budget.rows))))
    .map(({ id }) => ({ id, count: 1 }));

  const room = Math.min(budget.tokens - slots.length, Math.max(1, budget.prefill));
  const rows = Math.max(0, budget.rows - slots.length);
  return slots.concat(shareOut(choose(others, room, rows, background), room, rows, background));
}

/** Those that waited longest, as many as get a share that is worth it. */
function choose(works: readonly Work[], room: number, rows: number, background: number): Work[] {
  let left = room;
  let leftRows = rows;
  let leftBackground = background;
  const chosen: Work[] = [];
  for (const work of works) {
    const share = Math.min(work.pending, smallestShare);
    const fits = share <= left && (work.quiet > 0 || leftRows > 0) && (!work.background || leftBackground > 0);
    if (chosen.length > 0 && !fits) continue;
    chosen.push(work);
    left -= share;
    leftRows -= Math.max(0, share - work.quiet);
    if (work.background) leftBackground -= share;
    if (left <= 0) break;
  }
  return chosen;
}

/** Equal shares of what there is of tokens, of rows, and of background work; what a short one leaves goes to the longer ones. */
function shareOut(works: readonly Work[], room: number, rows: number, background: number): Slot[] {
  const counts = new Map<number, number>();
  let left = room;
  let leftRows = rows;
  let leftBackground = background;
  let sharing = works.length;
  let inBackground = works.filter((work) => work.background).length;
  for (const work of [...works].sort((a, b) => a.pending - b.pending || a.id - b.id)) {
    const rowShare = Math.max(Math.floor(leftRows / sharing), work.quiet === 0 ? Math.min(1, leftRows) : 0);
    let count = Math.min(work.pending, Math.floor(left / sharing), work.quiet + rowShare);
    if (work.background) {
      count = Math.min(count, Math.max(Math.floor(leftBackground / inBackground--), Math.min(1, leftBackground)));
      leftBackground -= count;
    }
    counts.set(work.id, count);
    left -= count;
    leftRows -= Math.max(0, count - work.quiet);
    sharing--;
  }
  return works.map(({ id }) => ({ id, count: counts.get(id)! })).filter((slot) => slot.count > 0);
}
