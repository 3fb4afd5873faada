import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createExpertCache, keepPolicies } from "./expert-cache.ts";

const layers = 3;
const experts = 5;

describe("an expert cache", () => {
  it("never exceeds its limit, nor gives up what is held", () => {
    const action = fc.record({
      kind: fc.constantFrom("ask", "admit", "ahead", "likely", "foretell", "letGo", "limit", "remove"),
      expert: fc.nat(layers * experts - 1),
      bytes: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(
      fc.property(fc.constantFrom(...keepPolicies), fc.array(action, { maxLength: 80 }), (policy, actions) => {
        const cache = createExpertCache({ bytes: 100, layers, experts, policy });
        const held = new Map<number, number>();
        const sizes = new Map<number, number>();
        const lose = (given: readonly number[]) => {
          for (const each of given) {
            expect(held.get(each) ?? 0).toBe(0);
            sizes.delete(each);
          }
        };
        for (const { kind, expert, bytes } of actions) {
          if (kind === "foretell") cache.foretell([expert, (expert + 3) % (layers * experts)]);
          if (kind === "ask") cache.ask(Math.floor(expert / experts), [expert]);
          const reason = ({ admit: "asked", ahead: "foretold", likely: "likely" } as const)[kind as "admit"];
          if (reason !== undefined && !cache.has(expert)) {
            const given = cache.admit(expert, bytes, reason);
            if (given !== undefined) {
              lose(given);
              sizes.set(expert, bytes);
              held.set(expert, 1);
            }
          } else if (kind === "admit") {
            cache.hold(expert);
            held.set(expert, held.get(expert)! + 1);
          }
          if (kind === "letGo" && (held.get(expert) ?? 0) > 0) {
            cache.letGo(expert);
            held.set(expert, held.get(expert)! - 1);
          }
          if (kind === "remove" && cache.has(expert) && held.get(expert) === 0) {
            cache.remove(expert);
            sizes.delete(expert);
          }
          if (kind === "limit") {
            lose(cache.limit(3 * bytes));
            // What is over is held.
            if (cache.used > cache.bytes) for (const each of sizes.keys()) expect(held.get(each)).toBeGreaterThan(0);
          }
          expect(cache.used).toBe([...sizes.values()].reduce((sum, size) => sum + size, 0));
          for (let each = 0; each < layers * experts; each++) expect(cache.has(each)).toBe(sizes.has(each));
        }
      }),
    );
  });

  const run = (policy: "recency" | "frequency", slots: number, passes: readonly (readonly number[])[][]) => {
    const cache = createExpertCache({ bytes: slots, layers, experts, policy });
    let missed = 0;
    for (const pass of passes) {
      pass.forEach((asked, layer) => {
        const numbers = asked.map((expert) => layer * experts + expert);
        cache.ask(layer, numbers);
        for (const number of numbers) {
          if (cache.has(number)) continue;
          missed++;
          cache.admit(number, 1);
          cache.letGo(number);
        }
      });
    }
    return missed;
  };

  it("keeps what fits of prompts that ask for all, where recency keeps nothing", () => {
    const all = [0, 1, 2, 3, 4];
    const passes = Array.from({ length: 4 }, () => [all, all, all]);
    expect(run("recency", 9, passes)).toBe(4 * 15);
    // As much as the optimum that knows the future: 9 stay, less the one slot that the others pass through.
    expect(run("frequency", 9, passes)).toBe(15 + 3 * (15 - 8));
  });

  it("keeps what is used most, and forgets what is used no more", () => {
    const often = Array.from({ length: 40 }, (_, i) => [
      [0, 1 + (i % 4)],
      [0, 1 + (i % 4)],
      [0, 1 + (i % 4)],
    ]);
    // Three favourites stay in four slots; the others go through the fourth, and miss.
    expect(run("frequency", 4, often)).toBeLessThan(3 + 40 * 3 + 3);
    const changed = Array.from({ length: 400 }, (_, i) => [[i < 100 ? 0 : 1], [i < 100 ? 0 : 1], [i < 100 ? 0 : 1]]);
    expect(run("frequency", 4, changed)).toBeLessThan(6 + 3 * 120);
  });

  it("reads ahead in the place of what is not foretold itself, and gives that up last", () => {
    const cache = createExpertCache({ bytes: 2, layers, experts });
    for (let i = 0; i < 3; i++) cache.ask(0, [0, 1]);
    for (const expert of [0, 1]) {
      cache.admit(expert, 1);
      cache.letGo(expert);
    }
    cache.foretell([7, 8, 9]);
    for (const expert of [7, 8]) {
      expect(cache.admit(expert, 1, "foretold")).toHaveLength(1);
      cache.letGo(expert);
    }
    expect(cache.admit(9, 1, "foretold")).toBeUndefined();
    cache.ask(1, [8]);
    // 8 was asked for: it is as others are.
    expect(cache.admit(3, 1)).toEqual([8]);
  });

  it("gives up nothing that is used more for what nobody waits for", () => {
    const cache = createExpertCache({ bytes: 2, layers, experts });
    for (let i = 0; i < 3; i++) cache.ask(0, [0, 1]);
    for (const expert of [0, 1]) {
      // There is room.
      expect(cache.admit(expert, 1, "likely")).toEqual([]);
      cache.letGo(expert);
    }
    cache.ask(0, [0, 2]);
    expect(cache.admit(2, 1, "likely")).toBeUndefined();
    for (let i = 0; i < 3; i++) cache.ask(0, [0, 2]);
    expect(cache.admit(2, 1, "likely")).toEqual([1]);
  });
});
