import { checkWhole } from "../../options.ts";
import type { TokenLogprob } from "../../sampling/logprobs.ts";
import type { AdapterChoice } from "../adapters.ts";
import type { KvMemory } from "../kv-memory.ts";
import { fork, truncate } from "../pages.ts";
import { checkLength, checkTokens } from "../request.ts";
import { type Consumer, createSequence, type ScoreTaker, type Sequence } from "../run.ts";
import { type Settle, settleWith } from "./settle.ts";

/** A text whose tokens are to be scored. */
export interface ScoreText {
  readonly tokens: ArrayLike<number>;
  /** Index of the first token whose log-probability is wanted, at least 1 (nothing predicts token 0). Default 1. */
  readonly from?: number;
}

export interface ScoreOptions {
  /**
   * Most tokens that it takes of a pass in which conversations answer. Default: as many as let such a pass take about twice its
   * time.
   */
  readonly passTokens?: number;
  /** So many of the most probable tokens at each place are given to `onScored`, 0 to 100. Default 0. */
  readonly top?: number;
  /** As in a generation: those adapters that are beside the model. Default: all, as they were loaded. */
  readonly adapters?: readonly AdapterChoice[];
  /** As in a generation: with whom it shares what is computed. */
  readonly prefixGroup?: string;
  readonly onScored?: OnScored;
  readonly signal?: AbortSignal;
}

/**
 * Told of each text as it is done: its index, the log-probability of each of its tokens from `from` on and, where they were asked for,
 * the most probable tokens at each of these places, most probable first.
 */
export type OnScored = (index: number, logprobs: Float64Array, top: readonly (readonly TokenLogprob[])[]) => void;

export interface LogprobsOptions extends Pick<ScoreText, "from"> {
  readonly signal?: AbortSignal;
}

interface Text {
  readonly index: number;
  readonly tokens: Int32Array;
  readonly from: number;
  /** Natural log-probability of each token from `from` on: [tokens.length - from]. */
  readonly values: Float64Array;
  /** The same, of the most probable tokens there; empty where none are asked for. */
  readonly top: TokenLogprob[][];
}

/** Texts that are the same up to token `end`, for which it is computed once; what is before `start` is in the cache already. */
interface Branch {
  readonly texts: readonly Text[];
  readonly start: number;
  readonly end: number;
}

/** A branch under way, of which nobody asked for what follows its first `unasked` tokens. */
interface Growing extends Branch {
  readonly unasked: number;
}

/** Less in common is computed again: a text of its own fills passes better, and copies no page. */
const leastShared = 16;

export interface ScoreRunOptions {
  readonly texts: readonly ScoreText[];
  readonly vocab: number;
  readonly contextLength: number;
  readonly memory: KvMemory;
  readonly nextId: () => number;
  readonly top: number;
  readonly emit: OnScored;
}

/**
 * Scores texts along the tree of their common beginnings: each piece that several texts share is computed once, and those
 * that go on from it fork its pages. Nothing follows a text's last token, so that one is not computed.
 * @throws GrokError `argument`, `capacity`
 */
export function createScoring(
  options: ScoreRunOptions,
  settle: Settle<Float64Array[]>,
): { readonly consumer: Consumer; readonly sequences: Sequence[] } {
  const { vocab, contextLength, memory, nextId, top, emit } = options;
  const { pool, prefixes } = memory;
  const texts = options.texts.map(({ tokens, from = 1 }, index): Text => {
    // Nothing follows a text's last token: it need not be read.
    if (tokens.length === contextLength + 1) checkTokens(tokens, vocab);
    else checkLength(tokens, vocab, contextLength);
    checkWhole("from", from, 1, tokens.length);
    return { index, tokens: Int32Array.from(tokens), from, values: new Float64Array(tokens.length - from), top: [] };
  });
  const branches = new Map<Sequence, Growing>();

  function grow(branch: Branch, fromSequence?: Sequence): Sequence {
    const { texts, start, end } = branch;
    const wanted = texts.reduce((least, { from }) => Math.min(least, from - 1), end);
    const tokens = texts[0]!.tokens.subarray(0, end);
    const timeline = fromSequence && fork(pool, fromSequence.timeline);
    const longest = texts.reduce((most, text) => Math.max(most, text.tokens.length - 1), end);
    const sequence = createSequence(nextId(), tokens, Math.max(start, wanted), timeline, longest - end);
    branches.set(sequence, { ...branch, unasked: wanted });
    return sequence;
  }

  /** Those of a branch that want the token after `position`, each its own. */
  const wantedAt = (sequence: Sequence, position: number) =>
    branches.get(sequence)!.texts.filter(({ from }) => position + 1 >= from);
  const scores: ScoreTaker = {
    top: Math.min(top, vocab),
    targets: (sequence, position) => wantedAt(sequence, position).map(({ tokens }) => tokens[position + 1]!),
    take(sequence, position, found) {
      for (const [i, { from, values, top: likeliest }] of wantedAt(sequence, position).entries()) {
        values[position + 1 - from] = found.values[i]!;
        if (top > 0) likeliest[position + 1 - from] = [...found.top];
      }
    },
  };

  const consumer: Consumer = {
    ...{ kind: "score", scores },
    complete(run, sequence) {
      const { texts, end, unasked } = branches.get(sequence)!;
      branches.delete(sequence);
      run.sequences.splice(run.sequences.indexOf(sequence), 1);
      // Before texts that have nothing in common with this one, so that few pages are held.
      const further = split(texts, end).map((branch) => grow(branch, sequence));
      if (further.length > 0) run.waiting = further.concat(run.waiting);
      // Contexts come again, with other continuations; texts that are scored whole do not.
      if (run.prefixes !== undefined) prefixes.keep(run.prefixes, sequence.tokens, sequence.timeline, unasked);
      truncate(pool, sequence.timeline, 0);
      for (const { index, tokens, values, top } of texts) if (tokens.length - 1 === end) emit(index, values, top);
      return branches.size === 0 ? "done" : undefined;
    },
    ...settleWith(settle, () => texts.map(({ values }) => values)),
  };

  for (const { index, values } of texts) if (values.length === 0) emit(index, values, []);
  const sequences = split(
    texts.filter(({ values }) => values.length > 0),
    0,
  ).map((branch) => grow(branch));
  return { consumer, sequences };
}

/** What texts that are the same up to `start` compute next: those that go on alike for long enough, together. */
function split(texts: readonly Text[], start: number): Branch[] {
  const branches: Branch[] = [];
  const unsplit = [{ texts, at: start }];
  for (let next = unsplit.pop(); next !== undefined; next = unsplit.pop()) {
    const groups = new Map<number, Text[]>();
    for (const text of next.texts) {
      if (text.tokens.length - 1 <= next.at) continue;
      const token = text.tokens[next.at]!;
      const group = groups.get(token);
      if (group === undefined) groups.set(token, [text]);
      else group.push(text);
    }
    for (const group of groups.values()) {
      const end = commonEnd(group, next.at);
      const longer = group.filter(({ tokens }) => tokens.length - 1 > end);
      if (longer.length === 0 || end - start >= leastShared) {
        branches.push({ texts: group, start, end });
      } else {
        const whole = group.filter(({ tokens }) => tokens.length - 1 === end);
        if (whole.length > 0) branches.push({ texts: whole, start, end });
        unsplit.push({ texts: longer, at: end });
      }
    }
  }
  return branches.sort((a, b) => a.texts[0]!.index - b.texts[0]!.index);
}

/** How far texts are the same, without their last tokens. */
function commonEnd(texts: readonly Text[], from: number): number {
  const first = texts[0]!.tokens;
  let end = first.length - 1;
  for (const { tokens } of texts) {
    let at = from;
    const most = Math.min(end, tokens.length - 1);
    while (at < most && tokens[at] === first[at]) at++;
    end = at;
  }
  return end;
}
