/** What the governor looks at, in bytes. */
export interface MemoryState {
  /** What experts may take now, and how much of it is filled. */
  readonly limit: number;
  readonly filled: number;
  /** What they may take when nobody else needs memory. */
  readonly most: number;
  /** Room for the experts of one layer's token: below that nothing can be computed. */
  readonly least: number;
  /** What can be had without others' giving way. */
  readonly available: number;
  /** What is left to others at least. */
  readonly reserve: number;
}

/**
 * What experts may take from now on. What others take of the reserve is given back at once, so that nobody is killed and nothing swapped; what
 * they leave is taken again by halves, once twice the reserve is there, so that two programs of this kind do not take turns.
 */
export function governedLimit({ limit, filled, most, least, available, reserve }: MemoryState): number {
  // Only what is filled can be given back: a limit that nobody has reached gives nothing.
  if (available < reserve) return Math.max(least, Math.min(limit, filled) - (reserve - available));
  const spare = filled + (available - 2 * reserve) / 2;
  if (spare > limit) return Math.min(most, Math.floor(spare));
  return limit;
}
