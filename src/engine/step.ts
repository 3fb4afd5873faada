import { canChoose, type Logits } from "../sampling/logits.ts";
import type { Admission } from "./admission.ts";
import type { Drafting } from "./drafts.ts";
import { isInterruption } from "./failures.ts";
import type { Pace } from "./pace.ts";
import { type PagePool, truncate } from "./pages.ts";
import { mostLogitRows, type Passes, type PassRows, type Place, placeOf } from "./pass.ts";
import { type Ending, isHeld, pendingOf, type Run, type Sequence } from "./run.ts";
import { nextBatch, type Work } from "./scheduler.ts";

export interface StepParts {
  readonly vocab: number;
  readonly width: number;
  readonly batchTokens: number;
  readonly pool: PagePool;
  readonly admission: Admission;
  readonly passes: Passes;
  readonly pace: Pace;
  readonly drafting: Drafting | undefined;
  /** Requests under way, begun or not. */
  requests(): number;
  end(run: Run, ending: Ending): void;
  fail(run: Run, error: unknown): void;
  /** What is wrong when a run's rows of logits are no numbers. */
  noNumbers(run: Run): Error;
}

/** One pass over what the scheduler chose of the runs that have begun; then each consumer takes its rows. Says whether there was any. */
export function createStep(parts: StepParts): () => Promise<boolean> {
  const { vocab, width, batchTokens, pool, admission, passes, pace, drafting } = parts;
  const mostRows = mostLogitRows(vocab);
  const isUnderWay = (run: Run) => run.state === "running";

  /** What could compute now. A run in the background that set itself a bound keeps it beside others. */
  function listWork(byId: Map<number, { run: Run; sequence: Sequence }>): Work[] {
    const works: Work[] = [];
    const company = admission.running.some(({ background }) => !background);
    for (const run of admission.running) {
      let left = company ? run.passTokens : Number.POSITIVE_INFINITY;
      for (const sequence of run.sequences) {
        const pending = isHeld(sequence) ? 0 : Math.min(pendingOf(sequence), left);
        if (pending <= 0) continue;
        left -= pending;
        // Rows of hidden states and a few log-probabilities are small.
        const { takesHidden, scores } = run.consumer;
        const small = takesHidden || (scores && !passes.keepsLogits);
        const quiet = small ? pending : Math.max(0, sequence.wanted - sequence.timeline.length);
        works.push({ id: sequence.id, pending, quiet, background: run.background, waited: sequence.waited++ });
        byId.set(sequence.id, { run, sequence });
      }
    }
    return works;
  }

  /** Places for the next pass, with memory to write to. */
  function choosePlaces(): Place[] {
    const byId = new Map<number, { run: Run; sequence: Sequence }>();
    const works = listWork(byId);
    const decodes = works.reduce((sum, { pending, background }) => sum + (pending === 1 && !background ? 1 : 0), 0);
    const budget = {
      ...{ tokens: batchTokens, prefill: passes.chunkFor(parts.requests()), rows: mostRows },
      background: pace.allowance(decodes),
    };
    const chosen = nextBatch(works, budget)
      .map(({ id, count }) => ({ ...byId.get(id)!, count }))
      .sort((a, b) => a.run.order - b.run.order);
    const places: Place[] = [];
    for (const { run, sequence, count } of chosen) {
      const granted = isUnderWay(run) ? admission.grant(run, sequence, count) : 0;
      // Its turn has come, even if memory did not let it: else it would come first for ever.
      sequence.waited = 0;
      if (granted > 0) places.push(placeOf(run, sequence, granted));
    }
    // Running out of memory can end a run, or make it wait, after one of its sequences had its place.
    return places.filter(({ run }) => isUnderWay(run));
  }

  /**
   * Gives a consumer its rows, and those after each drafted token for as long as the draft is what it chose itself: every token
   * is drawn from the model's own distribution, in order, as without a draft. What goes wrong in a run's consumer ends that
   * run alone. Returns how many rows were taken.
   */
  function deliver(place: Place, computed: PassRows, from: number): number {
    const { run, sequence, count, rows, draft } = place;
    const { consumer } = run;
    const scores = computed.scores?.get(place);
    const values = consumer.takesHidden ? computed.hidden! : computed.logits;
    const largest = consumer.takesHidden ? undefined : computed.largest;
    const size = consumer.takesHidden ? width : vocab;
    const first = sequence.timeline.length - rows;
    const before = sequence.tokens.length;
    let taken = 0;
    let right = 0;
    let row: Logits | undefined;
    try {
      while (taken < rows + draft.length && isUnderWay(run) && !run.cancelled) {
        const at = from + taken;
        const position = first + taken++;
        sequence.wanted = position + 1;
        if (scores !== undefined) {
          const found = scores[taken - 1]!;
          if (found.values.some(Number.isNaN)) throw parts.noNumbers(run);
          consumer.scores!.take(sequence, position, found);
          continue;
        }
        if (largest === undefined) row = values.subarray(at * size, (at + 1) * size);
        const ending = row
          ? consumer.take!(run, sequence, position, row)
          : consumer.takeLargest!(run, sequence, position, largest![at]!);
        if (ending !== undefined) {
          parts.end(run, ending);
          break;
        }
        if (taken < rows) continue;
        // The draft's keys and values are in the cache already. An answer can close its session as it is given.
        if (right === draft.length || sequence.tokens[before + right] !== draft[right] || !isUnderWay(run)) break;
        sequence.timeline.length++;
        right++;
      }
      if (consumer.complete !== undefined && isUnderWay(run) && pendingOf(sequence) === 0) {
        const ending = consumer.complete(run, sequence);
        if (ending !== undefined) parts.end(run, ending);
      }
    } catch (error) {
      parts.fail(run, row === undefined || canChoose(row) ? error : parts.noNumbers(run));
    }
    if (draft.length > 0) truncate(pool, sequence.timeline, sequence.timeline.length);
    drafting?.learn({ run, sequence, count, rows, draft }, sequence.tokens[before], right);
    return taken;
  }

  return async () => {
    const undrafted = choosePlaces();
    if (undrafted.length === 0) return false;
    try {
      const drafted = (await drafting?.addDrafts(undrafted, batchTokens)) ?? undrafted;
      // While drafts were made a run may have been closed.
      const places = drafted.filter(({ run }) => isUnderWay(run));
      if (places.length === 0) return true;
      const began = performance.now();
      const rows = await passes.compute(places);
      const computed = performance.now();
      for (const [run, error] of rows.failures) parts.fail(run, error);
      // While the pass was under way a run may have been closed.
      for (const { run, sequence, count } of places) {
        if (!isUnderWay(run)) continue;
        run.computed += count;
        sequence.timeline.length += count;
        try {
          run.consumer.advanced?.(sequence.timeline.length);
        } catch (error) {
          parts.fail(run, error);
        }
      }
      let at = 0;
      let atLogits = 0;
      let tokens = 0;
      for (const place of places) {
        const { takesHidden, scores } = place.run.consumer;
        if (isUnderWay(place.run)) tokens += deliver(place, rows, takesHidden ? at : atLogits);
        at += place.rows + place.draft.length;
        if (!scores) atLogits += place.rows + place.draft.length;
      }
      drafting?.passed(places, tokens, (computed - began) / 1000);
      learnPace(places, (performance.now() - began) / 1000);
    } catch (error) {
      // A pass that was interrupted on purpose is simply run again, without who cancelled.
      if (!isInterruption(error)) {
        for (const run of new Set(undrafted.map((place) => place.run))) parts.fail(run, error);
      }
    }
    return true;
  };

  /** Of passes without prompts: they tell what decode steps take, and what background work adds. */
  function learnPace(places: readonly Place[], seconds: number): void {
    let decodes = 0;
    let background = 0;
    for (const { run, count, draft } of places) {
      if (run.background) background += count;
      else if (count === 1) decodes += 1 + draft.length;
      else return;
    }
    pace.passed(decodes, background, seconds);
  }
}
