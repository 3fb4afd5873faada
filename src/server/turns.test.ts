import { describe, expect, it } from "vitest";
import { createTurns } from "./turns.ts";

describe("turns", () => {
  it("let what is small begin at once, and the loop turn between what is large, in the order of asking", async () => {
    const turns = createTurns();
    const large = 2 ** 16;
    expect([turns.enter(10), turns.enter(large)]).toEqual([undefined, undefined]);
    const order: string[] = [];
    const waits = ["a", "b", "c"].map((name) => turns.enter(large)!.then(() => order.push(name)));
    const seen: string[][] = [];
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      seen.push([...order]);
    }
    await Promise.all(waits);
    expect(order).toEqual(["a", "b", "c"]);
    expect(seen).toContainEqual(["a"]);
    expect(seen).toContainEqual(["a", "b"]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(turns.enter(large)).toBeUndefined();
  });
});
