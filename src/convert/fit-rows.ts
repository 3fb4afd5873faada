import { type TensorType, tensorTypes } from "../tensor/types.ts";

/** By type of blocks of 256: what rows that do not fill them are written in, after llama.cpp's quantizer. */
const narrower: Partial<Record<TensorType, TensorType>> = {
  ...{ q2_k: "q4_0", q3_k: "q4_0", tq1_0: "q4_0", tq2_0: "q4_0", q4_k: "q5_0", q5_k: "q5_1", q6_k: "q8_0" },
  ...{ iq1_s: "iq4_nl", iq1_m: "iq4_nl", iq2_xxs: "iq4_nl", iq2_xs: "iq4_nl", iq2_s: "iq4_nl", iq3_xxs: "iq4_nl" },
  ...{ iq3_s: "iq4_nl", iq4_xs: "iq4_nl" },
};

/** A type whose blocks rows of so many values fill: the nearest of smaller blocks, f16 where not even those are filled. */
export function fitRows(type: TensorType, columns: number): TensorType {
  if (columns % tensorTypes[type].blockSize === 0) return type;
  const next = narrower[type];
  return next !== undefined && columns % tensorTypes[next].blockSize === 0 ? next : "f16";
}
