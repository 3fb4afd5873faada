import { describe, expect, it } from "vitest";
import { createRandom, randomTensor } from "../oracle.case.ts";
import { createReference } from "./reference.ts";

describe("the reference backend", () => {
  it("computes the same whether decoded weights are kept, kept in part or not at all", () => {
    const random = createRandom(1);
    const { tensor } = randomTensor(random, "w", "q4_0", [37, 64]);
    const { tensor: other } = randomTensor(random, "v", "q8_0", [20, 64]);
    const x = random.normal(3 * 64);
    const results = [undefined, 0, 37 * 64 * 4].map((decodedBytes) => {
      const ops = createReference(decodedBytes === undefined ? {} : { decodedBytes });
      const matrix = ops.matrix("x", 3, 64);
      ops.write(matrix, x);
      const weights = [ops.weight(tensor), ops.weight(other)];
      // Twice, so that what was kept is used.
      const products = [...weights, ...weights].map((weight) => [
        ...(ops.read(ops.matmul("y", matrix, weight)) as Float64Array),
      ]);
      ops.close();
      return products;
    });
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
    expect(results[0]![2]).toEqual(results[0]![0]);
  });

  it("refuses to write over an operand that it is still reading, and to work when closed", () => {
    const ops = createReference();
    const { tensor } = randomTensor(createRandom(2), "w", "f32", [8, 8]);
    const weight = ops.weight(tensor);
    const x = ops.matrix("x", 2, 8);
    expect(() => ops.matmul("x", x, weight)).toThrow(/matmul.*x/);
    expect(() => ops.rows("x", x, Int32Array.of(1))).toThrow(/rows.*x/);
    ops.close();
    expect(() => ops.matmul("y", x, weight)).toThrow(/closed/);
  });

  it("refuses a quantized cache for heads that do not fill blocks", () => {
    const ops = createReference();
    const spec = { layers: 1, kvHeads: 1, headSize: 48, pages: 1, pageTokens: 8 };
    expect(() => ops.kvCache({ ...spec, type: "q8_0" })).toThrow(/48/);
    expect(() => ops.kvCache({ ...spec, type: "f16" })).not.toThrow();
  });
});
