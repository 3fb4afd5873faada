import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type SimulatedMachine, simulate } from "./simulate.ts";
import { parseTrace } from "./trace.ts";

const folder = join(import.meta.dirname, "../../test/vectors/traces");

/** Hits in percent at a quarter, a half and three quarters of all experts in memory, by policy. Nothing is read ahead: no drive matters. */
function hits(name: string): Record<SimulatedMachine["policy"], number[]> {
  const trace = parseTrace(readFileSync(join(folder, name), "utf8"), name);
  const all = trace.expertBytes.reduce((sum, bytes) => sum + bytes, 0) * trace.experts;
  const of = (policy: SimulatedMachine["policy"]) =>
    [0.25, 0.5, 0.75].map((share) => {
      const machine = { bytes: share * all, driveBandwidth: 1e9, memoryBandwidth: 1e10, policy, ahead: false };
      return Math.round(1000 * simulate(trace, machine, 20).hitRate) / 10;
    });
  return { recency: of("recency"), frequency: of("frequency"), optimum: of("optimum") };
}

it("what is kept of recorded and of made-up routing stays as good as it was", () => {
  // Two stories that the default model told, a pass for each token.
  expect(hits("default-model.jsonl")).toEqual({
    recency: [37.5, 56.8, 82.7],
    frequency: [30.8, 60.6, 85.7],
    optimum: [59.1, 82, 94.3],
  });
  // 16 experts a layer, the k-th likeliest with a chance of 1/k; in half of the passes one is asked for again.
  expect(hits("zipf.jsonl")).toEqual({
    recency: [53.7, 77.5, 91.7],
    frequency: [54.6, 79.5, 92],
    optimum: [75.9, 90.7, 97.2],
  });
});
