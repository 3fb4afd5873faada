import type { Logits } from "../sampling/logits.ts";
import type { TokenLogprob } from "../sampling/logprobs.ts";
import type { AdapterSelection } from "./adapters.ts";
import type { DraftSource } from "./draft-source.ts";
import type { KvMemory } from "./kv-memory.ts";
import { createTimeline, type Timeline, truncate } from "./pages.ts";
import type { FinishReason } from "./request.ts";

/**
 * The one kind of work: sequences whose tokens are computed, and a consumer of the rows of logits that it asked for. What a
 * run is for is the consumer's affair; sequences of all runs travel in the same passes.
 */
export interface Run {
  readonly id: number;
  /** Its place among all that wait or run: the lower, the older. */
  order: number;
  readonly adapters: AdapterSelection;
  readonly consumer: Consumer;
  /** Whether it can wait while people watch answers arrive: then it takes what a pass can spare. */
  readonly background: boolean;
  /** Most of its tokens in a pass that conversations are in. */
  readonly passTokens: number;
  /** What drafts of its next tokens come from; absent: nothing is drafted. */
  readonly drafts: DraftSource | undefined;
  /** Where its kept prefixes are: what makes keys and values of the same tokens differ. Absent: it computes all, and leaves nothing. */
  readonly prefixes: string | undefined;
  /** Whose requests are answered one after the other. */
  readonly session: Session | undefined;
  /** Queued: others of its session come first. Waiting: for memory. */
  state: "queued" | "waiting" | "running" | "over";
  /** Those that hold memory and have places in passes. */
  sequences: Sequence[];
  /** Those that have none yet: they begin in this order. */
  waiting: Sequence[];
  /** Tokens that were in the cache when it began. */
  cached: number;
  /** Tokens computed for it; those that it had to give up count again. */
  computed: number;
  cancelled: boolean;
}

/** Requests that are answered one after the other. */
export interface Session {
  readonly id: number;
  /** What was asked of it, in order; the first is under way. */
  readonly queue: Set<Run>;
}

/** One sequence of tokens that computes. A generation has one, a beam search several, scoring one for each new piece of text. */
export interface Sequence {
  readonly id: number;
  timeline: Timeline;
  /** Those that are known; those in the cache are the first `timeline.length`. */
  readonly tokens: ArrayLike<number>;
  /** Position of the first token whose row of logits is still wanted, and of all after it. */
  wanted: number;
  /** Who computes its beginning, of so many tokens: it waits for these, and shares them. */
  follows: { readonly sequence: Sequence; readonly length: number } | undefined;
  /** Its beginning is being read from files, one page after the other. */
  arriving: object | undefined;
  /** Passes since it last had a place in one. */
  waited: number;
  /** Most tokens that others will have which go on from it, beyond its own; 0: nothing goes on from it. */
  readonly further: number;
}

/** Why a run is over. */
export type Ending = FinishReason | "done";

/** What takes the rows that a run asked for. */
export interface Consumer {
  /** What it does, for who treats some differently: drafts are for "sample" alone. */
  readonly kind: "sample" | "beam" | "score" | "logits" | "embed" | "bench";
  /** Whether the rows that it asks for are hidden states [width], after the last norm, in place of logits. */
  readonly takesHidden?: boolean;
  /** Whether its sequences are of use only all at once, as beams are. */
  readonly together?: boolean;
  /**
   * Takes the logits [vocab] that follow the token at `position`, good until it returns. Says why the run is over, if it is. What this
   * or another of these functions throws ends the run, and no other of the same pass.
   */
  take?(run: Run, sequence: Sequence, position: number, row: Logits): Ending | undefined;
  /** Told after each pass how many tokens of a sequence are computed. */
  advanced?(length: number): void;
  /** As `take`, for who chooses by the largest logit of a row alone: with `token`, where it is. */
  takeLargest?(run: Run, sequence: Sequence, position: number, token: number): Ending | undefined;
  /**
   * In place of `take`, for who wants of each row the log-probabilities of some tokens alone, known beforehand: rows of logits are then not
   * kept.
   */
  readonly scores?: ScoreTaker;
  /**
   * What it would choose from rows of logits, one after another from where it is, if they were the model's: undefined where its choice
   * ends the run. It takes nothing from what `take` will do.
   */
  rehearse?(): (row: Logits) => number | undefined;
  /** All tokens of a sequence are computed, and its rows taken. */
  complete?(run: Run, sequence: Sequence): Ending | undefined;
  /** Wants every layer's results too: rows [n, cols] of what was named, after the tokens from `position` on. */
  observe?(layer: number, name: string, position: number, cols: number, values: ArrayLike<number>): void;
  /** There is no memory to be had for it any more. Says why it ends. Absent: it fails. */
  starve?(run: Run): Ending;
  /** Settles what was promised. */
  end(run: Run, ending: Ending): void;
  fail(error: unknown): void;
}

export interface ScoreTaker {
  /** So many of the likeliest tokens of each row beside. */
  readonly top: number;
  /** The tokens after the one at `position`. */
  targets(sequence: Sequence, position: number): ArrayLike<number>;
  take(sequence: Sequence, position: number, scores: RowScores): void;
}

export interface RowScores {
  /** Log-probabilities of the targets, natural logarithms. */
  readonly values: Float64Array;
  /** The likeliest tokens, likeliest first (the lower id on a tie). */
  readonly top: readonly TokenLogprob[];
}

export function createSequence(
  id: number,
  tokens: ArrayLike<number>,
  wanted: number,
  timeline = createTimeline(),
  further = 0,
): Sequence {
  return { id, timeline, tokens, wanted, follows: undefined, arriving: undefined, waited: 0, further };
}

/** It has no place in passes: its beginning comes from elsewhere. */
export function isHeld({ follows, arriving }: Sequence): boolean {
  return follows !== undefined || arriving !== undefined;
}

/** Tokens that are known but not computed. */
export function pendingOf({ tokens, timeline }: Sequence): number {
  return tokens.length - timeline.length;
}

/** Gives up a run's memory for now; what it had computed is kept, or computed again when its turn comes. */
export function preempt(run: Run, memory: KvMemory): void {
  run.waiting.unshift(...run.sequences);
  run.sequences = [];
  release(run, memory);
}

/** Returns a run's pages. What they hold stays for who begins alike, as long as nobody needs the memory. */
export function release(run: Run, { pool, prefixes }: KvMemory): void {
  for (const sequence of [...run.sequences, ...run.waiting]) {
    const { tokens, timeline } = sequence;
    sequence.follows = undefined;
    sequence.arriving = undefined;
    if (run.prefixes !== undefined) prefixes.keep(run.prefixes, tokens, timeline);
    truncate(pool, timeline, 0);
  }
}
