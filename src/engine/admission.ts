import { GrokError } from "../errors.ts";
import type { KvMemory } from "./kv-memory.ts";
import { truncate } from "./pages.ts";
import { commonPrefix } from "./prefix-tree.ts";
import { type Ending, pendingOf, preempt, type Run, type Sequence } from "./run.ts";

/**
 * Who may hold memory. Runs begin in the order in which they came: the first of those that wait begins when there are pages
 * for all its tokens that are known, free or only kept, and one more for each sequence that is growing already; those after
 * it wait for it. So who begins takes nothing from who runs.
 *
 * An answer that grows past its pages takes a free one, a kept one (longest unused first), or those of the youngest run that
 * came after it, which waits again, first of all. Nobody takes from an older run, and the oldest can take from all: it always
 * comes to its end, and so does every other in its turn.
 *
 * What a run's first tokens have in common with what is kept, or with what another run holds, is not computed again. Where an older
 * run is still computing it, the younger one holds its place, and goes on when it is there.
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

/** Waiting for less in common is not worth it. */
const leastFollowed = 16;

export function createAdmission(memory: KvMemory, options: AdmissionOptions): Admission {
  const { batchTokens } = options;
  const { pool, prefixes, saved } = memory;
  const running: Run[] = [];
  /** Older than all of `waiting`, for they began once; oldest first. */
  const preempted: Run[] = [];
  const waiting = new Set<Run>();
  /** More sequences than rows in a pass would take turns, and gain nothing. */
  const mostSequences = Math.max(4, batchTokens);

  /** Pages that it takes to compute all known tokens of a sequence, those that another computes for it aside. */
  function pagesFor({ timeline, tokens, follows }: Sequence): number {
    if (follows === undefined) return memory.pagesFor(timeline, tokens.length - timeline.length);
    return Math.ceil(tokens.length / pool.pageTokens) - Math.floor(follows.length / pool.pageTokens);
  }

  function insert(list: Run[], run: Run): void {
    let at = list.length;
    while (at > 0 && list[at - 1]!.order > run.order) at--;
    list.splice(at, 0, run);
  }

  /** One page for each sequence whose length nobody knows yet, and all that those need which still follow others. */
  function headroom(): number {
    let pages = 0;
    for (const { background, sequences } of running) {
      if (!background) pages += sequences.length;
      for (const sequence of sequences) if (sequence.follows !== undefined) pages += pagesFor(sequence);
    }
    return pages;
  }

  /** Tokens that a sequence may find computed: those before the first row that is wanted, and one less than all, so that a pass completes it. */
  const findable = ({ tokens, wanted }: Sequence) => Math.min(wanted, tokens.length - 1);

  /**
   * Finds the beginning of a sequence that has nothing yet, up to the first token whose row is wanted: kept, held by another, or about to be
   * computed by an older one, which it then follows.
   */
  function findPrefix(run: Run, sequence: Sequence): void {
    const { tokens } = sequence;
    const most = findable(sequence);
    if (run.prefixes === undefined || sequence.timeline.length > 0 || sequence.follows !== undefined) return;
    sequence.timeline = prefixes.find(run.prefixes, tokens, most);
    for (const other of running) {
      if (other === run || other.prefixes !== run.prefixes) continue;
      const isLeader = other.order < run.order && (run.background || !other.background);
      for (const held of other.sequences) {
        const common = Math.min(commonPrefix(held.tokens, tokens), most);
        const computed = Math.min(common, held.timeline.length);
        if (computed > sequence.timeline.length) {
          truncate(pool, sequence.timeline, 0);
          sequence.timeline = memory.branch(held.timeline, computed);
        }
        if (
          isLeader &&
          common >= sequence.timeline.length + leastFollowed &&
          common > (sequence.follows?.length ?? 0)
        ) {
          sequence.follows = { sequence: held, length: common };
        }
      }
    }
    const { follows } = sequence;
    if (follows === undefined) return;
    // Another had more of it already than this one will have.
    if (follows.length < sequence.timeline.length + leastFollowed) sequence.follows = undefined;
    else truncate(pool, sequence.timeline, 0);
  }

  /** Those that followed go on by themselves where it is computed, or nobody computes it any more. */
  function part(): void {
    for (const run of running) {
      for (const sequence of run.sequences) {
        const { follows } = sequence;
        if (follows === undefined) continue;
        const underWay = running.some(({ sequences }) => sequences.includes(follows.sequence));
        if (underWay && follows.sequence.timeline.length < follows.length) continue;
        sequence.follows = undefined;
        findPrefix(run, sequence);
        take(run, sequence);
      }
    }
  }

  /** Takes pages for all tokens of a sequence that are known, and has files fill those that they can. */
  function take(run: Run, sequence: Sequence): void {
    if (sequence.follows !== undefined) return;
    const { timeline, tokens } = sequence;
    const names = run.prefixes === undefined ? [] : (saved?.find(run.prefixes, tokens, findable(sequence)) ?? []);
    // A page is read faster than it is computed, but not than a few tokens.
    const arriving = names.length * pool.pageTokens > timeline.length + leastFollowed;
    if (arriving) truncate(pool, timeline, timeline.length - (timeline.length % pool.pageTokens));
    memory.extend(timeline, pendingOf(sequence));
    if (arriving) saved?.load(sequence, names, () => note(run, sequence));
    else note(run, sequence);
  }

  /** How much of its beginning a run did not compute. */
  function note(run: Run, { timeline }: Sequence): void {
    if (run.computed === 0 && run.cached === 0) run.cached = timeline.length;
  }

  /** It has places in passes from now on. */
  function begin(run: Run, sequence: Sequence): void {
    take(run, sequence);
    run.waiting.splice(run.waiting.indexOf(sequence), 1);
    run.sequences.push(sequence);
  }

  /** Begins a run if its memory can be had without taking it from another. */
  function start(run: Run): boolean {
    const first = run.consumer.together ? [...run.waiting] : run.waiting.slice(0, 1);
    for (const sequence of first) findPrefix(run, sequence);
    const needed = first.reduce((sum, sequence) => sum + pagesFor(sequence), 0);
    if (running.length > 0 && memory.available < needed + headroom()) {
      // What it found stays where it was found.
      for (const sequence of first) giveBack(sequence);
      return false;
    }
    run.state = "running";
    insert(running, run);
    for (const sequence of first) begin(run, sequence);
    return true;
  }

  function giveBack(sequence: Sequence): void {
    sequence.follows = undefined;
    truncate(pool, sequence.timeline, 0);
  }

  /** Begins further sequences of a run as long as they fill a pass and nobody misses their memory. */
  function continueRun(run: Run): void {
    let pending = run.sequences.reduce((sum, sequence) => sum + pendingOf(sequence), 0);
    while (run.waiting.length > 0 && pending < batchTokens && run.sequences.length < mostSequences) {
      const next = run.waiting[0]!;
      const isNew = next.timeline.length === 0;
      findPrefix(run, next);
      const needed = pagesFor(next);
      // What others go on from stays when it is done: one of them must find room beside it.
      const beside = next.further > 0 ? Math.ceil(next.further / pool.pageTokens) + 1 : 0;
      const spare = preempted.length + waiting.size === 0 ? memory.available - headroom() - beside : 0;
      if (needed > spare) {
        // With none under way it may do what an answer that grows may.
        if (run.sequences.length > 0) {
          if (isNew) giveBack(next);
          return;
        }
        while (pagesFor(next) > memory.available && makeRoom(run, next));
        if (pagesFor(next) > memory.available) {
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
    const youngest = running.at(-1);
    if (youngest !== undefined && youngest.order > run.order) {
      running.pop();
      preempt(youngest, memory);
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
    const { pages } = pool;
    try {
      if (starve === undefined) {
        throw new GrokError("capacity", "the cache has too few pages", { pages, free: memory.available });
      }
      options.end(run, starve(run));
    } catch (error) {
      options.fail(run, error);
    }
  }

  return {
    running,
    enter: (run) => void waiting.add(run),
    leave(run) {
      for (const list of [running, preempted]) {
        const at = list.indexOf(run);
        if (at >= 0) list.splice(at, 1);
      }
      waiting.delete(run);
    },
    admit() {
      part();
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
