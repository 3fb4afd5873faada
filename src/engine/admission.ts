import { GrokError } from "../errors.ts";
import type { KvMemory } from "./kv-memory.ts";
import { truncate } from "./pages.ts";
import { type Ending, pendingOf, preempt, type Run, type Sequence } from "./run.ts";
import type { Sessions } from "./sessions.ts";

/**
 * Who may hold memory. Runs begin in the order in which they came: the first of those that wait begins when there are pages
 * for all its tokens that are known, free ones or an idle session's, and one more for each sequence that is growing
 * already; those after it wait for it. So who begins takes nothing from who runs.
 *
 * An answer that grows past its pages takes a free one, an idle session's (longest unused first), or those of the youngest
 * run that came after it, which waits again, first of all. Before any of them, runs that wait lose what their sessions remember.
 * Nobody takes from an older run, and the oldest can take from all: it always comes to its end, and so does every other in
 * its turn.
 */
export interface Admission {
  /** Those that have begun, oldest first. */
  readonly running: readonly Run[];
  enter(run: Run): void;
  leave(run: Run): void;
  /** Begins what can begin. */
  admit(): void;
  /** Positions that a sequence may write in the next pass, of `count`; 0: it has to wait. Ends a run that cannot go on. */
  grant(run: Run, sequence: Sequence, count: number): number;
}

export interface AdmissionOptions {
  readonly batchTokens: number;
  /** Ends a run for want of memory. */
  end(run: Run, ending: Ending): void;
  fail(run: Run, error: unknown): void;
}

export function createAdmission(memory: KvMemory, sessions: Sessions, options: AdmissionOptions): Admission {
  const { batchTokens } = options;
  const { pool } = memory;
  const running: Run[] = [];
  /** Older than all of `waiting`, for they began once; oldest first. */
  const preempted: Run[] = [];
  const waiting = new Set<Run>();
  /** More sequences than rows in a pass would take turns, and gain nothing. */
  const mostSequences = Math.max(4, batchTokens);

  /** Of `waiting`, those whose sessions remember something. */
  const remembering = new Set<Run>();

  const pagesFor = (sequence: Sequence) => memory.pagesFor(sequence.timeline, pendingOf(sequence));

  function insert(list: Run[], run: Run): void {
    let at = list.length;
    while (at > 0 && list[at - 1]!.order > run.order) at--;
    list.splice(at, 0, run);
  }

  /** One page for each sequence whose length nobody knows yet. */
  function headroom(): number {
    let growing = 0;
    for (const { background, sequences } of running) if (!background) growing += sequences.length;
    return growing;
  }

  /** Takes pages for all tokens of a sequence that are known; it has places in passes from now on. */
  function begin(run: Run, sequence: Sequence): void {
    memory.extend(sequence.timeline, pendingOf(sequence));
    run.waiting.splice(run.waiting.indexOf(sequence), 1);
    run.sequences.push(sequence);
  }

  /** Begins a run if its memory can be had without taking it from another. */
  function start(run: Run): boolean {
    const first = run.consumer.together ? [...run.waiting] : run.waiting.slice(0, 1);
    const needed = first.reduce((sum, sequence) => sum + pagesFor(sequence), 0);
    const alone = running.length === 0;
    if (!alone && pool.free + forgettable(run) < needed + headroom()) return false;
    while (pool.free < needed && forget(run));
    if (!alone && pool.free < needed) return false;
    run.state = "running";
    remembering.delete(run);
    if (run.computed === 0) run.cached = first[0]!.timeline.length;
    insert(running, run);
    for (const sequence of first) begin(run, sequence);
    return true;
  }

  /** Most pages that {@link forget} could free. */
  function forgettable(run: Run): number {
    let pages = sessions.idlePages();
    for (const other of remembering) if (other.order > run.order) pages += other.session!.timeline.pages.length;
    return pages;
  }

  /** Frees what a session remembers: an idle one, else one whose request came after this run and has not begun. */
  function forget(run: Run): boolean {
    if (sessions.forget()) return true;
    const last = [...remembering].at(-1);
    if (last === undefined || last.order <= run.order) return false;
    remembering.delete(last);
    truncate(pool, last.session!.timeline, 0);
    return true;
  }

  /** Begins further sequences of a run as long as they fill a pass and nobody misses their memory. */
  function continueRun(run: Run): void {
    let pending = run.sequences.reduce((sum, sequence) => sum + pendingOf(sequence), 0);
    while (run.waiting.length > 0 && pending < batchTokens && run.sequences.length < mostSequences) {
      const next = run.waiting[0]!;
      const needed = pagesFor(next);
      // What others go on from stays when it is done: one of them must find room beside it.
      const beside = next.further > 0 ? Math.ceil(next.further / pool.pageTokens) + 1 : 0;
      const spare = preempted.length + waiting.size === 0 ? pool.free - headroom() - beside : 0;
      if (needed > spare) {
        // With none under way it may do what an answer that grows may.
        if (run.sequences.length > 0) return;
        while (needed > pool.free && makeRoom(run, next));
        if (needed > pool.free) {
          giveUp(run);
          return;
        }
      }
      pending += pendingOf(next);
      begin(run, next);
    }
  }

  /** Frees pages for a sequence, by the rules above. Says whether any were. */
  function makeRoom(run: Run, sequence: Sequence): boolean {
    if (forget(run)) return true;
    const youngest = running.at(-1);
    if (youngest !== undefined && youngest.order > run.order) {
      running.pop();
      preempt(youngest, pool);
      youngest.state = "waiting";
      insert(preempted, youngest);
      return true;
    }
    // Its own later sequences compute again what they have in common, if it must be: the longest, which share least with others.
    let held: Sequence | undefined;
    for (const other of run.waiting) {
      if (other !== sequence && other.timeline.length > (held?.timeline.length ?? 0)) held = other;
    }
    if (held !== undefined) truncate(pool, held.timeline, 0);
    return held !== undefined;
  }

  /** A run for which there is no memory waits for older ones to end; without older ones there is none to wait for. */
  function giveUp(run: Run): void {
    if (running[0] !== run) return;
    const { starve } = run.consumer;
    const { pages, free } = pool;
    try {
      if (starve === undefined) throw new GrokError("capacity", "the cache has too few pages", { pages, free });
      options.end(run, starve(run));
    } catch (error) {
      options.fail(run, error);
    }
  }

  return {
    running,
    enter(run) {
      waiting.add(run);
      if (run.session !== undefined && run.session.timeline.pages.length > 0) remembering.add(run);
    },
    leave(run) {
      for (const list of [running, preempted]) {
        const at = list.indexOf(run);
        if (at >= 0) list.splice(at, 1);
      }
      waiting.delete(run);
      remembering.delete(run);
    },
    admit() {
      let sequences = running.reduce((sum, run) => sum + run.sequences.length, 0);
      while (sequences < mostSequences) {
        const [first = waiting.values().next().value] = preempted;
        if (first === undefined || !start(first)) break;
        if (preempted[0] === first) preempted.shift();
        else waiting.delete(first);
        sequences += first.sequences.length;
      }
      for (const run of [...running]) if (run.state === "running" && run.waiting.length > 0) continueRun(run);
    },
    grant(run, sequence, count) {
      for (;;) {
        const granted = memory.extend(sequence.timeline, count);
        if (granted > 0) return granted;
        if (makeRoom(run, sequence)) continue;
        giveUp(run);
        return 0;
      }
    },
  };
}
