import { describe, expect, it } from "vitest";
import { noise } from "../model/lora/lora.case.ts";
import { decodeRow, encodeRow } from "../tensor/decode.ts";
import { memoryTensor } from "../tensor/memory-tensor.case.ts";
import { encodedBytes, type TensorType } from "../tensor/types.ts";
import { chooseType, isKept, keptType, measureKept } from "./kept.ts";
import { mergeTypes } from "./merge.ts";
import { encodeMerged, openMergedRows } from "./merged-rows.ts";

const [rows, cols] = [24, 256];

/** A matrix of a type with a term of a size beside it, and both as numbers. */
function make(type: TensorType, size: number, weights = 0.05) {
  const encoded = encodeRow(
    type,
    noise(rows * cols, 3).map((value) => value * weights),
  );
  const base = new Float32Array(rows * cols);
  decodeRow(type, encoded, base);
  const tensor = memoryTensor("w", type, [rows, cols], encoded);
  const term = { rank: 1, scale: 2, expert: 0, a: noise(cols, 5), b: noise(rows, 9).map((value) => value * size) };
  const update = Float64Array.from(base, (_, i) => 2 * term.b[Math.floor(i / cols)]! * term.a[i % cols]!);
  return { merged: openMergedRows(tensor, [term]), base, update };
}

/** The definition, over all elements, of what was written. */
function define({ merged, base, update }: ReturnType<typeof make>, type: TensorType) {
  const written = new Float32Array(rows * cols);
  decodeRow(type, Buffer.concat([...encodeMerged(merged, type)]), written);
  const sum = (value: (i: number) => number) => written.reduce((all, _, i) => all + value(i), 0);
  const updates = sum((i) => update[i]! ** 2);
  const errors = sum((i) => (written[i]! - (base[i]! + update[i]!)) ** 2);
  return {
    update: sum((i) => (written[i]! - base[i]!) * update[i]!) / updates,
    error: Math.sqrt(errors / sum((i) => (base[i]! + update[i]!) ** 2)),
    errorOfUpdate: Math.sqrt(errors / updates),
  };
}

describe("what rounding keeps of an update", () => {
  it.each(mergeTypes)("is measured in %s as the definition has it", (type) => {
    for (const size of [1e-4, 1e-2, 1]) {
      const made = make("f16", size);
      const found = measureKept(made.merged, type)!;
      const expected = define(made, type);
      for (const key of ["update", "error", "errorOfUpdate"] as const) expect(found[key]).toBeCloseTo(expected[key], 4);
    }
  });

  // A fine-tune's usual size beside the steps of each type: a fifth of q4_0's, a tenth of bf16's.
  it.each([
    ["q4_0", 1e-3],
    ["q4_1", 1e-3],
    ["q4_k", 1e-3],
    ["q5_0", 4e-4],
    ["q6_k", 2e-4],
    ["q8_0", 2e-5],
    ["bf16", 1e-5],
    ["f16", 1e-6],
  ] as const)("is lost on %s's own grid, and chosen so that it is kept", (type, size) => {
    const made = make(type, size);
    expect(measureKept(made.merged, type)!.update).toBeLessThan(0.95);
    const { type: chosen, kept } = chooseType(made.merged);
    expect(chosen).not.toBe(type);
    expect(isKept(kept!)).toBe(true);
    expect(define(made, chosen).update).toBeGreaterThan(0.95);
  });

  it("stays in a type where the update is large beside its steps, or the type fine", () => {
    expect(chooseType(make("q4_0", 0.5).merged).type).toBe("q4_0");
    expect(chooseType(make("q8_0", 2e-3).merged).type).toBe("q8_0");
    expect(chooseType(make("f32", 1e-6).merged).type).toBe("f32");
  });

  it("goes past types that cannot hold the sums, or whose blocks the rows do not fill", () => {
    expect(chooseType(make("f16", 6e4).merged).type).toBe("f32");
    expect(chooseType(make("q8_0", 6e4).merged).type).toBe("f32");
    expect(chooseType(make("bf16", 6e4).merged).type).toBe("bf16");
    expect(measureKept(make("f16", 6e4).merged, "f16")).toBeUndefined();
    // Scales that f16 rounds to 0 take everything with them.
    expect(measureKept(make("f32", 1e-9, 1e-9).merged, "q4_0")!.update).toBeLessThan(0.1);
    const tensor = memoryTensor("w", "f16", [4, 48], new Uint8Array(encodedBytes("f16", 4 * 48)));
    const term = { rank: 1, scale: 1, expert: 0, a: new Float32Array(48).fill(1), b: new Float32Array(4).fill(1e-9) };
    expect(chooseType(openMergedRows(tensor, [term])).type).toBe("f32");
  });

  it("begins from a type that can be written, and goes up from one that cannot", () => {
    const own = ["f32", "bf16", "q4_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"] as const;
    expect(own.map(keptType)).toEqual(own);
    const small = ["iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "tq1_0", "tq2_0"] as const;
    expect(small.map(keptType)).toEqual(small.map(() => "q4_0"));
    expect((["mxfp4", "nvfp4"] as const).map(keptType)).toEqual(["q4_0", "q4_1"]);
  });
});
