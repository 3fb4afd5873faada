import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createGuesses } from "./guesses.ts";
import { createQuotas, rateLimitHeaders } from "./quota.ts";

describe("quotas", () => {
  it("never let anybody have more in a time than their share at first and what came back since", () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 300 })), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 500 }),
        steps,
        (requests, tokens, asks) => {
          let time = 5;
          const quotas = createQuotas({ requestsPerMinute: requests, tokensPerDay: tokens }, {}, () => time);
          let [entered, spent, largest] = [0, 0, 0];
          for (const [pause, used] of asks) {
            time += pause;
            try {
              quotas.enter("a");
            } catch {
              continue;
            }
            entered++;
            spent += used;
            largest = Math.max(largest, used);
            quotas.spend("a", used);
          }
          const past = time - 5;
          expect(entered).toBeLessThanOrEqual(requests * (1 + past / 60) + 1e-6);
          // The last one may be as long as it likes: the debt is paid before the next.
          expect(spent).toBeLessThanOrEqual(tokens * (1 + past / 86_400) + largest + 1e-6);
        },
      ),
    );
  });

  it("let in again after the time that they say, and not a second before", () => {
    let time = 0;
    const quotas = createQuotas({}, { a: { tokensPerMinute: 60 } }, () => time);
    quotas.enter("a");
    quotas.spend("a", 100);
    const refused = () => {
      try {
        quotas.enter("a");
      } catch (error) {
        return (error as { details: { retryAfter: number } }).details.retryAfter;
      }
      return 0;
    };
    const wait = refused();
    expect(wait).toBe(41);
    time += wait - 1;
    expect(refused()).toBe(1);
    time += 1;
    expect(refused()).toBe(0);
    expect(rateLimitHeaders(quotas.left("a"))).toEqual({
      "x-ratelimit-limit-tokens": "60",
      "x-ratelimit-remaining-tokens": "1",
      "x-ratelimit-reset-tokens": "59s",
    });
    quotas.enter("b");
    expect(rateLimitHeaders(quotas.left("b"))).toEqual({});
  });
});

describe("guesses", () => {
  it("are forgotten with time, and of the latest addresses alone", () => {
    let time = 0;
    const guesses = createGuesses(() => time);
    for (let i = 0; i < 10; i++) guesses.wrong("a");
    expect(() => guesses.check("a")).toThrow(/wrong keys: try again in 6 s/);
    guesses.check("b");
    time += 6;
    guesses.check("a");
    for (let i = 0; i < 10_000; i++) guesses.wrong(`c${i}`);
    guesses.check("a");
    for (let i = 0; i < 9; i++) guesses.wrong("c9999");
    expect(() => guesses.check("c9999")).toThrow(/wrong keys/);
  });
});
