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

export const showBytes = (bytes: readonly number[]) => bytes.map((byte) => `⟨${hex(byte)}⟩`).join("");

/** A token so that its spaces and line breaks can be seen. */
export function showToken(text: string): string {
  return text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
}

export const nameOf = ({ text, bytes }: LiveToken) => (text === undefined ? showBytes(bytes) : showToken(text));

/** How often each expert of each layer was chosen: [layer][expert]. */
export function countExperts(tokens: readonly LiveToken[], layers: number, experts: number): number[][] {
  const counts = Array.from({ length: layers }, () => new Array<number>(experts).fill(0));
  for (const token of tokens) addToCounts(counts, token);
  return counts;
}

export function addToCounts(counts: readonly number[][], { experts }: LiveToken): void {
  for (const { layer, experts: chosen } of experts) for (const expert of chosen) counts[layer]![expert]!++;
}
