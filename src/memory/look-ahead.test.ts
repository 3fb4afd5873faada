import { describe, expect, it } from "vitest";
import { createLookAhead } from "./look-ahead.ts";

const layers = 6;

interface World {
  /** Milliseconds: between layers, for an expert, for what foretelling computes. */
  readonly rest: number;
  readonly read: number;
  readonly took: number;
  /** Experts that a layer misses, and how many of them are foretold. */
  readonly missed: number;
  readonly right: number;
  /** What layers wait for with reading ahead, in place of what the drive's rest leaves of it. */
  readonly stalledWith?: number;
}

/** Shares of passes that read ahead, and that foretell at all. */
function live({ rest, read, took, missed, right, stalledWith }: World, passes = 4000, from = 500) {
  const ahead = createLookAhead();
  let [reading, telling] = [0, 0];
  let stalled = 0;
  let told = false;
  for (let pass = 0; pass < passes; pass++) {
    for (let layer = 0; layer < layers; layer++) {
      ahead.add({
        ...{ layer, rest, stalled, waits: missed > 0, reads: missed, reading: missed * read },
        foretold: told ? { absent: missed, right: missed * right, took } : undefined,
      });
      const { plan } = ahead;
      told = plan !== "nothing";
      if (pass >= from) {
        if (plan === "read") reading++;
        if (told) telling++;
      }
      const without = missed * read;
      stalled = plan === "read" ? (stalledWith ?? without - right * Math.min(rest, without)) : without;
    }
  }
  const all = (passes - from) * layers;
  return { reading: reading / all, telling: telling / all };
}

describe("reading ahead", () => {
  it("goes on where the drive rests and most is foretold rightly", () => {
    expect(live({ rest: 4, read: 3, took: 0.05, missed: 1, right: 0.75 }).reading).toBeGreaterThan(0.9);
  });

  it.each([
    ["the drive never rests", { rest: 0.1, read: 3, took: 0.05, missed: 1.5, right: 0.75 }],
    ["little is foretold rightly", { rest: 4, read: 3, took: 0.05, missed: 1, right: 0.2 }],
    ["all is in memory", { rest: 4, read: 3, took: 0.05, missed: 0, right: 0 }],
    ["foretelling takes longer than reading", { rest: 4, read: 0.05, took: 0.1, missed: 0.3, right: 0.9 }],
  ] as const)("is left alone where %s", (_, world) => {
    const { reading, telling } = live(world);
    expect(reading).toBe(0);
    // Once in so many passes it is looked whether that is so still.
    expect(telling).toBeLessThan(0.02);
    expect(telling).toBeGreaterThan(0);
  });

  it("is left alone where layers wait no less for it, though it should pay", () => {
    const world = { rest: 4, read: 3, took: 0.05, missed: 1, right: 0.75, stalledWith: 3.2 };
    expect(live(world).reading).toBeLessThan(0.02);
  });
});
