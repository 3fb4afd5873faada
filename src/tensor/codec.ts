/**
 * How one tensor type's bytes become float32 values, and back. Both directions take whole rows: `bytes` and the values
 * hold the same number of whole blocks (`decodeRow` and `encodeRow` check it, a codec does not).
 */
export interface Codec {
  decode(bytes: Uint8Array, out: Float32Array): void;
  /** Absent where a type is only read, or written by the addon alone. */
  encode?(values: Float32Array, out: Uint8Array): void;
}
