import { expect, it } from "vitest";
import { createPace, createTurns } from "./turns.ts";

const turnOfLoop = () => new Promise((resolve) => setImmediate(resolve));

/** Turns over a clock that only work moves on. */
function start() {
  let clock = 0;
  const turns = createTurns(() => clock);
  const order: string[] = [];
  /** So many steps, of so many milliseconds each. */
  function* work(name: string, count: number, milliseconds: number) {
    for (let i = 0; i < count; i++) {
      if (i > 0) yield;
      clock += milliseconds;
      order.push(name);
    }
    return name;
  }
  return { turns, order, work };
}

it("does at once what is small, and lets the loop turn within what is large", async () => {
  const { turns, order, work } = start();
  expect(turns.run(work("small", 1, 1))).toBe("small");
  const large = turns.run(work("large", 20, 2));
  expect(large).toBeInstanceOf(Promise);
  const seen: number[] = [];
  while (order.length < 21) {
    seen.push(order.length);
    await turnOfLoop();
  }
  const most = Math.max(...seen.map((count, i) => (seen[i + 1] ?? 21) - count));
  expect(most).toBeLessThanOrEqual(5);
  expect(await large).toBe("large");
  for (let i = 0; i < 3; i++) await turnOfLoop();
  expect(turns.run(work("small", 3, 1))).toBe("small");
});

it("takes steps in turn, so that what is short does not wait for the end of what is long", async () => {
  const { turns, order, work } = start();
  const all = [turns.run(work("a", 30, 4)), turns.run(work("b", 3, 4)), turns.run(work("c", 1, 4))];
  expect(await Promise.all(all)).toEqual(["a", "b", "c"]);
  expect(order.indexOf("c")).toBeLessThan(6);
  expect(order.lastIndexOf("b")).toBeLessThan(12);
  expect(order.filter((name) => name === "a")).toHaveLength(30);
});

it("gives a failure to who waits for it, and goes on with others", async () => {
  const { turns, work } = start();
  function* fails() {
    yield;
    throw new Error("no");
  }
  const slow = turns.run(work("a", 9, 4));
  const failing = turns.run(fails());
  await expect(failing).rejects.toThrow("no");
  expect(await slow).toBe("a");
});

it("begins short work of many in rounds of the event loop, in their order, and of who comes alone at once", async () => {
  let time = 0;
  const pace = createPace(() => time);
  const begun: [number, number][] = [];
  let rounds = 0;
  const count = () => {
    rounds++;
    if (begun.length < 40) setImmediate(count);
  };
  setImmediate(count);
  const one = async (i: number) => {
    await pace();
    time += 3;
    begun.push([i, rounds]);
  };
  const all: Promise<void>[] = [];
  for (let i = 0; i < 40; i++) {
    all.push(one(i));
    // As between what comes over several connections: what was begun is done.
    for (let k = 0; k < 4; k++) await undefined;
  }
  await Promise.all(all);
  expect(begun.map(([i]) => i)).toEqual(Array.from({ length: 40 }, (_, i) => i));
  for (const [, round] of begun) expect(begun.filter(([, other]) => other === round).length).toBeLessThanOrEqual(6);
  await new Promise(setImmediate);
  const before = rounds;
  await pace();
  expect(rounds).toBe(before);
});
