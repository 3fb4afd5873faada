import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GrokError } from "../errors.ts";
import type { Distribution } from "./distribution.ts";
import { defaultSamplingOptions, resolveSamplingOptions, type SamplingOptions } from "./options.ts";
import { createRandom } from "./random.ts";
import { createSampler, draw } from "./sampler.ts";

const neutral: Partial<SamplingOptions> = { temperature: 1, topK: 0, topP: 1, minP: 0, typicalP: 1, seed: 1 };

function noise(length: number, spread: number, seed = 5): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length }, () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += random.uniform();
    return sum * spread;
  });
}

function drawMany(options: Partial<SamplingOptions>, logits: Float32Array, count: number): number[] {
  const sampler = createSampler(options);
  return Array.from({ length: count }, () => sampler.sample(logits).token);
}

/** Pearson's statistic of drawn tokens; cells expecting under five draws are pooled. */
function chiSquare(drawn: number[], { tokens, probabilities }: Distribution): { statistic: number; freedom: number } {
  const counts = new Map<number, number>();
  for (const token of drawn) counts.set(token, (counts.get(token) ?? 0) + 1);
  let [statistic, cells, pooled, pooledCount] = [0, 0, 0, 0];
  tokens.forEach((token, i) => {
    const expected = probabilities[i]! * drawn.length;
    const count = counts.get(token) ?? 0;
    counts.delete(token);
    if (expected < 5) {
      pooled += expected;
      pooledCount += count;
    } else {
      statistic += (count - expected) ** 2 / expected;
      cells++;
    }
  });
  expect([...counts.keys()]).toEqual([]);
  if (pooled > 1) {
    statistic += (pooledCount - pooled) ** 2 / pooled;
    cells++;
  }
  return { statistic, freedom: cells - 1 };
}

describe("sampling", () => {
  test.each([
    neutral,
    { ...defaultSamplingOptions, seed: 3 },
    { ...neutral, temperature: 1.5, topP: 0.9, seed: 9 },
    { ...neutral, typicalP: 0.7, seed: 11 },
  ])("frequencies agree with the distribution (case %#)", (options) => {
    const logits = noise(60, 1.5);
    const expected = createSampler(options).distribution(logits);
    const { statistic, freedom } = chiSquare(drawMany(options, logits, 20000), expected);
    // Five standard deviations above the mean of the chi-square distribution.
    expect(statistic).toBeLessThan(freedom + 5 * Math.sqrt(2 * freedom));
  });

  test("a wrong distribution would be noticed", () => {
    const logits = noise(60, 1.5);
    const expected = createSampler({ ...neutral, temperature: 1.1 }).distribution(logits);
    const { statistic, freedom } = chiSquare(drawMany(neutral, logits, 20000), expected);
    expect(statistic).toBeGreaterThan(freedom + 5 * Math.sqrt(2 * freedom));
  });

  test("the same seed draws the same tokens, another seed others; float32 and float64 logits agree", () => {
    const logits = noise(500, 2);
    const first = drawMany({ seed: 42 }, logits, 50);
    expect(drawMany({ seed: 42 }, logits, 50)).toEqual(first);
    expect(drawMany({ seed: 43 }, logits, 50)).not.toEqual(first);
    const wide = createSampler({ seed: 42 });
    expect(first.map(() => wide.sample(Float64Array.from(logits)).token)).toEqual(first);
    // Whole-number arithmetic and IEEE doubles: these hold on every platform.
    expect(first.slice(0, 12)).toMatchInlineSnapshot(`
      [
        409,
        247,
        329,
        455,
        36,
        350,
        337,
        16,
        27,
        329,
        91,
        152,
      ]
    `);
    const drawn = createSampler();
    expect(drawMany({ seed: drawn.seed }, logits, 20)).toEqual(
      first.slice(0, 20).map(() => drawn.sample(logits).token),
    );
  });

  test("greedy is the limit of small temperatures, and takes the lowest id on a tie", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 1, maxLength: 30 }), (numbers) => {
        const logits = Float32Array.from(numbers);
        const best = numbers.indexOf(Math.max(...numbers));
        expect(createSampler({ temperature: 0 }).sample(logits).token).toBe(best);
        const cold = createSampler({ ...neutral, temperature: 1e-3 }).sample(logits).token;
        expect(numbers[cold]).toBe(numbers[best]);
      }),
    );
  });

  test("draw lays probabilities end to end", () => {
    const thirds = { tokens: Int32Array.of(7, 8, 9, 10), probabilities: Float64Array.of(0.25, 0.5, 0.25, 0) };
    expect([0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2 ** -53, 1].map((u) => draw(thirds, u))).toEqual([7, 7, 8, 8, 9, 9, 9]);
  });
});

describe("penalties", () => {
  const accepted = (options: Partial<SamplingOptions>, tokens: number[]) => {
    const sampler = createSampler({ ...neutral, ...options });
    for (const token of tokens) sampler.accept(token);
    return sampler;
  };
  /** Differences of log-probability to token 0 are differences of logits. */
  const logitsOf = ({ tokens, probabilities }: Distribution) => {
    const logs = new Map(Array.from(tokens, (token, i) => [token, Math.log(probabilities[i]!)]));
    return (token: number) => logs.get(token)! - logs.get(0)!;
  };

  test("follow their definitions", () => {
    const logits = Float32Array.of(0, 2, -2, 1, 1);
    const seen = [1, 2, 3, 3, 3];
    const repeated = logitsOf(accepted({ repetitionPenalty: 1.25 }, seen).distribution(logits));
    expect([1, 2, 3, 4].map(repeated)).toEqual([1.6, -2.5, 0.8, 1].map((x) => expect.closeTo(x, 6)));
    const frequent = logitsOf(accepted({ frequencyPenalty: 0.5 }, seen).distribution(logits));
    expect([1, 2, 3, 4].map(frequent)).toEqual([1.5, -2.5, -0.5, 1].map((x) => expect.closeTo(x, 6)));
    const present = logitsOf(accepted({ presencePenalty: 0.5 }, seen).distribution(logits));
    expect([1, 2, 3, 4].map(present)).toEqual([1.5, -2.5, 0.5, 1].map((x) => expect.closeTo(x, 6)));
  });

  test("of frequency and presence leave the prompt alone; that of repetition does not", () => {
    const logits = Float32Array.of(0, 2, -2, 1, 1);
    const logitsAfter = (options: Partial<SamplingOptions>) => {
      const sampler = createSampler({ ...neutral, ...options });
      for (const token of [1, 1, 2, 4]) sampler.read(token);
      sampler.accept(3);
      sampler.accept(1);
      return [1, 2, 3, 4].map(logitsOf(sampler.distribution(logits)));
    };
    const close = (values: number[]) => values.map((value) => expect.closeTo(value, 6));
    expect(logitsAfter({ presencePenalty: 0.5 })).toEqual(close([1.5, -2, 0.5, 1]));
    expect(logitsAfter({ frequencyPenalty: 0.5 })).toEqual(close([1.5, -2, 0.5, 1]));
    expect(logitsAfter({ repetitionPenalty: 1.25 })).toEqual(close([1.6, -2.5, 0.8, 0.8]));
    expect(logitsAfter({ repetitionPenalty: 1.25, frequencyPenalty: -1 })).toEqual(close([2.6, -2.5, 1.8, 0.8]));
    // The window is of all tokens: the last one is generated, the prompt long gone.
    expect(logitsAfter({ presencePenalty: 0.5, repetitionPenalty: 1.25, penaltyWindow: 1 })).toEqual(
      close([1.1, -2, 1, 1]),
    );
  });

  test("look at the last tokens of the window only", () => {
    const logits = new Float32Array(10);
    fc.assert(
      fc.property(fc.array(fc.nat(9), { maxLength: 40 }), fc.integer({ min: -1, max: 12 }), (tokens, penaltyWindow) => {
        const all = accepted({ frequencyPenalty: 1, penaltyWindow }, tokens).distribution(logits);
        const kept = penaltyWindow < 0 ? tokens : penaltyWindow === 0 ? [] : tokens.slice(-penaltyWindow);
        const weights = Array.from(logits, (_, t) => Math.exp(-kept.filter((token) => token === t).length));
        const total = weights.reduce((sum, x) => sum + x, 0);
        all.tokens.forEach((token, i) => {
          expect(all.probabilities[i]).toBeCloseTo(weights[token]! / total, 9);
        });
      }),
    );
  });

  test("bias forces and forbids, greedily too", () => {
    const logits = Float32Array.of(3, 1, 2);
    const greedy = (logitBias: Record<number, number>) =>
      createSampler({ temperature: 0, logitBias }).sample(logits).token;
    expect(greedy({})).toBe(0);
    expect(greedy({ 1: 100 })).toBe(1);
    expect(greedy({ 0: Number.NEGATIVE_INFINITY })).toBe(2);
    expect(drawMany({ ...neutral, logitBias: { 0: Number.NEGATIVE_INFINITY } }, logits, 200)).not.toContain(0);
    expect(() => greedy({ 3: 1 })).toThrow("token 3");
  });
});

describe("log-probabilities", () => {
  test("are of the model's own distribution, whatever bends the choice", () => {
    const logits = noise(300, 2);
    const bent = { topK: 2, temperature: 0.3, logitBias: { 4: -3 }, frequencyPenalty: 1 };
    const sampler = createSampler({ ...bent, seed: 1, logprobs: 5 });
    sampler.accept(7);
    const { token, logprob, top } = sampler.sample(logits);
    const total = logits.reduce((sum, x) => sum + Math.exp(x), 0);
    expect(logprob).toBeCloseTo(Math.log(Math.exp(logits[token]!) / total), 10);
    const sorted = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!);
    expect(top!.map((each) => each.token)).toEqual(sorted.slice(0, 5));
    for (const each of top!) expect(each.logprob).toBeCloseTo(Math.log(Math.exp(logits[each.token]!) / total), 10);
  });

  test("are there when asked for", () => {
    const logits = noise(10, 1);
    expect(createSampler().sample(logits)).toEqual({ token: expect.any(Number) });
    expect(Object.keys(createSampler({ logprobs: 0 }).sample(logits))).toEqual(["token", "logprob"]);
    expect(createSampler({ logprobs: 20 }).sample(logits).top!.length).toBe(10);
  });
});

describe("what is refused", () => {
  const refusals: [keyof SamplingOptions, unknown][] = [
    ["temperature", -0.1],
    ["temperature", Number.NaN],
    ["temperature", Number.POSITIVE_INFINITY],
    ["topK", -1],
    ["topK", 1.5],
    ["topP", 1.01],
    ["topP", "0.5"],
    ["minP", -0.01],
    ["typicalP", 2],
    ["repetitionPenalty", 0],
    ["frequencyPenalty", 2.5],
    ["presencePenalty", -2.5],
    ["penaltyWindow", -2],
    ["seed", 2 ** 53],
    ["seed", -1],
    ["logprobs", -1],
    ["logitBias", { 1: Number.NaN }],
    ["logitBias", { 1: Number.POSITIVE_INFINITY }],
    ["logitBias", { hello: 1 }],
    ["logitBias", { "1e2": 1 }],
    ["logitBias", { "": 1 }],
    ["logitBias", null],
  ];
  test.each(refusals)("%s %j", (option, value) => {
    let caught: unknown;
    try {
      createSampler({ [option]: value });
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(GrokError);
    expect((caught as GrokError).code).toBe("argument");
    expect((caught as GrokError).message).toContain(option);
    expect((caught as GrokError).message).toContain("expected");
  });

  test("undefined means the default", () => {
    expect(resolveSamplingOptions({ topK: undefined } as never)).toEqual(defaultSamplingOptions);
  });

  test("logits that say nothing", () => {
    for (const bad of [
      [Number.NaN, 1],
      [1, Number.NaN],
      [1, Number.POSITIVE_INFINITY],
      [Number.NEGATIVE_INFINITY],
      [],
    ]) {
      for (const temperature of [0, 1]) {
        expect(() => createSampler({ temperature }).sample(Float32Array.from(bad))).toThrow(GrokError);
      }
    }
    expect(createSampler().sample(Float32Array.of(Number.NEGATIVE_INFINITY, -1e30)).token).toBe(1);
  });
});
