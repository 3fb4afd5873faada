import { createLookup, type Guess, type Lookup } from "./lookup.ts";
import { createOdds, type Odds } from "./speculation.ts";

/** Where a run's drafts come from, and how well they did. */
export interface DraftSource {
  readonly lookup: Lookup;
  readonly odds: Odds;
  /** Tokens that the run may still generate. */
  left(): number;
  /** What was guessed before the pass that is under way. */
  guess: Guess | undefined;
  drafted: number;
  accepted: number;
}

export function createDraftSource(left: () => number): DraftSource {
  return { lookup: createLookup(), odds: createOdds(), left, guess: undefined, drafted: 0, accepted: 0 };
}
