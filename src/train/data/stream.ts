import { createHash } from "node:crypto";
import { GrokError } from "../../errors.ts";
import { createRandom } from "../../sampling/random.ts";
import type { Corpus } from "./corpus.ts";
import { countLearned, cutSegments, packBatch, type Segment, type SegmentList, type TrainBatch } from "./segments.ts";

export interface StreamOptions {
  /** Tokens of a sequence at most. */
  readonly context: number;
  /** Rows of a forward pass at most; at least `context`. */
  readonly batchTokens: number;
  /** Forward passes of each replica a step. */
  readonly accumulation: number;
  /** Replicas that share a step's work. */
  readonly replicas: number;
  /** Only this replica's batches are made; absent: all. What comes next is the same for all. */
  readonly replica?: number;
  readonly seed: number;
}

/** A step's forward passes. */
export interface TrainStep {
  /** The replicas asked for, ascending, with their batches in order. Gradients add up in this order. */
  readonly shards: readonly { readonly replica: number; readonly batches: readonly TrainBatch[] }[];
  /** Rows, and learned tokens, of all replicas' batches together. */
  readonly tokens: number;
  readonly learned: number;
}

/** Where a stream stands: plain JSON. */
export interface StreamState {
  readonly version: 1;
  /** Of data and settings: a state only fits the stream that it was saved from. */
  readonly fingerprint: string;
  readonly steps: number;
  readonly sources: readonly SourceState[];
}

export interface SourceState {
  /** Times the source was gone through. */
  readonly epoch: number;
  /** Sequences of the epoch that are used up. */
  readonly position: number;
  /** Tokens of the next sequence that are used up, because a batch had room for no more. */
  readonly offset: number;
  /** Tokens given so far. */
  readonly served: number;
}

export interface BatchStream {
  next(): TrainStep;
  save(): StreamState;
  /**
   * @throws GrokError naming `from`, where the state was kept: `argument` for one of other data or settings, `format` for a place
   * that is none.
   */
  restore(state: StreamState, from: string): void;
  /** Tokens of one epoch of each source. */
  readonly epochTokens: readonly number[];
}

/**
 * An endless stream of training steps from sources mixed by weight. Each sequence comes from the source that is furthest
 * behind its share of the tokens; within a source, sequences come in an order that seed and epoch shuffle. Nothing else is
 * random, so a few numbers say where a stream stands, and equal settings give equal batches to the bit.
 *
 * Texts fill a batch to its last row: what is left of the last one begins the source's next turn as a sequence of its own.
 * Pairs and conversations are never cut; a batch ends early when the next one does not fit.
 *
 * @throws GrokError `argument` for settings that cannot be.
 */
export function createBatchStream(corpora: readonly Corpus[], options: StreamOptions): BatchStream {
  checkOptions(corpora, options);
  const { context, batchTokens, accumulation, replicas, replica, seed } = options;
  const sources = corpora.map(({ documents, training, source }) => ({
    documents,
    segments: cutSegments(documents, training, context),
    weight: source.weight,
    order: undefined as Uint32Array | undefined,
    epoch: 0,
    position: 0,
    offset: 0,
    served: 0,
  }));
  type Source = (typeof sources)[number];
  const fingerprint = createHash("sha256")
    .update(
      JSON.stringify([
        ...[corpora.map(({ key, source }) => [key, source.weight])],
        ...[context, batchTokens, accumulation, replicas, seed],
      ]),
    )
    .digest("hex")
    .slice(0, 32);
  let steps = 0;

  const nextSource = (): Source => {
    let best = sources[0]!;
    for (const source of sources) if (source.served / source.weight < best.served / best.weight) best = source;
    return best;
  };
  const orderOf = (source: Source): Uint32Array => {
    source.order ??= shuffle(source.segments, `${seed}/${sources.indexOf(source)}/${source.epoch}`);
    return source.order;
  };
  /** The source's next sequence, at most `room` tokens of it; undefined when it does not fit and must not be cut. */
  const take = (source: Source, room: number): Segment | undefined => {
    const order = orderOf(source);
    const index = order[source.position]!;
    const left = source.segments.counts[index]! - source.offset;
    if (left > room && source.documents.mask !== undefined) return undefined;
    const start = source.segments.starts[index]! + source.offset;
    const count = Math.min(left, room);
    source.served += count;
    source.offset += count;
    if (count === left) {
      source.offset = 0;
      source.position++;
      if (source.position === order.length) {
        source.position = 0;
        source.epoch++;
        source.order = undefined;
      }
    }
    return { documents: source.documents, start, count };
  };
  const plan = (): Segment[] => {
    const segments: Segment[] = [];
    for (let room = batchTokens; room > 0; ) {
      const segment = take(nextSource(), room);
      if (segment === undefined) break;
      segments.push(segment);
      room -= segment.count;
    }
    return segments;
  };

  return {
    epochTokens: sources.map(({ segments }) => segments.counts.reduce((sum, count) => sum + count, 0)),
    next() {
      const shards: { replica: number; batches: TrainBatch[] }[] = [];
      let tokens = 0;
      let learned = 0;
      for (let r = 0; r < replicas; r++) {
        const batches: TrainBatch[] = [];
        const wanted = replica === undefined || replica === r;
        for (let i = 0; i < accumulation; i++) {
          const segments = plan();
          for (const segment of segments) {
            tokens += segment.count;
            learned += countLearned(segment);
          }
          if (wanted) batches.push(packBatch(segments));
        }
        if (wanted) shards.push({ replica: r, batches });
      }
      steps++;
      return { shards, tokens, learned };
    },
    save: () => ({
      version: 1,
      fingerprint,
      steps,
      sources: sources.map(({ epoch, position, offset, served }) => ({ epoch, position, offset, served })),
    }),
    restore(state, from) {
      if (state.version !== 1 || state.fingerprint !== fingerprint || state.sources.length !== sources.length) {
        throw new GrokError(
          "argument",
          `${from}: the place in the data is of other data or settings (sources and how they are read and split, weights, tokenizer, chat template, context, batch, accumulation, replicas, seed)`,
        );
      }
      for (const [index, saved] of state.sources.entries()) {
        const source = sources[index]!;
        const { epoch, position, offset, served } = saved;
        Object.assign(source, { epoch, position, offset, served, order: undefined });
        const { counts } = source.segments;
        checkPlace(from, `stream.sources[${index}].position`, position, counts.length);
        checkPlace(from, `stream.sources[${index}].offset`, offset, counts[orderOf(source)[position]!]!);
      }
      steps = state.steps;
    },
  };
}

function checkPlace(from: string, entry: string, value: number, end: number): void {
  if (value < end) return;
  throw new GrokError("format", `${from}: ${entry} is ${value}, expected less than ${end}`, { path: from, entry });
}

/** A permutation of the segments, by Fisher and Yates. */
function shuffle({ starts }: SegmentList, name: string): Uint32Array {
  const random = createRandom(createHash("sha256").update(name).digest().readUIntLE(0, 6));
  const order = Uint32Array.from(starts, (_, index) => index);
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1));
    const other = order[i]!;
    order[i] = order[j]!;
    order[j] = other;
  }
  return order;
}

function checkOptions(corpora: readonly Corpus[], options: StreamOptions): void {
  const { context, batchTokens, accumulation, replicas, replica } = options;
  const fail = (what: string): never => {
    throw new GrokError("argument", `training data: ${what}`);
  };
  if (corpora.length === 0) fail("there is no source");
  for (const [name, value] of Object.entries({ context, batchTokens, accumulation, replicas })) {
    if (!Number.isSafeInteger(value) || value < 1) fail(`${name} is ${value}, expected a whole number of at least 1`);
  }
  if (batchTokens < context) fail(`a batch of ${batchTokens} tokens cannot hold a context of ${context}`);
  if (replica !== undefined && !(Number.isSafeInteger(replica) && replica >= 0 && replica < replicas)) {
    fail(`replica ${replica} of ${replicas}: expected a number from 0 to ${replicas - 1}`);
  }
}
