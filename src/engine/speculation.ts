import { type Costs, createCosts } from "./costs.ts";
import { longestMatch } from "./lookup.ts";

/**
 * Whether, and how far, to speculate: a pass that also verifies k drafted tokens costs more than one that does not, and
 * saves passes by the drafts that turn out right (Leviathan et al. 2023, section 3.4). Both are measured: the seconds of
 * passes by their number of rows (with experts, each row may read weights of its own), and how often a draft token
 * was right given how long a match it came from. Where experts are read as they are needed, bytes are what passes take time for, and of
 * those a pass reads what its rows ask for together. What is verified is always what the model would have said, so
 * this decides about time alone.
 *
 * A wrong decision is bounded too: speculation lives on credit, in seconds. Passes without it earn a small share of
 * their time, passes with it earn what they saved and pay what they lost; nothing is drafted that the credit could not pay
 * for if every draft were wrong.
 */
export interface Speculation {
  /**
   * Draft tokens to verify for each of some sequences, in one pass with one row for each besides.
   * @param guesses per sequence, how many tokens could be drafted, and the chance that one is right if those before it are.
   */
  choose(guesses: readonly { readonly length: number; readonly chance: number }[], mostRows: number): number[];
  /** What a pass of decode steps took; `tokens` is how many it gave. */
  passed(rows: number, sequences: number, tokens: number, seconds: number): void;
}

/** How often drafts were right in one text, by the length of the match they came from. Old ones fade. */
export interface Odds {
  /** The chance that a token drafted after a match is right when those before it are. */
  of(match: number): number;
  /** Of `drafted` tokens the first `right` were as the model had it; those after the first wrong one say nothing. */
  add(match: number, drafted: number, right: number): void;
}

export interface SpeculationOptions {
  /** Most tokens drafted for a sequence in a pass, 1 to 15. Default 15. */
  readonly draftTokens?: number;
  /** Speculate wherever there is a match, whatever it costs: for tests and measurements. Default false. */
  readonly always?: boolean;
}

/** 16 rows with the one that is computed anyway: the work of few rows is what backends share out among threads best. */
export const mostDraftTokens = 15;

/** More sequences than this fill a pass well enough by themselves. */
export const mostSpeculating = 4;

/** Share of the time of passes without drafts that may be lost. */
const share = 0.005;
/** Credit at first, and at most, in passes of one row. */
const firstCredit = 1;
const mostCredit = 16;
/** A gain that is not worth being wrong about. */
const leastGain = 1.03;

/** @param costs of passes, which it tells of those that there were. */
export function createSpeculation(options: SpeculationOptions = {}, costs: Costs = createCosts()): Speculation {
  const { draftTokens = mostDraftTokens, always = false } = options;
  let credit: number | undefined;

  return {
    choose(guesses, mostRows) {
      const sequences = guesses.length;
      const room = Math.floor(mostRows / Math.max(1, sequences)) - 1;
      const take = (most: number) => guesses.map(({ length }) => Math.max(0, Math.min(length, most, room)));
      if (always) return take(draftTokens);
      const base = costs.of(sequences);
      if (base === undefined || credit === undefined) return take(0);
      let longest = 0;
      for (const { length } of guesses) longest = Math.max(longest, Math.min(length, room, draftTokens));
      let best = 0;
      let bestRate = (sequences / base) * leastGain;
      for (let most = 1; most <= longest; most++) {
        let drafted = 0;
        let expected = sequences;
        for (const { length, chance } of guesses) {
          const count = Math.min(length, most, room);
          drafted += count;
          expected += expectRight(chance, count);
        }
        const cost = costs.of(sequences + drafted)!;
        if (cost - base <= credit && expected / cost > bestRate) [best, bestRate] = [most, expected / cost];
      }
      return take(best);
    },
    passed(rows, sequences, tokens, seconds) {
      costs.add(rows, seconds);
      const single = costs.of(1)!;
      credit ??= firstCredit * single;
      if (rows === sequences) credit += share * seconds;
      // Each sequence's tokens would have taken as many passes.
      else credit += (tokens / sequences) * costs.of(sequences)! - seconds;
      credit = Math.min(credit, mostCredit * single);
    },
  };
}

export function createOdds(): Odds {
  const fade = 0.98;
  const buckets = Array.from({ length: Math.ceil(Math.log2(longestMatch)) + 1 }, (_, i) => {
    // What is thought at first, as if seen: two tokens, more of them right after longer matches. Short ones are often chance.
    const chance = 0.1 + 0.15 * i;
    return { right: 2 * chance, seen: 2 };
  });
  const bucketOf = (match: number) => buckets[Math.min(buckets.length - 1, Math.floor(Math.log2(Math.max(1, match))))]!;
  return {
    of(match) {
      const { right, seen } = bucketOf(match);
      return right / seen;
    },
    add(match, drafted, right) {
      if (drafted === 0) return;
      const bucket = bucketOf(match);
      const seen = Math.min(drafted, right + 1);
      bucket.right = bucket.right * fade ** seen + right;
      bucket.seen = bucket.seen * fade ** seen + seen;
    },
  };
}

/** Tokens of a draft that are right, in the mean: chance + chance² + ... */
function expectRight(chance: number, drafted: number): number {
  if (chance >= 1) return drafted;
  return (chance * (1 - chance ** drafted)) / (1 - chance);
}
