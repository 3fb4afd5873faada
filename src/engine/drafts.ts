import { createUnions, type Unions } from "../memory/unions.ts";
import { createUnionCosts } from "./costs.ts";
import type { ExpertStatus } from "./engine.ts";
import type { KvMemory } from "./kv-memory.ts";
import type { Place } from "./pass.ts";
import { createSpeculation, mostDraftTokens, mostSpeculating, type SpeculationOptions } from "./speculation.ts";

/** Puts drafts into passes, and learns from what became of them. */
export interface Drafting {
  /** The same places, some with a draft. Only passes of few sequences that all decode get any. */
  addDrafts(places: readonly Place[], batchTokens: number): readonly Place[];
  /** How many tokens of a place's draft were right, and what the model chose first. */
  learn(place: Place, first: number | undefined, right: number): void;
  /** What a pass took, and how many tokens it gave. */
  passed(places: readonly Place[], tokens: number, seconds: number): void;
}

/** A mixture whose experts are read as they are needed. */
export interface StreamedExperts {
  /** Of a layer, and those that a token uses. */
  readonly experts: number;
  readonly used: number;
  status(): Pick<ExpertStatus, "asked" | "repeated">;
}

/** @param streamed Absent: all weights are in memory, and time is measured. */
export function createDrafting(memory: KvMemory, options: SpeculationOptions, streamed?: StreamedExperts): Drafting {
  const unions = streamed && createUnions(streamed);
  const speculation = createSpeculation(options, unions && createUnionCosts(unions));
  const watch = streamed && watchUnions(streamed, unions!);
  const { draftTokens = mostDraftTokens } = options;
  const decodes = (places: readonly Place[]) =>
    places.length <= mostSpeculating &&
    places.every(({ run, count, rows }) => count === 1 && rows === 1 && run.consumer.kind === "sample");

  return {
    addDrafts(places, batchTokens) {
      watch?.begin();
      if (!decodes(places)) return places;
      const guesses = places.map(({ run: { drafts }, sequence }) => {
        if (drafts === undefined) return { tokens: [], match: 0, chance: 0, length: 0 };
        drafts.lookup.update(sequence.tokens);
        // The token after the draft counts too.
        drafts.guess = drafts.lookup.guess(Math.min(draftTokens, drafts.left() - 1));
        const { tokens, match } = drafts.guess;
        return { tokens, length: tokens.length, chance: drafts.odds.of(match) };
      });
      // Most steps of most texts: nothing to think about.
      if (guesses.every(({ length }) => length === 0)) return places;
      const counts = speculation.choose(guesses, batchTokens);
      return places.map((place, i) => {
        if (counts[i] === 0) return place;
        // Others' memory is not taken for a guess: it gets what is free.
        const granted = memory.extend(place.sequence.timeline, 1 + counts[i]!) - 1;
        return { ...place, draft: guesses[i]!.tokens.slice(0, granted) };
      });
    },
    learn({ run: { drafts }, draft }, first, right) {
      if (drafts?.guess === undefined) return;
      const { tokens, match } = drafts.guess;
      drafts.guess = undefined;
      drafts.drafted += draft.length;
      drafts.accepted += right;
      // Guesses that were not verified are judged all the same by the token that came: learning costs nothing.
      if (draft.length > 0) drafts.odds.add(match, draft.length, right);
      else if (tokens.length > 0 && first !== undefined) drafts.odds.add(match, 1, tokens[0] === first ? 1 : 0);
    },
    passed(places, tokens, seconds) {
      watch?.passed(places);
      if (!decodes(places)) return;
      const rows = places.reduce((sum, { draft }) => sum + 1 + draft.length, 0);
      speculation.passed(rows, places.length, tokens, seconds);
    },
  };
}

/** Learns from each pass how many experts its rows asked for together, and from two of one row each, what those asked for. */
function watchUnions({ used, status }: StreamedExperts, unions: Unions) {
  let before = status();
  let layers = 0;
  let alone: Place["sequence"] | undefined;
  let whole = true;
  return {
    begin() {
      // A pass that was left in the middle has asked for some, too.
      if (!whole) alone = undefined;
      whole = false;
      before = status();
    },
    passed(places: readonly Place[]) {
      whole = true;
      const now = status();
      const asked = now.asked - before.asked;
      const rows = places.reduce((sum, { count, draft }) => sum + count + draft.length, 0);
      const sequence = rows === 1 ? places[0]!.sequence : undefined;
      if (rows === 1) layers = asked / used;
      if (sequence !== undefined && sequence === alone) {
        unions.add(2, 2 * used - (now.repeated - before.repeated) / layers);
      } else if (rows > 1 && rows <= mostRows && layers > 0) {
        unions.add(rows, asked / layers);
      }
      alone = sequence;
    },
  };
}

/** More rows, such as a prompt's, ask for all. */
const mostRows = mostDraftTokens + 1;
