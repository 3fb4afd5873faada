import type { Logits } from "../sampling/logits.ts";
import { createLookup, type Lookup, longestMatch } from "./lookup.ts";
import { createOdds, type Odds } from "./odds.ts";

/** Where a run's drafts come from, and how well they did. */
export interface DraftSource {
  readonly lookup: Lookup;
  /** By the length of a match, as {@link matchKind} has it. */
  readonly matches: Odds;
  /** Of what a model drafts, whatever it is. */
  readonly modelled: Odds;
  /** Tokens that the run may still generate. */
  left(): number;
  /** What the run would choose from rows of logits, one after another from now on. Absent: it says nothing beforehand. */
  readonly rehearse: (() => (row: Logits) => number | undefined) | undefined;
  /** What the text's past guessed before the pass that is under way, and what of its own a model did. */
  looked: Draft;
  drafted: Draft;
  /** Tokens that were verified, and those of them that were right. */
  verified: number;
  accepted: number;
}

/** Tokens, and what kind of guess each is. */
export interface Draft {
  readonly tokens: readonly number[];
  readonly kinds: readonly number[];
}

export const noDraft: Draft = { tokens: [], kinds: [] };

/** Short matches are often chance. */
export const matchKind = (match: number): number => Math.floor(Math.log2(Math.max(1, match)));
const matchChances = Array.from({ length: matchKind(longestMatch) + 1 }, (_, kind) => 0.1 + 0.15 * kind);

/** What a model that drafts is taken to be worth at first. */
const modelChance = 0.9;

/** How sure a model is of a token: its probability. */
export const confidenceKind = (probability: number): number => {
  const kind = confidences.findIndex((most) => probability < most);
  return kind < 0 ? confidences.length : kind;
};
const confidences = [0.3, 0.5, 0.7, 0.85, 0.95, 0.99];
/** Of one that is as sure as it is right. */
export const confidenceChances: readonly number[] = [0.2, 0.4, 0.6, 0.78, 0.9, 0.97, 0.99];

export function createDraftSource(left: () => number, rehearse: DraftSource["rehearse"]): DraftSource {
  return {
    ...{ lookup: createLookup(), matches: createOdds(matchChances), modelled: createOdds([modelChance]) },
    ...{ left, rehearse, looked: noDraft, drafted: noDraft, verified: 0, accepted: 0 },
  };
}
