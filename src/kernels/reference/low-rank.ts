import { GrokError } from "../../errors.ts";
import { checkSize } from "../checks.ts";
import type { TrainableWeight } from "../grad-ops.ts";
import type { Weight } from "../ops.ts";
import { boundParameter, type ReferenceParameter } from "./parameter.ts";
import type { ReferenceWeight } from "./weight.ts";

/** W + scale * B A, put together a block at a time whenever it is read: exact, and simple. */
export interface AdaptedWeight extends TrainableWeight, ReferenceWeight {
  readonly base: ReferenceWeight;
  /** [rank, in], or [experts, rank, in]. */
  readonly a: ReferenceParameter;
  /** [out, rank], or [experts, out, rank]. */
  readonly b: ReferenceParameter;
  readonly scale: number;
}

/** The adapted weight that a weight is, or undefined. */
export function adaptedOf(weight: Weight): AdaptedWeight | undefined {
  return (weight as Partial<AdaptedWeight>).base === undefined ? undefined : (weight as AdaptedWeight);
}

/** @throws GrokError `shape` when the shapes do not fit, `argument` for a base that is adapted already. */
export function adaptWeight(
  base: ReferenceWeight,
  a: ReferenceParameter,
  b: ReferenceParameter,
  scale: number,
): AdaptedWeight {
  const { tensor, matrices, rows, cols } = base;
  const rank = a.rows;
  if (adaptedOf(base) !== undefined) throw new GrokError("argument", `weight ${tensor.name} is adapted already`);
  checkSize("lowRank", `axes of ${a.name}`, tensor.shape.length, a.shape.length);
  checkSize("lowRank", `axes of ${b.name}`, tensor.shape.length, b.shape.length);
  for (const part of [a, b]) checkSize("lowRank", `matrices of ${part.name}`, matrices, part.matrices);
  checkSize("lowRank", `columns of ${a.name}`, cols, a.cols);
  checkSize("lowRank", `rows of ${b.name}`, rows, b.rows);
  checkSize("lowRank", `columns of ${b.name}`, rank, b.cols);
  return {
    trainable: true,
    tensor,
    matrices,
    rows,
    cols,
    base,
    a,
    b,
    scale,
    eachBlock(index, use) {
      const left = boundParameter(b).parts.values.subarray(index * rows * rank, (index + 1) * rows * rank);
      const right = boundParameter(a).parts.values.subarray(index * rank * cols, (index + 1) * rank * cols);
      base.eachBlock(index, (values, start, count) => {
        const sum = Float64Array.from(values.subarray(0, count * cols));
        for (let i = 0; i < count; i++) {
          for (let r = 0; r < rank; r++) {
            const factor = scale * left[(start + i) * rank + r]!;
            for (let j = 0; j < cols; j++) sum[i * cols + j]! += factor * right[r * cols + j]!;
          }
        }
        use(sum, start, count);
      });
    },
    row() {
      throw new GrokError("unsupported", `weight ${tensor.name} is adapted: it can be multiplied by, not looked up in`);
    },
  };
}
