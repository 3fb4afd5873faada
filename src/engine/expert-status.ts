/** What was done to have the experts that a model's layers asked for, since it was loaded. */
export interface ExpertStatus {
  /** Bytes that they may take, and that they take. */
  readonly bytes: number;
  readonly usedBytes: number;
  /** How often a layer asked for an expert, how often it was there, and how often on its way. */
  readonly asked: number;
  readonly there: number;
  readonly coming: number;
  /** How often the same layer had asked for it the time before too. */
  readonly repeated: number;
  readonly bytesRead: number;
  /** Of them, what was read before a layer asked. */
  readonly bytesReadAhead: number;
  /** Experts that were read ahead, and of those how many were asked for before they were given up. */
  readonly ahead: number;
  readonly aheadAsked: number;
  /** Experts that a layer asked for where the layer before had foretold some, and how many of them it had. */
  readonly foretold: number;
  readonly foretoldRight: number;
  /** Choices of tokens that were changed to experts in memory, or left out; experts that a layer asked for in whose place a copy was computed. 0 unless `lossy` asks for it. */
  readonly changed: number;
  readonly leftOut: number;
  readonly stoodIn: number;
  /** Milliseconds, by layer, for which there was nothing to compute. */
  readonly stalled: readonly number[];
  /** What could not be read from one copy of the model's file, and was from another: the last time, with file and place. */
  readonly problem: string | undefined;
}

/** What was done for experts meanwhile: see {@link ExpertStatus}. */
export type ExpertUse = Pick<
  ExpertStatus,
  "asked" | "there" | "coming" | "changed" | "leftOut" | "stoodIn" | "bytesRead" | "stalled"
>;

/** What was done between two moments. */
export function useSince(before: ExpertStatus, after: ExpertStatus): ExpertUse {
  const gained = (name: Exclude<keyof ExpertUse, "stalled">) => after[name] - before[name];
  return {
    ...{ asked: gained("asked"), there: gained("there"), coming: gained("coming"), bytesRead: gained("bytesRead") },
    ...{ changed: gained("changed"), leftOut: gained("leftOut"), stoodIn: gained("stoodIn") },
    stalled: after.stalled.map((each, layer) => each - (before.stalled[layer] ?? 0)),
  };
}
