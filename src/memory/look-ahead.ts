/**
 * Whether the next layer's experts are worth reading before it asks for them. That is tried where it may pay, by how long the drive rests between
 * what one layer waits for and what the next asks for, and kept up where layers were seen to wait less for it.
 *
 * Of `absent` experts that are foretold, each right with a probability `p` and read in `R`, while the drive rests for `I`, a layer
 *
 *     may save  p · min(absent R, I)
 *     may lose  (1 - p) · (share of layers that wait) · (absent R + max(0, absent R - I)) + what foretelling takes to compute
 *
 * since what is read in vain takes the place of another, and keeps the drive from what is waited for once it should have rested no more.
 * All of it is known while nothing is read ahead, but for `p`: for that there is a pass now and then that foretells and reads nothing.
 */
export interface LookAhead {
  /** What is to be done for the next layer: nothing, saying what it will ask for, or reading that too. */
  readonly plan: "nothing" | "foretell" | "read";
  /** A layer asks: what there was to read until now. */
  add(seen: LayerReads): void;
}

export interface LayerReads {
  readonly layer: number;
  /** Milliseconds from when the layer before had asked, and had what it asked for, until this one asked: the drive could have read. */
  readonly rest: number;
  /** Milliseconds for which the layer before had nothing to compute. */
  readonly stalled: number;
  /** Whether the drive is waited for: something that is asked for is not there. */
  readonly waits: boolean;
  /** Experts that were read since the layer before asked, and milliseconds that the drive took for them. */
  readonly reads: number;
  readonly reading: number;
  /** Where it was foretold: how many of what was were not in memory, how many of these are asked for; milliseconds that foretelling took. */
  readonly foretold?: { readonly absent: number; readonly right: number; readonly took: number } | undefined;
}

/** What counts, of the layers seen: some two hundred. */
const fading = 0.995;
/** Passes that a trial takes. */
const spell = 16;
/** Passes for which its outcome holds: twice as many each time that it is the same. */
const pause = 64;
const longestPause = 1024;
/** By how much it has to pay, in what may be saved and in what layers were seen to wait: what is measured is not exact. */
const clearly = 1.25;
const lessWaiting = 0.95;

export function createLookAhead(): LookAhead {
  const all = { layers: 0, rest: 0, waiting: 0, reads: 0, reading: 0 };
  const foretold = { layers: 0, absent: 0, right: 0, took: 0 };
  /** What layers waited for, with and without. */
  const waited = { with: { layers: 0, stalled: 0 }, without: { layers: 0, stalled: 0 } };
  let previous = -1;
  let reads = false;
  /** Spells in a row that paid, or, below 0, that did not. */
  let streak = 0;
  /** Passes until it is decided anew. In the first ones memory is filled: they say little. */
  let left = 2 * spell;
  let passes = 0;

  const fade = (sums: Record<string, number>) => {
    for (const name of Object.keys(sums)) sums[name]! *= fading;
  };
  const count = ({ rest, stalled, waits, reads: read, reading, foretold: told }: LayerReads) => {
    fade(all);
    all.layers++;
    all.rest += rest;
    all.waiting += waits ? 1 : 0;
    all.reads += read;
    all.reading += reading;
    const mode = reads ? waited.with : waited.without;
    fade(mode);
    mode.layers++;
    mode.stalled += stalled;
    if (told === undefined) return;
    fade(foretold);
    foretold.layers++;
    foretold.absent += told.absent;
    foretold.right += told.right;
    foretold.took += told.took;
  };
  const mayPay = (): boolean => {
    if (all.reads === 0 || foretold.layers === 0) return false;
    const rest = all.rest / all.layers;
    const read = all.reading / all.reads;
    const waiting = all.waiting / all.layers;
    const right = foretold.absent === 0 ? 0 : foretold.right / foretold.absent;
    const ahead = (foretold.absent / foretold.layers) * read;
    const lost = (1 - right) * waiting * (ahead + Math.max(0, ahead - rest)) + foretold.took / foretold.layers;
    return right * Math.min(ahead, rest) > clearly * lost;
  };
  const paid = (): boolean => {
    const took = foretold.took / foretold.layers;
    const mean = ({ layers, stalled }: { layers: number; stalled: number }) => stalled / Math.max(1, layers);
    return mean(waited.with) + took < lessWaiting * mean(waited.without);
  };
  const longer = (times: number) => Math.min(longestPause, pause * 2 ** (times - 1));
  /** Begins another spell: with and without in turn, and longer whichever it was that paid. */
  const decide = () => {
    if (reads) {
      streak = paid() ? Math.max(1, streak + 1) : Math.min(-1, streak - 1);
      reads = false;
      left = streak > 0 ? spell : longer(-streak);
    } else {
      reads = mayPay();
      left = !reads ? pause : streak > 0 ? longer(streak) : spell;
    }
  };

  return {
    get plan() {
      if (reads) return "read";
      return left === 1 || (foretold.layers < spell && left <= spell) ? "foretell" : "nothing";
    },
    add(seen) {
      const begins = seen.layer <= previous;
      previous = seen.layer;
      if (begins) passes++;
      if (passes >= spell) count(seen);
      if (begins && --left <= 0) decide();
    },
  };
}
