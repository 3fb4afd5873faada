import { GrokError } from "../errors.ts";
import { canEncode } from "../tensor/decode.ts";
import { encodedBytes, type TensorType } from "../tensor/types.ts";
import { fitRows } from "./fit-rows.ts";
import type { SourceTensor } from "./source.ts";

/** Which type each tensor is written in. */
export interface Recipe {
  /** As it was asked for. */
  readonly name: string;
  /** `general.file_type`, of the files that llama.cpp's quantizer writes with most of their bytes in the same type. */
  readonly fileType: number;
  typeOf(tensor: Pick<SourceTensor, "name" | "shape" | "exact">): TensorType;
}

/** By type: the number of a file that has most of its bytes in it. */
const fileTypes: Partial<Record<TensorType, number>> = {
  ...{ f32: 0, f16: 1, q4_0: 2, q4_1: 3, q8_0: 7, q5_0: 8, q5_1: 9, q2_k: 10, q3_k: 12, q4_k: 15, q5_k: 17, q6_k: 18 },
  ...{ iq2_xxs: 19, iq2_xs: 20, iq3_xxs: 23, iq1_s: 24, iq4_nl: 25, iq3_s: 26, iq2_s: 28, iq4_xs: 30, iq1_m: 31 },
  ...{ bf16: 32, tq1_0: 36, tq2_0: 37, mxfp4: 38 },
};

/** Types that a whole model can be written in. */
export const recipeTypes: readonly TensorType[] = (Object.keys(fileTypes) as TensorType[]).filter(canEncode);

/**
 * A recipe by its name: a type for all matrices, or "keep", each tensor in the smallest type that holds it as it is stored. Gains and the
 * router are f32 in either: they are small, and a choice of experts is not to hang on rounding.
 * @throws GrokError `argument` for a name that is none.
 */
export function recipeNamed(name: string, tensors: readonly Pick<SourceTensor, "name" | "shape" | "exact">[]): Recipe {
  const type = name as TensorType;
  if (name !== "keep" && !recipeTypes.includes(type)) {
    throw new GrokError("argument", `type is ${name}, expected one of keep, ${recipeTypes.join(", ")}`, {
      option: "type",
      found: name,
    });
  }
  const typeOf: Recipe["typeOf"] = (tensor) => {
    if (tensor.shape.length === 1 || tensor.name.endsWith("ffn_gate_inp.weight")) return "f32";
    return fitRows(name === "keep" ? tensor.exact : type, tensor.shape.at(-1)!);
  };
  return name === "keep" ? recipeOf(name, tensors, typeOf) : { name, fileType: fileTypes[type] ?? 1, typeOf };
}

/** A recipe of each tensor's own type. */
export function recipeOf(
  name: string,
  tensors: readonly Pick<SourceTensor, "name" | "shape" | "exact">[],
  typeOf: Recipe["typeOf"],
): Recipe {
  return { name, fileType: fileTypes[mostBytes(tensors, typeOf)] ?? 1, typeOf };
}

function mostBytes(
  tensors: readonly Pick<SourceTensor, "name" | "shape" | "exact">[],
  typeOf: Recipe["typeOf"],
): TensorType {
  const bytes = new Map<TensorType, number>([["f32", 0]]);
  for (const tensor of tensors) {
    const type = typeOf(tensor);
    const elements = tensor.shape.reduce((product, n) => product * n, 1);
    bytes.set(type, (bytes.get(type) ?? 0) + encodedBytes(type, elements));
  }
  return [...bytes].reduce((a, b) => (b[1] > a[1] ? b : a))[0];
}
