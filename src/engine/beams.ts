import type { TokenLogprob } from "./types.ts";

/** A continuation of the prompt that a beam search considers. */
export interface Hypothesis {
  readonly tokens: readonly number[];
  /** Sum of its tokens' log-probabilities. */
  readonly sum: number;
  /** One entry a token, when asked for. */
  readonly logprobs: readonly TokenLogprob[];
}

export interface FinishedHypothesis extends Hypothesis {
  readonly score: number;
  readonly reason: "stop" | "length" | "context";
}

export interface BeamSearch {
  readonly width: number;
  readonly lengthPenalty: number;
  /** Most tokens of a hypothesis, the end token counted. */
  readonly maxTokens: number;
  /** Best first, at most `width`. */
  readonly finished: FinishedHypothesis[];
}

/** One way to go on: beam `parent` with `token`. */
export interface Extension {
  readonly parent: number;
  readonly token: number;
  readonly logprob: number;
}

/**
 * A text's rank: log-probability / length ** penalty, length in tokens with the end token. The plain power of the
 * length, as most decoders have it, rather than the shifted one of Wu et al., "Google's Neural Machine Translation
 * System" (2016).
 */
export function scoreOf(sum: number, length: number, penalty: number): number {
  return sum / Math.max(1, length) ** penalty;
}

/** Adds a finished text, keeping the `width` best. */
export function finish(search: BeamSearch, hypothesis: FinishedHypothesis): void {
  const at = search.finished.findIndex((other) => other.score < hypothesis.score);
  search.finished.splice(at < 0 ? search.finished.length : at, 0, hypothesis);
  if (search.finished.length > search.width) search.finished.length = search.width;
}

/**
 * One step: from each beam's best extensions (`2 * width` of them suffice: at most `width` end), finishes those that
 * end and returns the `width` best that go on, best first. An ending that ranks below the `width` best extensions is
 * dropped, as in Sutskever et al. (2014): it would otherwise win by being short.
 */
export function stepBeams(
  search: BeamSearch,
  beams: readonly Hypothesis[],
  extensions: readonly (readonly Extension[])[],
  ends: ReadonlySet<number>,
): Extension[] {
  const ranked = extensions
    .flat()
    .map((extension) => ({ extension, sum: beams[extension.parent]!.sum + extension.logprob }))
    .filter(({ sum }) => sum > Number.NEGATIVE_INFINITY)
    .sort((a, b) => b.sum - a.sum || a.extension.parent - b.extension.parent || a.extension.token - b.extension.token);
  const next: Extension[] = [];
  for (const [rank, { extension, sum }] of ranked.entries()) {
    if (next.length === search.width) break;
    if (!ends.has(extension.token)) {
      next.push(extension);
    } else if (rank < search.width) {
      const { tokens, logprobs } = beams[extension.parent]!;
      const score = scoreOf(sum, tokens.length + 1, search.lengthPenalty);
      finish(search, { tokens, logprobs, sum, score, reason: "stop" });
    }
  }
  return next;
}

/** No beam can still beat the worst finished text: sums only fall, and the best length is the next or the last one. */
export function isSettled(search: BeamSearch, beams: readonly Hypothesis[]): boolean {
  if (beams.length === 0) return true;
  if (search.finished.length < search.width) return false;
  const worst = search.finished.at(-1)!.score;
  return beams.every(({ sum, tokens }) =>
    [tokens.length + 1, search.maxTokens].every((length) => scoreOf(sum, length, search.lengthPenalty) <= worst),
  );
}
