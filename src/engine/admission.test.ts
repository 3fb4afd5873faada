import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { noAdapters } from "./adapters.ts";
import { createAdmission } from "./admission.ts";
import { createFakeModel } from "./fake-model.case.ts";
import { createKvMemory } from "./kv-memory.ts";
import { createSequence, pendingOf, type Run, release } from "./run.ts";

const pageTokens = 4;
const contextLength = 64;

/** Runs that read a prompt and then grow to a length, over memory for `pages` pages. */
function simulate(pages: number, batchTokens: number) {
  const fake = createFakeModel();
  const memory = createKvMemory(fake.ops, fake.model, { tokens: pages * pageTokens, pageTokens, type: "f32" });
  const ended: Run[] = [];
  const under: Run[] = [];
  const leave = (run: Run) => {
    admission.leave(run);
    release(run, memory);
    run.state = "over";
    under.splice(under.indexOf(run), 1);
    ended.push(run);
  };
  const fail = (_: Run, error: unknown) => {
    throw error;
  };
  const admission = createAdmission(memory, { batchTokens, end: leave, fail });
  let last = 0;

  /** Prompts of one kind begin alike. */
  function arrive(prompt: number, length: number, background: boolean, kind = 1): void {
    const tokens = new Array<number>(prompt).fill(kind);
    const run: Run = {
      ...{ id: ++last, order: last, adapters: noAdapters, background, passTokens: 9, drafts: undefined, prefixes: "" },
      consumer: { kind: "sample", take: () => undefined, end: () => undefined, fail: () => undefined },
      ...{ session: undefined, state: "waiting", sequences: [], waiting: [createSequence(last, tokens, prompt - 1)] },
      ...{ cached: 0, computed: length, cancelled: false },
    };
    under.push(run);
    admission.enter(run);
  }

  /** What has to hold at any time. */
  function check(): void {
    const owners = new Map<number, number>();
    for (const { sequences, waiting } of under) {
      for (const page of [...sequences, ...waiting].flatMap(({ timeline }) => timeline.pages)) {
        owners.set(page, (owners.get(page) ?? 0) + 1);
      }
    }
    // Beside runs only the tree of prefixes holds pages, each once.
    const others = [...owners].map(([page, count]) => memory.pool.owners(page) - count);
    expect(others.filter((count) => count !== 0 && count !== 1)).toEqual([]);
    expect(memory.available).toBe(pages - owners.size);
    const orders = admission.running.map(({ order }) => order);
    expect(orders).toEqual([...orders].sort((a, b) => a - b));
  }

  /** A pass in which the runs chosen have their turn. */
  function pass(isChosen: () => boolean): void {
    const before = [...admission.running];
    admission.admit();
    // Who begins takes nothing from who runs, and begins before all that came later.
    expect(admission.running).toEqual(expect.arrayContaining(before));
    const first = Math.min(...under.filter(({ state }) => state === "waiting").map(({ order }) => order));
    const begun = admission.running.filter((run) => !before.includes(run));
    for (const { order } of begun) expect(order).toBeLessThan(first);
    check();
    for (const run of [...admission.running]) {
      if (run.state !== "running" || !isChosen()) continue;
      const [sequence] = run.sequences;
      if (sequence!.follows !== undefined) {
        // Whom it waits for is older, and under way.
        const leader = admission.running.find(({ sequences }) => sequences.includes(sequence!.follows!.sequence));
        expect(leader?.order ?? 0).toBeLessThan(run.order);
        continue;
      }
      const others = admission.running.filter(({ order }) => order < run.order);
      const granted = admission.grant(run, sequence!, pendingOf(sequence!));
      // Nobody takes from an older one, and the oldest always goes on.
      expect(admission.running).toEqual(expect.arrayContaining(others));
      if (others.length === 0) expect(granted).toBeGreaterThan(0);
      check();
      if (granted === 0) continue;
      // What it writes to is nobody else's.
      const { pages: held, length } = sequence!.timeline;
      const written = held.slice(Math.floor(length / pageTokens), Math.ceil((length + granted) / pageTokens));
      expect(written.filter((page) => memory.pool.owners(page) !== 1)).toEqual([]);
      sequence!.timeline.length += granted;
      if (pendingOf(sequence!) > 0) continue;
      if (sequence!.tokens.length >= run.computed) leave(run);
      else (sequence!.tokens as number[]).push(run.id);
    }
  }
  return { admission, arrive, pass, check, leave, under, ended, memory };
}

describe("admission", () => {
  it("begins runs in order, takes from none to begin, from younger ones to go on, and lets each come to its end", () => {
    const arrival = fc.record({
      after: fc.nat(4),
      prompt: fc.integer({ min: 1, max: 50 }),
      more: fc.nat(30),
      background: fc.boolean(),
      kind: fc.nat(2),
      cancels: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(arrival, { minLength: 1, maxLength: 25 }),
        fc.integer({ min: contextLength / pageTokens, max: 60 }),
        fc.integer({ min: 1, max: 32 }),
        fc.infiniteStream(fc.integer({ min: 0, max: 3 })),
        (arrivals, pages, batchTokens, chance) => {
          const { arrive, pass, leave, under, ended, memory } = simulate(pages, batchTokens);
          const isChosen = () => chance.next().value !== 0;
          for (const { after, prompt, more, background, kind, cancels } of arrivals) {
            for (let i = 0; i < after; i++) pass(isChosen);
            arrive(prompt, Math.min(contextLength, prompt + more), background, kind);
            if (cancels) leave(under[more % under.length]!);
          }
          // More than all of them take one after the other, each with three passes of four.
          for (let i = 0; i < 25 * 100 && under.length > 0; i++) pass(isChosen);
          expect(under).toEqual([]);
          expect(ended).toHaveLength(arrivals.length);
          expect(memory.available).toBe(pages);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("keeps those that came later waiting behind one that does not fit yet", () => {
    const { admission, arrive, pass } = simulate(16, 64);
    arrive(40, 60, false, 1);
    pass(() => true);
    arrive(30, 31, false, 2);
    arrive(1, 2, false, 3);
    pass(() => true);
    expect(admission.running.map(({ order }) => order)).toEqual([1]);
  });

  it("holds no more sequences than a pass has rows", () => {
    const { admission, arrive, pass } = simulate(1000, 6);
    for (let i = 0; i < 50; i++) arrive(3, 40, false, i);
    pass(() => true);
    expect(admission.running).toHaveLength(6);
  });
});
