import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Distribution, distribution } from "./distribution.ts";
import { expMinus } from "./exponential.ts";
import { createHistory } from "./history.ts";
import { resolveSamplingOptions, type SamplingOptions } from "./options.ts";
import { createRandom } from "./random.ts";
import { selectLargest, selectPrefix } from "./select.ts";

const neutral: Partial<SamplingOptions> = { temperature: 1, topK: 0, topP: 1, minP: 0, typicalP: 1 };

function distribute(logits: Float32Array, options: Partial<SamplingOptions>, seen: number[] = []): Distribution {
  const history = createHistory(-1);
  for (const token of seen) history.accept(token);
  return distribution(logits, resolveSamplingOptions({ ...neutral, ...options }), history);
}

/** Pairs sorted by token. */
function pairs({ tokens, probabilities }: Distribution): [number, number][] {
  return Array.from(tokens, (token, i): [number, number] => [token, probabilities[i]!]).sort((a, b) => a[0] - b[0]);
}

function softmax(logits: ArrayLike<number>): number[] {
  const most = Math.max(...Array.from(logits));
  const weights = Array.from(logits, (x) => Math.exp(x - most));
  const total = weights.reduce((sum, x) => sum + x, 0);
  return weights.map((x) => x / total);
}

describe("against Hugging Face's logits processors (test/oracles/make_sampling_vectors.py)", () => {
  interface Case {
    logits: number[];
    seen: number[];
    options: Partial<SamplingOptions>;
    tokens: number[];
    probabilities: number[];
  }
  const cases = JSON.parse(
    readFileSync(new URL("../../test/vectors/sampling/truncation.json", import.meta.url), "utf8"),
  ) as Case[];

  test.each(cases.map((each) => [JSON.stringify(each.options), each] as const))("%s", (_, each) => {
    const logits = Float32Array.from(each.logits, (x) => x / 1024);
    const found = pairs(distribute(logits, each.options, each.seen));
    expect(found.map(([token]) => token)).toEqual(each.tokens);
    found.forEach(([, probability], i) => {
      // Penalized logits are rounded to float32.
      expect(Math.abs(probability / each.probabilities[i]! - 1)).toBeLessThan(3e-6);
    });
  });
});

const logitsOf = (max: number) =>
  fc
    .array(fc.integer({ min: -12000, max: 12000 }), { minLength: 1, maxLength: max })
    .map((numbers) => Float32Array.from(numbers, (x) => x / 1000));

describe("properties", () => {
  const anyOptions = fc.record({
    temperature: fc.double({ min: 0.05, max: 5, noNaN: true }),
    topK: fc.nat(50),
    topP: fc.double({ min: 0, max: 1, noNaN: true }),
    minP: fc.double({ min: 0, max: 1, noNaN: true }),
    typicalP: fc.double({ min: 0, max: 1, noNaN: true }),
  });

  test("probabilities sum to 1 over distinct tokens, at least one", () => {
    fc.assert(
      fc.property(logitsOf(200), anyOptions, (logits, options) => {
        const { tokens, probabilities } = distribute(logits, options);
        expect(tokens.length).toBeGreaterThan(0);
        expect(new Set(tokens).size).toBe(tokens.length);
        expect(probabilities.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
      }),
    );
  });

  test("without truncation it is the softmax at the temperature", () => {
    fc.assert(
      fc.property(logitsOf(200), fc.double({ min: 0.6, max: 3, noNaN: true }), (logits, temperature) => {
        const expected = softmax(Array.from(logits, (x) => x / temperature));
        for (const [token, probability] of pairs(distribute(logits, { temperature }))) {
          expect(Math.abs(probability / expected[token]! - 1)).toBeLessThan(1e-10);
        }
      }),
    );
  });

  test("top-p keeps the smallest set of likeliest tokens that reaches p", () => {
    fc.assert(
      fc.property(logitsOf(300), fc.double({ min: 0, max: 0.999, noNaN: true }), (logits, topP) => {
        const probabilities = softmax(logits);
        const kept = [...distribute(logits, { topP }).tokens];
        const mass = kept.reduce((sum, token) => sum + probabilities[token]!, 0);
        const least = Math.min(...kept.map((token) => probabilities[token]!));
        expect(mass).toBeGreaterThanOrEqual(topP - 1e-9);
        if (kept.length > 1) expect(mass - least).toBeLessThan(topP + 1e-9);
        for (const [token, probability] of probabilities.entries()) {
          if (!kept.includes(token)) expect(probability).toBeLessThanOrEqual(least);
        }
      }),
    );
  });

  test("top-k keeps the k largest, min-p those above its share, ties to the lower id", () => {
    fc.assert(
      fc.property(
        logitsOf(200),
        fc.integer({ min: 1, max: 220 }),
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        (logits, topK, minP) => {
          const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
          expect(pairs(distribute(logits, { topK })).map(([token]) => token)).toEqual(
            order.slice(0, topK).sort((a, b) => a - b),
          );
          const most = Math.max(...logits);
          const kept = new Set(distribute(logits, { minP }).tokens);
          for (const [token, logit] of logits.entries()) {
            const share = Math.exp(logit - most);
            if (Math.abs(share - minP) > 1e-9) expect(kept.has(token)).toBe(share > minP);
          }
        },
      ),
    );
  });

  test("typical keeps the smallest set nearest to the entropy that reaches its share", () => {
    fc.assert(
      fc.property(logitsOf(300), fc.double({ min: 0, max: 0.99, noNaN: true }), (logits, typicalP) => {
        const probabilities = softmax(logits);
        const entropy = probabilities.reduce((sum, p) => sum - p * Math.log(p), 0);
        const distance = probabilities.map((p) => Math.abs(-Math.log(p) - entropy));
        const kept = [...distribute(logits, { typicalP }).tokens];
        const mass = kept.reduce((sum, token) => sum + probabilities[token]!, 0);
        const farthest = kept.reduce((a, b) => (distance[b]! > distance[a]! ? b : a));
        expect(mass).toBeGreaterThanOrEqual(typicalP - 1e-9);
        for (const [token] of probabilities.entries()) {
          if (!kept.includes(token)) expect(distance[token]).toBeGreaterThanOrEqual(distance[farthest]! - 1e-9);
        }
        const far = kept.filter((token) => distance[token]! > distance[farthest]! - 1e-9);
        if (kept.length > 1 && far.length === 1) expect(mass - probabilities[farthest]!).toBeLessThan(typicalP + 1e-9);
      }),
    );
  });
});

describe("the parts", () => {
  test("expMinus is exp(-x) to 2e-12", () => {
    let worst = 0;
    for (let x = 0; x < 44; x += 0.00037) worst = Math.max(worst, Math.abs(expMinus(x) / Math.exp(-x) - 1));
    expect(worst).toBeLessThan(2e-12);
    expect([0, 44, 1e9, Number.POSITIVE_INFINITY].map(expMinus)).toEqual([1, 0, 0, 0]);
  });

  test("selectPrefix takes what a full sort would, on large inputs too", () => {
    const random = createRandom(1);
    for (const count of [1, 31, 33, 1000, 20000]) {
      for (const levels of [3, 1e9]) {
        const keys = Float64Array.from({ length: count }, () => Math.floor(random.uniform() * levels));
        const weights = Float64Array.from({ length: count }, () => Math.floor(random.uniform() * 8));
        const ids = Int32Array.from({ length: count }, (_, i) => i);
        const sorted = [...ids].sort((a, b) => keys[a]! - keys[b]! || a - b);
        const total = weights.reduce((sum, x) => sum + x, 0);
        for (const share of [0, 0.01, 0.5, 0.99, 1]) {
          let expected = 0;
          for (let sum = 0; expected < count; ) {
            sum += weights[sorted[expected++]!]!;
            if (sum >= share * total) break;
          }
          const order = Int32Array.from(ids);
          const found = selectPrefix(order, count, keys, weights, ids, share * total);
          expect(order.slice(0, found).sort()).toEqual(Int32Array.from(sorted.slice(0, expected)).sort());
        }
      }
    }
  });

  test("selectLargest returns a NaN alone, wherever it is", () => {
    for (const at of [0, 3, 39, 40, 99]) {
      const values = new Float32Array(100).map((_, i) => (i === at ? Number.NaN : (i * 37) % 100));
      const ids = new Int32Array(40);
      expect([selectLargest(values, 40, ids), ids[0]]).toEqual([1, at]);
    }
  });

  test("selectLargest takes what a full sort would", () => {
    const random = createRandom(2);
    const values = Float32Array.from({ length: 5000 }, () => Math.floor(random.uniform() * 900));
    const sorted = [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b);
    for (const k of [0, 1, 2, 40, 999, 5000, 6000]) {
      const ids = new Int32Array(Math.min(k, 5000));
      expect(selectLargest(values, k, ids)).toBe(ids.length);
      expect(ids.sort()).toEqual(Int32Array.from(sorted.slice(0, k)).sort());
    }
  });
});
