import fc from "fast-check";
import { expect, it } from "vitest";
import { createGate, type Gate } from "./gate.ts";

/** Who has a place, in the order in which they got it, and what ends their use of it. */
function callers(gate: Gate) {
  const inside: { name: string; place: Disposable }[] = [];
  const gone = new Map<string, AbortController>();
  return {
    inside,
    names: () => inside.map(({ name }) => name),
    come(name: string, owner: string) {
      const signal = new AbortController();
      gone.set(name, signal);
      gate.enter(owner, signal.signal).then(
        (place) => inside.push({ name, place }),
        () => {},
      );
    },
    abort: (name: string) => gone.get(name)!.abort(),
    leave: (at: number) => inside.splice(at, 1)[0]!.place[Symbol.dispose](),
  };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

it("who comes with one request waits for a place, not for another's whole burst", async () => {
  const gate = createGate({ atOnce: 2, waiting: 100 });
  const all = callers(gate);
  for (let i = 0; i < 6; i++) all.come(`a${i}`, "a");
  all.come("b0", "b");
  all.come("b1", "b");
  all.come("c0", "c");
  await settled();
  const order: string[] = [];
  while (all.inside.length > 0) {
    order.push(all.names()[0]!);
    all.leave(0);
    await settled();
  }
  expect(order).toEqual(["a0", "a1", "a2", "b0", "c0", "a3", "b1", "a4", "a5"]);
});

it("where no more may wait, the latest of who has most of them makes room, and is told that it is busy", async () => {
  const gate = createGate({ atOnce: 1, waiting: 3 });
  const { signal } = new AbortController();
  const first = await gate.enter("a", signal);
  const burst = [1, 2, 3].map(() => gate.enter("a", signal));
  const other = gate.enter("b", signal);
  await expect(burst[2]).rejects.toMatchObject({ code: "busy" });
  await expect(gate.enter("a", signal)).rejects.toMatchObject({ code: "busy" });
  // One is what everybody may have: nobody makes room for a third.
  const third = gate.enter("c", signal);
  await expect(burst[1]).rejects.toMatchObject({ code: "busy" });
  await expect(gate.enter("d", signal)).rejects.toMatchObject({ code: "busy" });
  expect(gate.waiting).toBe(3);
  for (const place of [first, burst[0]!, other, third]) (await place)[Symbol.dispose]();
  expect({ running: gate.running, waiting: gate.waiting }).toEqual({ running: 0, waiting: 0 });
});

it("never has more inside than places, loses nobody, and lets those who wait take turns", async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("come" as const), owner: fc.constantFrom("a", "b", "c") }),
    fc.record({ kind: fc.constant("leave" as const), at: fc.nat() }),
    fc.record({ kind: fc.constant("abort" as const), at: fc.nat() }),
  );
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 60 }), async (atOnce, steps) => {
      const gate = createGate({ atOnce, waiting: 5 });
      const all = callers(gate);
      let waiting: string[] = [];
      let expected: string[] = [];
      let turns: string[] = [];
      const ownerOf = (name: string) => name[0]!;
      const waits = (owner: string) => waiting.some((name) => ownerOf(name) === owner);
      for (const [i, now] of steps.entries()) {
        if (now.kind === "come") {
          const name = `${now.owner}${i}`;
          all.come(name, now.owner);
          if (expected.length < atOnce) expected = [...expected, name];
          else {
            if (waiting.length === 5) {
              const count = (owner: string) => waiting.filter((other) => ownerOf(other) === owner).length;
              const most = Math.max(...turns.map(count));
              const longest = turns.find((owner) => count(owner) === most)!;
              if (most > count(now.owner) + 1) {
                const last = waiting.findLast((other) => ownerOf(other) === longest);
                waiting = waiting.filter((other) => other !== last);
              }
            }
            if (waiting.length < 5) {
              waiting = [...waiting, name];
              if (!turns.includes(now.owner)) turns = [...turns, now.owner];
            }
          }
        } else if (now.kind === "leave" && expected.length > 0) {
          const at = now.at % expected.length;
          expected = expected.toSpliced(at, 1);
          all.leave(at);
          const [owner, ...others] = turns;
          if (owner !== undefined) {
            const next = waiting.find((name) => ownerOf(name) === owner)!;
            expected = [...expected, next];
            waiting = waiting.filter((name) => name !== next);
            turns = waits(owner) ? [...others, owner] : others;
          }
        } else if (now.kind === "abort" && waiting.length > 0) {
          const name = waiting[now.at % waiting.length]!;
          all.abort(name);
          waiting = waiting.filter((other) => other !== name);
          turns = turns.filter(waits);
        }
        await settled();
        expect(all.names()).toEqual(expected);
        expect({ running: gate.running, waiting: gate.waiting }).toEqual({
          ...{ running: expected.length, waiting: waiting.length },
        });
      }
    }),
    { numRuns: 60 },
  );
});
