import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { simulate } from "./simulate.ts";
import { encodeTraceHead, encodeTracePass, parseTrace, type RoutingTrace } from "./trace.ts";

const layers = 3;
const experts = 6;

const passes = (least: number, most: number) =>
  fc.array(
    fc.array(fc.subarray([0, 1, 2, 3, 4, 5], { minLength: 1, maxLength: 3 }), { minLength: layers, maxLength: layers }),
    { minLength: least, maxLength: most },
  );

const traceOf = (asked: readonly (readonly (readonly number[])[])[], foretold = false): RoutingTrace => ({
  ...{ model: "m", layers, experts, expertBytes: [10, 10, 10], keptBytes: 30, activationBytes: 0 },
  passes: asked.map((each) => ({
    tokens: 1,
    asked: each,
    foretold: foretold ? each.map((list, layer) => (layer === 0 ? [] : list)) : each.map(() => []),
  })),
});

const machine = { bytes: 60, driveBandwidth: 10, memoryBandwidth: 100, ahead: false } as const;

/** The least misses of one layer with a cache of `slots`, where what is computed need not be kept: by trying everything. */
function leastMisses(asked: readonly (readonly number[])[], slots: number): number {
  const sequence = asked.flat();
  let states = new Map<string, number>([["", 0]]);
  for (const one of sequence) {
    const next = new Map<string, number>();
    const put = (state: readonly number[], cost: number) => {
      const key = [...state].sort().join(",");
      if (cost < (next.get(key) ?? Number.POSITIVE_INFINITY)) next.set(key, cost);
    };
    for (const [key, cost] of states) {
      const state = key === "" ? [] : key.split(",").map(Number);
      if (state.includes(one)) {
        put(state, cost);
        continue;
      }
      put(state, cost + 1);
      if (state.length < slots) put([...state, one], cost + 1);
      for (const out of state) put([...state.filter((each) => each !== out), one], cost + 1);
    }
    states = next;
  }
  return Math.min(...states.values());
}

describe("a replayed trace", () => {
  it("misses as little as can be where the future is known, and no policy misses less", () => {
    fc.assert(
      fc.property(passes(1, 8), fc.integer({ min: 1, max: 4 }), (asked, slots) => {
        const single = asked.map(([first]) => [[first![0]!]]);
        const trace = { ...traceOf(single), layers: 1, expertBytes: [1], keptBytes: 0 };
        const run = (policy: "optimum" | "recency" | "frequency") =>
          simulate(trace, { ...machine, bytes: slots, policy }).bytesRead;
        const least = leastMisses(
          single.map(([only]) => only!),
          slots,
        );
        expect(run("optimum")).toBe(least);
        if (slots >= 3)
          for (const policy of ["recency", "frequency"] as const) expect(run(policy)).toBeGreaterThanOrEqual(least);
      }),
      { numRuns: 60 },
    );
  });

  it("takes the time of its bytes: of memory where all is there, of the drive where it is what is waited for", () => {
    const all = Array.from({ length: 4 }, () => [
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    const trace = traceOf(all);
    const warm = simulate(trace, { ...machine, policy: "frequency" }, 1);
    expect(warm.hitRate).toBe(1);
    expect(warm.bytesRead).toBe(0);
    // 10 bytes a layer of what is kept, 20 of experts, at 100 a second.
    expect(warm.seconds).toBeCloseTo(3 * 3 * 0.3, 9);
    const cold = simulate(trace, { ...machine, bytes: 20, policy: "frequency" }, 1);
    expect(cold.hitRate).toBe(0);
    // The drive never rests but while what is kept of a layer is computed: experts are while they come.
    const drive = cold.bytesRead / machine.driveBandwidth;
    expect(cold.seconds).toBeCloseTo(drive + 3 * 3 * 0.1, 9);
    // A drive that is faster than memory costs nothing.
    const quick = simulate(trace, { ...machine, driveBandwidth: 1000, bytes: 20, policy: "frequency" }, 1);
    expect(quick.seconds).toBeCloseTo(warm.seconds, 9);
  });

  it("waits less where the next layer is foretold rightly, and reads no more", () => {
    const asked = Array.from({ length: 300 }, (_, i) => [[i % 6], [(i * 5 + 1) % 6], [(i * 5 + 2) % 6]]);
    const run = (ahead: boolean) =>
      simulate(traceOf(asked, true), { ...machine, bytes: 80, driveBandwidth: 60, ahead, policy: "recency" }, 40);
    const [with_, without] = [run(true), run(false)];
    expect(with_.bytesRead).toBeLessThanOrEqual(without.bytesRead);
    expect(with_.stalledSeconds).toBeLessThan(without.stalledSeconds);
    expect(with_.bytesWasted).toBe(0);
  });

  it("shows prompts and answers apart, and leaves a prompt's activations their room", () => {
    const every = Array.from({ length: layers }, () => [0, 1, 2, 3, 4, 5]);
    const one = [[0], [1], [2]];
    const { passes: list, ...head } = traceOf([every, one, every, one, one, one]);
    const marked = {
      ...head,
      passes: list.map((pass, i) => ({ ...pass, tokens: i % 2 === 0 && i < 4 ? 64 : 1, prompt: i % 2 === 0 && i < 4 })),
    };
    const run = (activationBytes: number) =>
      simulate({ ...marked, activationBytes }, { ...machine, bytes: 180, policy: "frequency" });
    const whole = run(0);
    expect([whole.passes, whole.prompts?.passes, whole.answers?.passes]).toEqual([6, 2, 4]);
    expect([whole.prompts?.bytesRead, whole.answers?.bytesRead]).toEqual([180, 0]);
    expect(whole.prompts!.seconds + whole.answers!.seconds).toBeCloseTo(whole.seconds, 9);
    // 32 rows more than an answer has take half of it.
    const shared = run(90 / 32);
    expect(shared.prompts!.bytesRead).toBeGreaterThan(180);
    expect(simulate({ ...head, passes: list }, { ...machine, policy: "frequency" }).answers).toBeUndefined();
  });

  it("is what was written, and a damaged one is refused by line", () => {
    fc.assert(
      fc.property(passes(0, 5), fc.boolean(), fc.nat(1e9), (asked, foretold, activationBytes) => {
        const bare = traceOf(asked, foretold);
        const marked = bare.passes.map((pass, i) =>
          activationBytes % 2 === 0 ? pass : { ...pass, prompt: i % 2 === 0 },
        );
        const trace = { ...bare, activationBytes, passes: marked };
        const { passes: list, ...head } = trace;
        const text = encodeTraceHead(head) + list.map(encodeTracePass).join("");
        expect(parseTrace(text, "t")).toEqual(trace);
      }),
    );
    const { passes: list, ...head } = traceOf([[[0], [1], [2]]]);
    const lines = [encodeTraceHead(head), encodeTracePass(list[0]!)];
    for (const cut of ["", "{", lines[1]!.slice(0, -1)]) {
      expect(parseTrace(lines.join("") + cut, "t").passes, cut).toEqual(list);
    }
    for (const [text, problem] of [
      ["", "line 1"],
      ["{}\n", "line 1"],
      [lines[0]!.replace('"layers":3', '"layers":1e9'), "line 1: layers"],
      [lines[0]!.replace('"version":2', '"version":3'), "version 1 or 2"],
      [lines[0]!.replace('"activationBytes":0', '"activationBytes":-1'), "line 1: activationBytes"],
      [`${lines[0]}${lines[1]!.replace('"tokens":1', '"tokens":1,"prompt":1')}`, "line 2: prompt"],
      [lines[0]!.replace("[10,10,10]", "[10,10]"), "line 1: expertBytes"],
      [`${lines[0]}x\n`, "line 2: is not JSON"],
      [`${lines[0]}x\n${lines[1]}`, "line 2: is not JSON"],
      [`${lines[0]}${lines[1]!.replace("[[0],", "[[6],")}`, "line 2: asked"],
      [`${lines[0]}${lines[1]!.replace("[[0],", "[[0,0],")}`, "line 2: asked"],
      [`${lines[0]}${lines[1]!.replace('"tokens":1', '"tokens":-1')}`, "line 2: tokens"],
    ] as const) {
      expect(() => parseTrace(text, "t"), text).toThrow(problem);
    }
  });
});
