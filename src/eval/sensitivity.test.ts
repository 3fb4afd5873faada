import { expect, test } from "vitest";
import { expectedDivergence, steadySensitivities, type TensorSensitivity } from "./sensitivity.ts";

const losses = { iq1_s: 3200, q2_k: 1600, q3_k: 400, iq4_xs: 100, q4_k: 90, q6_k: 6, q8_0: 0 };
const twice: TensorSensitivity = {
  ...{ tensor: "blk.0.attn_q.weight", losses },
  probes: [
    { type: "q2_k", divergence: 0.04 },
    { type: "iq4_xs", divergence: 0.01 },
  ],
};

test("below what was measured divergence is in proportion to the loss, between two measurements a power of it", () => {
  expect(expectedDivergence(twice, "iq4_xs")).toBeCloseTo(0.01, 12);
  expect(expectedDivergence(twice, "q6_k")).toBeCloseTo(0.0006, 12);
  expect(expectedDivergence(twice, "q8_0")).toBe(0);
  // Sixteen times the loss cost four times as much: four times the loss cost twice.
  expect(expectedDivergence(twice, "q3_k")).toBeCloseTo(0.02, 12);
  expect(expectedDivergence(twice, "q2_k")).toBeCloseTo(0.04, 12);
  // Past what was measured nothing is taken to be cheap.
  expect(expectedDivergence(twice, "iq1_s")).toBeCloseTo(0.08, 12);
});

test("of a mixture the divergence of small errors falls with the error, not with its square", () => {
  const fine = { ...twice, losses: { ...losses, q8_0: 0.25 } };
  expect(expectedDivergence(fine, "q6_k", true)).toBeCloseTo(0.01 * Math.sqrt(0.06), 12);
  expect(expectedDivergence(fine, "q8_0", true)).toBeCloseTo(0.0005, 12);
  for (const type of ["iq4_xs", "q3_k", "q2_k", "iq1_s"] as const) {
    expect(expectedDivergence(fine, type, true)).toBe(expectedDivergence(fine, type));
  }
});

test("what a tensor costs is moved half of the way, as a factor, to what its kind does", () => {
  const of = (tensor: string, divergence: number): TensorSensitivity => ({
    ...{ tensor, losses, probes: [{ type: "iq4_xs", divergence }] },
  });
  const found = [of("blk.0.a", 0.01), of("blk.1.b", 0.5), of("blk.12.a", 0.16), of("output", 0.3), of("blk.2.a", 0)];
  const steady = steadySensitivities(found.slice(0, 4)).map(({ probes }) => probes[0]!.divergence);
  for (const [i, expected] of [0.02, 0.5, 0.08, 0.3].entries()) expect(steady[i]).toBeCloseTo(expected, 12);
  expect(steadySensitivities(found).every(({ probes }) => probes[0]!.divergence > 0)).toBe(true);
  expect(steadySensitivities(found)[0]!.losses).toBe(losses);
});

test("one measurement is enough, and one that came out the wrong way round does not make fewer bits cheaper", () => {
  const once = { ...twice, probes: [{ type: "iq4_xs", divergence: 0.01 }] } as const;
  expect(expectedDivergence(once, "q3_k")).toBeCloseTo(0.04, 12);
  const noisy = { ...twice, probes: [{ type: "q2_k", divergence: 0.005 }, twice.probes[1]!] } as const;
  expect(expectedDivergence(noisy, "q3_k")).toBeGreaterThan(expectedDivergence(noisy, "iq4_xs"));
  const exact = { ...once, losses: { iq4_xs: 0, q3_k: 0 } };
  expect(expectedDivergence(exact, "q3_k")).toBe(0);
});
