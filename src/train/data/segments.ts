import type { Batch, BatchSequence } from "../../kernels/ops.ts";
import type { TokenizedDocuments } from "./ids-file.ts";

/** Inputs of one sequence: `count` tokens from `start` in a source's ids; the token after each is its target. */
export interface Segment {
  readonly documents: TokenizedDocuments;
  readonly start: number;
  readonly count: number;
}

/** A forward pass with what it should have said. */
export interface TrainBatch {
  /** Sequences from position 0 each; attention does not cross them. Outputs are the rows that are learned. */
  readonly batch: Batch;
  /** [outputs] the token after each output row. */
  readonly targets: Int32Array;
  /** [outputs] 1 for each: divide by the tokens learned in the whole step for a mean. */
  readonly weights: Float64Array;
}

/** Starts and counts of sequences; parallel arrays. */
export interface SegmentList {
  readonly starts: Uint32Array;
  readonly counts: Uint32Array;
}

/** Documents as sequences of at most `context` inputs. A longer one is cut into windows; every token is a target once. */
export function cutSegments(documents: TokenizedDocuments, chosen: Uint32Array, context: number): SegmentList {
  const starts: number[] = [];
  const counts: number[] = [];
  for (const index of chosen) {
    const end = documents.starts[index + 1]! - 1;
    for (let at = documents.starts[index]!; at < end; at += context) {
      starts.push(at);
      counts.push(Math.min(context, end - at));
    }
  }
  return { starts: Uint32Array.from(starts), counts: Uint32Array.from(counts) };
}

/** Tokens of a segment that are learned. */
export function countLearned({ documents, start, count }: Segment): number {
  if (documents.mask === undefined) return count;
  let learned = 0;
  for (let at = start + 1; at <= start + count; at++) learned += documents.mask[at]!;
  return learned;
}

const noPages = new Int32Array(0);

/** Lays segments one after the other. */
export function packBatch(segments: readonly Segment[]): TrainBatch {
  const rows = segments.reduce((sum, { count }) => sum + count, 0);
  const learned = segments.reduce((sum, segment) => sum + countLearned(segment), 0);
  const tokens = new Int32Array(rows);
  const positions = new Int32Array(rows);
  const outputs = new Int32Array(learned);
  const targets = new Int32Array(learned);
  const sequences: BatchSequence[] = [];
  let row = 0;
  let output = 0;
  for (const { documents, start, count } of segments) {
    sequences.push({ start: row, count, pages: noPages });
    for (let i = 0; i < count; i++, row++) {
      tokens[row] = documents.ids[start + i]!;
      positions[row] = i;
      if (documents.mask !== undefined && documents.mask[start + i + 1] === 0) continue;
      outputs[output] = row;
      targets[output++] = documents.ids[start + i + 1]!;
    }
  }
  return { batch: { tokens, positions, sequences, outputs }, targets, weights: new Float64Array(learned).fill(1) };
}
