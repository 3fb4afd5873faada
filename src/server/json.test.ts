import fc from "fast-check";
import { expect, it } from "vitest";
import { jsonBytesInTurns, jsonSteps } from "./json.ts";

it("is written in steps as at once, however much there is and however it is nested", async () => {
  const write = (value: unknown) => {
    const steps = jsonSteps(value);
    for (let count = 1; ; count++) {
      const { done, value: text } = steps.next();
      if (done) return { text, count };
    }
  };
  const numbers = (count: number) => Array.from({ length: count }, (_, i) => i / 7);
  const deep = [0, 1, 2].reduce<unknown>((inner) => ({ a: [inner, numbers(5000)], b: undefined, "c\n": "é" }), "x");
  const entry = { token: "a", top: Array.from({ length: 100 }, (_, i) => ({ token: `"${i}`, bytes: [1, 2] })) };
  for (const value of [numbers(20_000), deep, [entry, ...numbers(4095), deep, [], {}, undefined, numbers(4096)]]) {
    const { text, count } = write(value);
    expect(text === JSON.stringify(value)).toBe(true);
    expect(count).toBeGreaterThan(4);
    expect(new TextDecoder().decode(await jsonBytesInTurns(value)) === text).toBe(true);
  }
  expect(write(Array(300).fill(entry)).count).toBeGreaterThan(20);
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(6000), (value, count) => {
      const given = { value, list: Array(count).fill(value), next: [value, numbers(count)] };
      expect(write(given).text === JSON.stringify(given)).toBe(true);
    }),
    { numRuns: 20 },
  );
});
