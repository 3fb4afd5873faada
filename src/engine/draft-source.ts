import { createLookup, type Guess, type Lookup } from "./lookup.ts";
import { createOdds, type Odds } from "./speculation.ts";

/** Where a run's drafts come from, and how well they did. */
export interface DraftSource {
  readonly lookup: Lookup;
  readonly odds: Odds;
  /** What was guessed before the pass that is under way. */
  guess: Guess | undefined;
  drafted: number;
  accepted: number;
}

export function createDraftSource(): DraftSource {
  return { lookup: createLookup(), odds: createOdds(), guess: undefined, drafted: 0, accepted: 0 };
}
