import { f16AsF32Bits } from "../../tensor/f16.ts";
import { type ElementType, elementBytes } from "./pickle-values.ts";

/** Elements as float32, each exactly. */
export function readTyped(type: ElementType, bytes: Uint8Array): Float32Array {
  const values = new Float32Array(bytes.length / elementBytes[type]);
  const pattern = new Uint32Array(values.buffer);
  const { buffer, byteOffset } = bytes;
  if (type === "i1") values.set(new Int8Array(buffer, byteOffset, bytes.length));
  else if (type === "f4") new Uint8Array(values.buffer).set(bytes);
  else {
    const isHalf = type === "f2";
    for (let i = 0; i < values.length; i++) {
      const bits = bytes[2 * i]! | (bytes[2 * i + 1]! << 8);
      pattern[i] = isHalf ? f16AsF32Bits[bits]! : bits << 16;
    }
  }
  return values;
}
