/** A token of an answer with what else there could have been, and the experts that it came from. */
export interface LiveToken {
  /** As people read it; undefined for what is only a part of a character. */
  readonly text: string | undefined;
  readonly bytes: readonly number[];
  readonly probability: number;
  /** The likeliest tokens at its place, likeliest first; it may be among them. */
  readonly top: readonly { readonly text: string; readonly probability: number }[];
  readonly experts: readonly LayerChoice[];
}

/** The experts that a layer chose, and how much each counts. */
export interface LayerChoice {
  readonly layer: number;
  readonly experts: readonly number[];
  readonly weights: readonly number[];
}

interface Entry {
  readonly token: string;
  readonly bytes: readonly number[] | null;
  readonly logprob: number;
}

/** Out of a chunk's `logprobs.content`, and its `grok1.experts`: for each token a list of [layer, experts, weights]. */
export function readTokens(
  content: readonly (Entry & { readonly top_logprobs: readonly Entry[] })[],
  experts: readonly (readonly (readonly [number, readonly number[], readonly number[]])[])[],
): LiveToken[] {
  return content.map((entry, i) => ({
    text: textOf(entry),
    bytes: entry.bytes ?? [],
    probability: Math.exp(entry.logprob),
    top: entry.top_logprobs.map((other) => ({
      text: textOf(other) ?? showBytes(other.bytes ?? []),
      probability: Math.exp(other.logprob),
    })),
    experts: (experts[i] ?? []).map(([layer, chosen, weights]) => ({ layer, experts: chosen, weights })),
  }));
}

/** OpenAI writes what is no text as `bytes:\xe2\x80`. */
function textOf({ token, bytes }: Entry): string | undefined {
  return token.startsWith("bytes:\\x") && bytes !== null ? undefined : token;
}

const hex = (byte: number) => byte.toString(16).toUpperCase().padStart(2, "0");

const showBytes = (bytes: readonly number[]) => bytes.map((byte) => `⟨${hex(byte)}⟩`).join("");

/** A token so that its spaces and line breaks can be seen. */
export function showToken(text: string): string {
  return text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
}

export const nameOf = ({ text, bytes }: LiveToken) => (text === undefined ? showBytes(bytes) : showToken(text));

/**
 * What a token of an answer shows among the others. A character that is spelled by several stands where it becomes whole, with a dot
 * for each part before.
 */
export function spellToken(tokens: readonly LiveToken[], at: number): string {
  const { text } = tokens[at]!;
  if (text !== undefined) return text;
  let first = at;
  while (first > 0 && at - first < 3 && tokens[first - 1]!.text === undefined) first--;
  for (; first <= at; first++) {
    const bytes = tokens.slice(first, at + 1).flatMap((token) => token.bytes);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
    } catch {
      // The bytes before it may be another character's.
    }
  }
  return "·";
}

/**
 * Counts how often each expert of each layer was chosen for an answer's tokens up to one of them: [layer][expert]. As tokens come one
 * after another, only what is new is counted.
 */
export function createExpertCounter(layers: number, experts: number) {
  let counted: readonly LiveToken[] | undefined;
  let next = 0;
  let counts: number[][] = [];
  return (tokens: readonly LiveToken[], at: number): readonly (readonly number[])[] => {
    if (tokens !== counted || at + 1 < next) {
      counted = tokens;
      next = 0;
      counts = Array.from({ length: layers }, () => new Array<number>(experts).fill(0));
    }
    for (; next <= at; next++) {
      for (const { layer, experts: chosen } of tokens[next]!.experts) {
        for (const expert of chosen) counts[layer]![expert]!++;
      }
    }
    return counts;
  };
}
