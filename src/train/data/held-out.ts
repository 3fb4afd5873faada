import type { Corpus } from "./corpus.ts";
import { cutSegments, packBatch, type Segment, type TrainBatch } from "./segments.ts";

/** A source's held-out documents, ready to be scored. */
export interface HeldOutSet {
  readonly name: string;
  readonly documents: number;
  /** Tokens that are scored. */
  readonly tokens: number;
  /** UTF-8 bytes of the text that is scored: bits per byte = nats / ln 2 / bytes. */
  readonly bytes: number;
  /** Batches of whole sequences, always the same. */
  batches(): Generator<TrainBatch>;
}

export interface HeldOutOptions {
  readonly context: number;
  readonly batchTokens: number;
  /** Whole documents, by the order of their hashes, until there are this many tokens. Default: all. */
  readonly maxTokens?: number;
}

/** Of each source that holds something out, what is scored. A text longer than the context is scored in windows that begin afresh. */
export function heldOutSets(corpora: readonly Corpus[], options: HeldOutOptions): HeldOutSet[] {
  return corpora.map((corpus) => heldOutSet(corpus, options)).filter(({ tokens }) => tokens > 0);
}

function heldOutSet(corpus: Corpus, { context, batchTokens, maxTokens }: HeldOutOptions): HeldOutSet {
  const { heldOutDocuments: documents, source } = corpus;
  const sorted = corpus.heldOut.toSorted((a, b) => documents.hashes[a]! - documents.hashes[b]! || a - b);
  let tokens = 0;
  let bytes = 0;
  let count = 0;
  for (const index of sorted) {
    if (maxTokens !== undefined && tokens >= maxTokens) break;
    const [start, end] = [documents.starts[index]!, documents.starts[index + 1]!];
    if (documents.mask === undefined) tokens += end - start - 1;
    else for (let at = start + 1; at < end; at++) tokens += documents.mask[at]!;
    bytes += documents.textBytes[index]!;
    count++;
  }
  const { starts, counts } = cutSegments(documents, sorted.subarray(0, count), context);
  return {
    name: source.name,
    documents: count,
    tokens,
    bytes,
    *batches() {
      let segments: Segment[] = [];
      let rows = 0;
      for (const [index, start] of starts.entries()) {
        if (rows + counts[index]! > batchTokens) {
          yield packBatch(segments);
          segments = [];
          rows = 0;
        }
        segments.push({ documents, start, count: counts[index]! });
        rows += counts[index]!;
      }
      if (rows > 0) yield packBatch(segments);
    },
  };
}
