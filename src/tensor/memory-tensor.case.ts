import type { Tensor } from "./tensor.ts";
import type { TensorType } from "./types.ts";

/** A tensor over encoded bytes in memory, or over float32 values. */
export function memoryTensor(
  name: string,
  type: TensorType,
  shape: readonly number[],
  { buffer, byteOffset, byteLength }: Uint8Array | Float32Array,
): Tensor {
  return { name, type, shape, source: "memory", places: [{ memory: new Uint8Array(buffer, byteOffset, byteLength) }] };
}
