/** What a store of slots has done. */
export interface SlotCounters {
  /** Experts that a layer asked for, how many of them were there, and how many of the others were on their way. */
  asked: number;
  there: number;
  coming: number;
  /** How many of them the layer had asked for the time before too. */
  repeated: number;
  /** Bytes read of experts, and those of them that were read before a layer asked. */
  bytesRead: number;
  bytesReadAhead: number;
  /** Experts that were read ahead, and how many of them were asked for before they were given up. */
  ahead: number;
  aheadAsked: number;
  /** Experts that a layer asked for after it was said which, and how many of them had been said. */
  foretold: number;
  foretoldRight: number;
  /** Choices of a token's that were changed to experts in memory, or left out; experts of a layer in whose place a copy was computed. */
  changed: number;
  leftOut: number;
  stoodIn: number;
  /** Milliseconds, by layer, for which there was nothing to compute. */
  readonly stalled: number[];
}

export const createSlotCounters = (): SlotCounters => ({
  asked: 0,
  there: 0,
  coming: 0,
  repeated: 0,
  bytesRead: 0,
  bytesReadAhead: 0,
  ahead: 0,
  aheadAsked: 0,
  foretold: 0,
  foretoldRight: 0,
  changed: 0,
  leftOut: 0,
  stoodIn: 0,
  stalled: [],
});
