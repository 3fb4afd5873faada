import { canEncode, decodeRow, encodeRow, largestOf } from "../tensor/decode.ts";
import { encodedBytes, type TensorType, tensorTypes } from "../tensor/types.ts";
import type { MergedRows } from "./merged-rows.ts";

/**
 * What a type's rounding makes of an update. Of base weights W, update U and R, what W + U is once rounded:
 * where U is smaller than the steps of the type, R falls back to W, and nothing of the update is left.
 */
export interface Kept {
  /** The part of the update that arrives: ⟨R - W, U⟩ / ⟨U, U⟩. 1 is all of it, 0 none. */
  readonly update: number;
  /** The error that rounding adds, beside the weights: ‖R - (W + U)‖ / ‖W + U‖. */
  readonly error: number;
  /** The same, beside the update: ‖R - (W + U)‖ / ‖U‖. */
  readonly errorOfUpdate: number;
}

const leastKept = 0.95;
/** Q8_0's own error is near half of this, and nobody finds it in a model's answers. */
const mostError = 0.01;

/**
 * Whether a merged matrix stands for base and adapter: at least 95 % of the update arrives, and the error is small beside the
 * weights (1 %) or beside the update (its square 5 % of the update's).
 */
export function isKept({ update, error, errorOfUpdate }: Kept): boolean {
  return Math.abs(update - 1) <= 1 - leastKept && (error <= mostError || errorOfUpdate ** 2 <= 1 - leastKept);
}

/** Elements that are looked at of a matrix; of larger ones, rows evenly spread over it. */
const sampledElements = 2 ** 20;

/** Rounds changed rows to a type and measures. Undefined where the type cannot hold the sums. */
export function measureKept(merged: MergedRows, type: TensorType): Kept | undefined {
  const { cols, rows } = merged;
  const changed = Array.from({ length: merged.matrices }, (_, matrix) => matrix).filter(merged.isChanged);
  const total = changed.length * rows;
  const count = Math.min(total, Math.max(16, Math.floor(sampledElements / cols)));
  const [base, sum, rounded] = [new Float32Array(cols), new Float32Array(cols), new Float32Array(cols)];
  const update = new Float64Array(cols);
  const bytes = new Uint8Array(encodedBytes(type, cols));
  const largest = largestOf(type);
  let [arrived, updates, errors, sums] = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const at = Math.floor(((i + 0.5) * total) / count);
    const [matrix, row] = [changed[Math.floor(at / rows)]!, at % rows];
    merged.decode(merged.bytes(matrix, row, 1), matrix, row, base, update);
    for (let col = 0; col < cols; col++) {
      sum[col] = base[col]! + update[col]!;
      if (!(Math.abs(sum[col]!) <= largest)) return undefined;
    }
    encodeRow(type, sum, bytes);
    decodeRow(type, bytes, rounded);
    for (let col = 0; col < cols; col++) {
      const [u, exact] = [update[col]!, base[col]! + update[col]!];
      arrived += (rounded[col]! - base[col]!) * u;
      updates += u * u;
      errors += (rounded[col]! - exact) ** 2;
      sums += exact * exact;
    }
  }
  // What was looked at of a large matrix may have no update: nothing is lost there.
  if (updates === 0) return { update: 1, error: 0, errorOfUpdate: 0 };
  return {
    update: arrived / updates,
    error: Math.sqrt(errors / Math.max(sums, Number.MIN_VALUE)),
    errorOfUpdate: Math.sqrt(errors / updates),
  };
}

/** Too few bits to be rounded to a second time by somebody who does not know which columns matter. */
const coarse: readonly TensorType[] = [
  ...(["iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "tq1_0", "tq2_0", "mxfp4"] as const),
];

/** Where a type is not written: the smallest with more bits an element that is written everywhere, in blocks that the same rows fill. */
const larger: Partial<Record<TensorType, TensorType>> = {
  ...{ q2_k: "q4_0", q3_k: "q4_0", q4_k: "q4_1", q5_k: "q5_1", q6_k: "q8_0", iq4_xs: "q4_0", iq4_nl: "q4_1" },
  ...{ iq1_s: "q4_0", iq1_m: "q4_0", iq2_xxs: "q4_0", iq2_xs: "q4_0", iq2_s: "q4_0", iq3_xxs: "q4_0", iq3_s: "q4_0" },
  ...{ tq1_0: "q4_0", tq2_0: "q4_0", mxfp4: "q4_0", nvfp4: "q4_1" },
  ...{ i8: "f16", i16: "f32", i32: "f32", i64: "f32", f64: "f32" },
};

/** What a merged matrix of a type is at least written as: the type itself where grok1 writes it, else the nearest larger one. */
export function keptType(type: TensorType): TensorType {
  if (canEncode(type) && !coarse.includes(type)) return type;
  return larger[type] ?? "f16";
}

/** By bits an element. */
const ladder = ["q4_0", "q4_k", "q4_1", "q5_0", "q5_1", "q6_k", "q8_0", "bf16", "f16", "f32"] as const;

/**
 * The smallest type, from the matrix's own upwards, that keeps the update; with what it keeps.
 * Matrices with elements that f16 cannot hold come out as f32.
 */
export function chooseType(merged: MergedRows): { readonly type: TensorType; readonly kept: Kept | undefined } {
  const own = keptType(merged.tensor.type);
  const bits = ({ blockBytes, blockSize }: (typeof tensorTypes)[TensorType]) => (8 * blockBytes) / blockSize;
  const wider = ladder.filter(
    (type) =>
      canEncode(type) &&
      // bf16 has f16's bits and fewer digits: only those who have it keep it.
      type !== own &&
      type !== "bf16" &&
      (bits(tensorTypes[type]) > bits(tensorTypes[own]) || own === "bf16"),
  );
  const candidates = [own, ...wider].filter((type) => merged.cols % tensorTypes[type].blockSize === 0);
  const far = exceeds(merged);
  let found: { type: TensorType; kept: Kept | undefined } = { type: "f32", kept: undefined };
  for (const type of candidates) {
    if (far !== undefined && largestOf(type) < far) continue;
    found = { type, kept: measureKept(merged, type) };
    if (found.kept !== undefined && isKept(found.kept)) return found;
  }
  return found;
}

/** An update as small as this takes no weight of use out of f16's range. */
const harmlessUpdate = 100;

/** The largest merged magnitude, where the update is large enough that it may be past f16's range; else undefined. */
function exceeds(merged: MergedRows): number | undefined {
  if (merged.largestUpdate() <= harmlessUpdate) return undefined;
  const base = new Float32Array(merged.cols);
  const update = new Float64Array(merged.cols);
  let most = 0;
  for (let matrix = 0; matrix < merged.matrices; matrix++) {
    for (let row = 0; row < merged.rows; row++) {
      merged.decode(merged.bytes(matrix, row, 1), matrix, row, base, update);
      for (let col = 0; col < base.length; col++) most = Math.max(most, Math.abs(base[col]! + update[col]!));
    }
  }
  return most;
}
