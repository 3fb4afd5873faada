import type { Batch, BatchSequence, Matrix, Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import type { Observer } from "../model/observe.ts";
import type { Logits } from "../sampling/logits.ts";
import type { TokenLogprob } from "../sampling/logprobs.ts";
import type { AdapterSet } from "./adapters.ts";
import type { KvMemory } from "./kv-memory.ts";
import type { RowScores, Run, Sequence } from "./run.ts";

/**
 * A way out of a pass. A thread that computes reads no messages; it can look at shared memory, between two layers and,
 * on the native backend, between two pieces of a product. A pass is left once all runs are cancelled that it serves: nobody pays
 * for a neighbour's cancellation.
 */
export interface Interrupt {
  /** A pass for these runs begins. */
  enter(runs: readonly number[]): void;
  /** It is over. */
  leave(): void;
  /** On this thread, which a pass that awaits data lets go on: this run is over. */
  cancelled(run: number): void;
}

/** For who computes where nobody cancels meanwhile. */
export const uninterrupted: Interrupt = { enter() {}, leave() {}, cancelled() {} };

/** What one sequence computes in a pass: `count` of its pending tokens, and after the last of them a draft to verify. */
export interface Place {
  readonly run: Run;
  readonly sequence: Sequence;
  readonly count: number;
  /** Of the tokens, the last ones whose rows of logits are wanted. */
  readonly rows: number;
  readonly draft: readonly number[];
}

/** What a pass computed for the rows of its places, in their order: for each, rows + draft.length of them. Valid until the next pass. */
export interface PassRows {
  /** [n, vocab] of places whose consumers take no log-probabilities; empty where `largest` is there. */
  readonly logits: Logits;
  /** Of each place whose consumer takes log-probabilities, what it wants of each row. */
  readonly scores?: ReadonlyMap<Place, readonly RowScores[]>;
  /** [n, width] the hidden states, where a consumer of the pass takes them. */
  readonly hidden?: Logits | undefined;
  /** [n] the largest logit's token, where all consumers of the pass choose by it alone. */
  readonly largest?: ArrayLike<number> | undefined;
  /** What observers threw. */
  readonly failures: ReadonlyMap<Run, unknown>;
}

export interface Passes {
  /** Whether rows of logits are all there at once also where log-probabilities alone are wanted of them. */
  readonly keepsLogits: boolean;
  compute(places: readonly Place[]): Promise<PassRows>;
  /** Tokens of prompts that a pass takes when so many requests are under way. */
  chunkFor(requests: number): number;
}

export interface PassOptions {
  readonly batchTokens: number;
  readonly interrupt: Interrupt;
  readonly adapters: AdapterSet | undefined;
  /** Experts are read as they are needed, so that a pass costs what it reads, however many tokens share it. */
  readonly streamed: boolean;
  /** Binds the model once more, every result shown to `see`; weights are shared. */
  readonly bindObserved: ((see: Observer) => Model) | undefined;
}

const none: ReadonlyMap<Run, unknown> = new Map();

/** What others wait for should not take much longer than this. */
const passSeconds = 1;
/** Rows of logits that are there at once, at most, where log-probabilities alone are wanted: more are not faster. */
const mostBlockRows = 128;
/** Most bytes of logits in a pass, drafts aside. */
const mostLogitBytes = 2 ** 26;
/** Smaller chunks read the weights for little. */
const smallestChunk = 64;

/** Most rows of logits in a pass, drafts aside. */
export function mostLogitRows(vocab: number): number {
  return Math.max(2, Math.floor(mostLogitBytes / 4 / vocab));
}

export function createPasses(ops: Ops, model: Model, memory: KvMemory, options: PassOptions): Passes {
  const { batchTokens, interrupt, adapters, streamed, bindObserved } = options;
  const observing = createObserving(ops);
  const blockRows = Math.min(mostBlockRows, mostLogitRows(model.config.vocab));
  const keepsLogits = adapters !== undefined;
  let observed: Model | undefined;
  /** Tokens a second, of the last pass that was large enough to tell. */
  let speed = 0;

  /** The model that shows its results when one of the runs wants to see them. */
  function modelFor(places: readonly Place[]): Model {
    if (bindObserved === undefined || places.every(({ run }) => run.consumer.observe === undefined)) return model;
    observed ??= bindObserved(observing.see);
    return observed;
  }

  async function readRows(places: readonly Place[], logits: Matrix): Promise<Omit<PassRows, "failures">> {
    if (logits.rows === 0) return { logits: new Float32Array(0) };
    if (places.every(({ run, rows }) => rows === 0 || run.consumer.takeLargest !== undefined)) {
      const top = ops.topK("result_top", logits, 1);
      const [values, sums] = [await ops.read(top.values), await ops.read(top.logSumExp)];
      // What are no numbers is for the consumers to find, in all of the row.
      if (values.every(Number.isFinite) && sums.every(Number.isFinite)) {
        return { logits: new Float32Array(0), largest: await ops.read(top.indices) };
      }
    }
    return { logits: await ops.read(logits) };
  }

  /** Who takes hidden states or log-probabilities spares nobody else the output matrix. */
  async function run(chosen: Model, places: readonly Place[], batch: Batch): Promise<Omit<PassRows, "failures">> {
    const hides = places.some(({ run }) => run.consumer.takesHidden);
    const scored = listScored(places);
    if (!hides && scored.rows.length === 0) return readRows(places, await chosen.forward(batch, memory.cache()));
    const x = await chosen.hidden(batch, memory.cache());
    const beside = {
      ...(hides && { hidden: await ops.read(x) }),
      ...(scored.rows.length > 0 && { scores: scored.of }),
    };
    const others = places.filter(({ run }) => !run.consumer.scores);
    const quiet = others.every(({ run, rows, draft }) => run.consumer.takesHidden || rows + draft.length === 0);
    // Who observes is shown all rows, and adapters have their strengths in the order of all.
    const whole = keepsLogits || chosen !== model ? chosen.logits(x) : undefined;
    if (whole !== undefined) await readScores(whole, scored.rows);
    else {
      for (let start = 0; start < scored.rows.length; start += blockRows) {
        const some = scored.rows.slice(start, start + blockRows);
        const block = model.logits(pick(x, some));
        await readScores(
          block,
          some.map((each, row) => ({ ...each, row })),
        );
      }
    }
    if (quiet) return { logits: new Float32Array(0), ...beside };
    if (scored.rows.length === 0) return { ...(await readRows(others, whole ?? chosen.logits(x))), ...beside };
    const theirs = listRows(places, ({ consumer }) => !consumer.scores).map((row) => ({ row }));
    const logits = whole === undefined ? chosen.logits(pick(x, theirs)) : pick(whole, theirs);
    return { ...(await readRows(others, logits)), ...beside };
  }

  const pick = (matrix: Matrix, rows: readonly { readonly row: number }[]) =>
    ops.rows(
      "result_rows",
      matrix,
      Int32Array.from(rows, ({ row }) => row),
    );

  /** Fills in what is wanted of rows of logits, which are not read back. */
  async function readScores(logits: Matrix, wanted: readonly ScoredRow[]): Promise<void> {
    if (wanted.length === 0) return;
    const most = Math.max(...wanted.map(({ top }) => top.length));
    const likeliest = most > 0 ? Array.from(await ops.read(ops.topK("result_top", logits, most).indices)) : [];
    const columns = wanted.map(({ row, tokens, top }) => [
      ...Array.from(tokens),
      ...likeliest.slice(row * most, row * most + top.length),
    ]);
    const found = ops.logprobs("result_logprobs", logits, {
      rows: columns.flatMap((of, i) => of.map(() => wanted[i]!.row)),
      columns: columns.flat(),
    });
    const pairs = await ops.read(found);
    let at = 0;
    for (const [i, { values, top }] of wanted.entries()) {
      for (const [j, token] of columns[i]!.entries()) {
        const logprob = pairs[2 * at]! + pairs[2 * at++ + 1]!;
        if (j < values.length) values[j] = logprob;
        else top[j - values.length] = { token, logprob };
      }
    }
  }

  return {
    keepsLogits,
    async compute(places) {
      const batch = assembleBatch(places);
      adapters?.assign(
        batch,
        places.map(({ run }) => run.adapters),
      );
      const chosen = modelFor(places);
      if (chosen !== model) observing.begin(places, batch);
      const began = performance.now();
      interrupt.enter([...new Set(places.map(({ run }) => run.id))]);
      const rows = await run(chosen, places, batch).finally(interrupt.leave);
      const tokens = batch.tokens.length;
      if (tokens >= 32) speed = tokens / Math.max(1e-6, (performance.now() - began) / 1000);
      return { ...rows, failures: chosen === model ? none : await observing.settle() };
    },
    chunkFor(requests) {
      // One request alone can be left in the middle of a pass, and large chunks read the weights least often.
      if (requests <= 1 || streamed) return batchTokens;
      return Math.min(batchTokens, Math.max(smallestChunk, Math.floor((speed * passSeconds) / 32) * 32));
    },
  };
}

/**
 * Shows runs what their own rows of a pass's results are, whoever else is in it. Past the last layer's attention there are only rows
 * whose logits are wanted: who observes wants all.
 */
function createObserving(ops: Ops) {
  let places: readonly Place[] = [];
  let total = 0;
  let reads: Promise<void>[] = [];
  let failures = new Map<Run, unknown>();
  return {
    begin(given: readonly Place[], batch: Batch) {
      places = given;
      total = batch.tokens.length;
      reads = [];
      failures = new Map();
    },
    see(layer: number, name: string, matrix: Matrix) {
      const show = (values: Logits) => {
        let row = 0;
        for (const { run, sequence, count, rows, draft } of places) {
          const own = matrix.rows === total ? count + draft.length : rows + draft.length;
          const part = () => values.subarray(row * matrix.cols, (row + own) * matrix.cols);
          try {
            run.consumer.observe?.(layer, name, sequence.timeline.length, matrix.cols, part());
          } catch (error) {
            failures.set(run, error);
          }
          row += own;
        }
      };
      const values = ops.read(matrix);
      // What is there already is a view of memory that the next operation may write over: shown at once.
      if (values instanceof Promise) reads.push(values.then(show));
      else show(values);
    },
    async settle() {
      await Promise.all(reads);
      return failures;
    },
  };
}

function assembleBatch(places: readonly Place[]): Batch {
  const outputs: number[] = [];
  const tokens: number[] = [];
  const positions: number[] = [];
  const sequences: BatchSequence[] = [];
  for (const { sequence, count, rows, draft } of places) {
    const { length, pages } = sequence.timeline;
    const start = tokens.length;
    for (let i = 0; i < count; i++) tokens.push(sequence.tokens[length + i]!);
    tokens.push(...draft);
    for (let i = 0; i < count + draft.length; i++) positions.push(length + i);
    sequences.push({ start, count: count + draft.length, pages: Int32Array.from(pages) });
    for (let row = start + count - rows; row < tokens.length; row++) outputs.push(row);
  }
  return {
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from(positions),
    sequences,
    outputs: Int32Array.from(outputs),
  };
}

/** Which of a pass's rows belong to some runs. */
function listRows(places: readonly Place[], belongs: (run: Run) => boolean): number[] {
  let row = 0;
  return places.flatMap((place) => {
    const own = Array.from({ length: place.rows + place.draft.length }, () => row++);
    return belongs(place.run) ? own : [];
  });
}

/** A row whose log-probabilities are wanted: which it is, and of which tokens. */
interface ScoredRow extends RowScores {
  readonly row: number;
  readonly tokens: ArrayLike<number>;
  /** To be filled in. */
  readonly top: TokenLogprob[];
}

/** Listed before the pass: while it is under way, a run can be closed. */
function listScored(places: readonly Place[]) {
  const indices = listRows(places, ({ consumer }) => consumer.scores !== undefined);
  const of = new Map<Place, readonly ScoredRow[]>();
  let next = 0;
  for (const place of places) {
    const { run, sequence, count, rows } = place;
    const { scores } = run.consumer;
    if (scores === undefined) continue;
    const first = sequence.timeline.length + count - rows;
    const own = Array.from({ length: rows }, (_, i): ScoredRow => {
      const tokens = scores.targets(sequence, first + i);
      const values = new Float64Array(tokens.length);
      return { row: indices[next++]!, tokens, values, top: new Array<TokenLogprob>(scores.top) };
    });
    of.set(place, own);
  }
  return { of, rows: [...of.values()].flat() };
}

/** `run`'s sequence with its next `count` tokens. */
export function placeOf(run: Run, sequence: Sequence, count: number): Place {
  const end = sequence.timeline.length + count;
  return {
    run,
    sequence,
    count,
    rows: Math.max(0, end - Math.max(sequence.timeline.length, sequence.wanted)),
    draft: [],
  };
}
