import { type Costs, createCosts } from "./costs.ts";

/**
 * Whether, and how far, to speculate: a pass that also verifies k drafted tokens costs more than one that does not, and
 * saves passes by the drafts that turn out right (Leviathan et al. 2023, section 3.4). Both are measured: the seconds of
 * passes by their number of rows (with experts, each row may read weights of its own), and how often drafts like this one were
 * right. Where experts are read as they are needed, bytes are what passes take time for, and of those a pass reads what its rows ask
 * for together. What is verified is always what the model would have said, so this decides about time alone.
 *
 * A wrong decision is bounded too: speculation lives on credit, in seconds. Passes without it earn a small share of
 * their time, passes with it earn what they saved and pay what they lost; nothing is drafted that the credit could not pay
 * for if every draft were wrong.
 */
export interface Speculation {
  /**
   * Draft tokens to verify for each of some sequences, in one pass with one row for each besides.
   * @param guesses per sequence, for each token that could be verified the chance that it is right and all before it are.
   */
  choose(guesses: readonly (readonly number[])[], mostRows: number): number[];
  /**
   * Whether it pays to have another token drafted for some of the sequences by a model, which takes time.
   * @param guesses as for `choose`, of what is drafted so far
   * @param hopes for each sequence, how many more could be drafted, and the chance that one is right if those before it are
   * @param steps that the model has taken for them
   */
  goesOn(guesses: readonly (readonly number[])[], hopes: readonly Hope[], steps: number, mostRows: number): boolean;
  passed(pass: DecodePass): void;
}

export interface Hope {
  readonly most: number;
  readonly chance: number;
}

/** A pass of decode steps. */
export interface DecodePass {
  readonly rows: number;
  readonly sequences: number;
  /** That it gave. */
  readonly tokens: number;
  readonly seconds: number;
  /** What a model took before it to draft, and in how many steps. */
  readonly draftSteps: number;
  readonly draftSeconds: number;
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
const usualCredit = 1;
const mostCredit = 16;
/** A gain that is not worth being wrong about. */
const leastGain = 1.03;
/** What a step of a model that drafts is taken to cost before it is measured, as a share of a pass with one row. */
const guessedStep = 0.1;
/** The weight of the latest steps in what one costs. */
const latest = 0.1;

/**
 * @param costs of passes, which it tells of those that there were
 * @param firstCredit in passes of one row
 */
export function createSpeculation(
  options: SpeculationOptions = {},
  costs: Costs = createCosts(),
  firstCredit = usualCredit,
): Speculation {
  const { draftTokens = mostDraftTokens, always = false } = options;
  let credit: number | undefined;
  let stepSeconds: number | undefined;

  const roomFor = (sequences: number, mostRows: number) =>
    Math.max(0, Math.min(draftTokens, Math.floor(mostRows / Math.max(1, sequences)) - 1));
  const step = () => stepSeconds ?? guessedStep * (costs.of(1) ?? 0);

  /** The most tokens a second that verifying the likeliest of `chances` gives, and how many of them. */
  function best(chances: readonly number[], sequences: number, drafting: number): { rate: number; count: number } {
    const base = costs.of(sequences)!;
    const likeliest = [...chances].sort((a, b) => b - a);
    let found = { rate: sequences / (base + drafting), count: 0 };
    let expected = sequences;
    for (const [i, chance] of likeliest.entries()) {
      expected += chance;
      const cost = costs.of(sequences + i + 1)! + drafting;
      if (cost - base > credit!) break;
      if (expected / cost > found.rate) found = { rate: expected / cost, count: i + 1 };
    }
    return found;
  }

  return {
    choose(guesses, mostRows) {
      const sequences = guesses.length;
      const room = roomFor(sequences, mostRows);
      const within = guesses.map((guess) => guess.slice(0, room));
      if (always) return within.map(({ length }) => length);
      const base = costs.of(sequences);
      if (base === undefined || credit === undefined) return within.map(() => 0);
      const { rate, count } = best(within.flat(), sequences, 0);
      if (rate <= (sequences / base) * leastGain) return within.map(() => 0);
      // The likeliest of all are the first ones of each: no token is more likely than those before it.
      const ranked = within.flatMap((guess, of) => guess.map((chance) => ({ chance, of })));
      ranked.sort((a, b) => b.chance - a.chance);
      const counts = within.map(() => 0);
      for (const { of } of ranked.slice(0, count)) counts[of]!++;
      return counts;
    },
    goesOn(guesses, hopes, steps, mostRows) {
      const sequences = guesses.length;
      const room = roomFor(sequences, mostRows);
      const left = hopes.map(({ most }, i) => Math.min(most, room - guesses[i]!.length));
      const further = Math.max(0, ...left);
      if (always || further === 0) return further > 0;
      const base = costs.of(sequences);
      if (base === undefined || credit === undefined) return false;
      const chances = guesses.flat();
      const now = best(chances, sequences, steps * step()).rate;
      const least = steps === 0 ? now * leastGain : now;
      const products = guesses.map((guess) => guess.at(-1) ?? 1);
      for (let more = 1; more <= further; more++) {
        for (const [i, { chance }] of hopes.entries()) {
          if (more > left[i]!) continue;
          products[i]! *= chance;
          chances.push(products[i]!);
        }
        const drafting = (steps + more) * step();
        if (drafting > credit) return false;
        if (best(chances, sequences, drafting).rate > least) return true;
      }
      return false;
    },
    passed({ rows, sequences, tokens, seconds, draftSteps, draftSeconds }) {
      costs.add(rows, seconds);
      if (draftSteps > 0) {
        const each = draftSeconds / draftSteps;
        stepSeconds = stepSeconds === undefined ? each : stepSeconds + latest * (each - stepSeconds);
      }
      const single = costs.of(1)!;
      credit ??= firstCredit * single;
      if (rows === sequences && draftSteps === 0) credit += share * seconds;
      // Each sequence's tokens would have taken as many passes.
      else credit += (tokens / sequences) * costs.of(sequences)! - seconds - draftSeconds;
      credit = Math.min(credit, mostCredit * single);
    },
  };
}
