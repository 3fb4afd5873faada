import { describe, expect, it } from "vitest";
import { canEncode, encodeRow } from "../tensor/decode.ts";
import { type TensorType, tensorTypes } from "../tensor/types.ts";
import { canScan, createScan } from "./scan.ts";

const types = (Object.keys(tensorTypes) as TensorType[]).filter((type) => canEncode(type) && canScan(type));

/** Four entries of 1,024 numbers each, a bell's curve; the third is zero. */
function encoded(type: TensorType): Uint8Array {
  let state = 1;
  const random = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  const values = Float32Array.from({ length: 4096 }, (_, i) =>
    i >> 10 === 2 ? 0 : 0.02 * Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random()),
  );
  return Uint8Array.from(encodeRow(type, values));
}

/** Where a block's first scale lies, unless at its beginning. */
const lastInBlock: Partial<Record<TensorType, number>> = { q6_k: 208, q2_k: 80, q3_k: 108, tq1_0: 52, tq2_0: 64 };

function scan(type: TensorType, bytes: Uint8Array) {
  const { blockSize, blockBytes } = tensorTypes[type];
  const scan = createScan({ type, entryBlocks: 1024 / blockSize });
  // In parts of other lengths than the entries.
  for (let at = 0; at < bytes.length; at += 3 * blockBytes) scan.add(bytes.subarray(at, at + 3 * blockBytes));
  return scan.result();
}

describe.each(types)("a tensor of %s", (type) => {
  const good = encoded(type);
  const { blockBytes, blockSize } = tensorTypes[type];

  it("is healthy but for its dead entry", () => {
    const result = scan(type, good);
    expect(result).toMatchObject({ notFinite: 0, firstNotFinite: -1, zeroEntries: [2], far: 0 });
    expect(result.zeroRun.bytes).toBe(good.length / 4);
    expect(result.zeroRun.offset).toBe(good.length / 2);
    expect(scan(type, new Uint8Array(good.length))).toMatchObject({ zeroEntries: [0, 1, 2, 3], far: 0, notFinite: 0 });
  });

  it("shows NaN, infinity and numbers far from the others", () => {
    if (/^(f64|i\d+|iq1_m|mxfp4)$/.test(type)) return;
    const scales = lastInBlock[type] ?? 0;
    // In the fourth entry.
    const block = (3 * 1024) / blockSize;
    const put = (bits: number) => {
      const bytes = Uint8Array.from(good);
      const size = type === "f32" ? 4 : 2;
      const view = new DataView(bytes.buffer);
      const at = block * blockBytes + scales;
      if (size === 4)
        view.setUint32(at, bits === 0x7c00 ? 0x7f800000 : bits === 0x7e00 ? 0x7fc00000 : 0x49800000, true);
      else if (type === "bf16") view.setUint16(at, bits === 0x7c00 ? 0x7f80 : bits === 0x7e00 ? 0x7fc0 : 0x4980, true);
      else view.setUint16(at, bits, true);
      return scan(type, bytes);
    };
    for (const bits of [0x7c00, 0x7e00]) {
      const result = put(bits);
      expect(result.notFinite).toBe(1);
      expect(Math.floor((result.firstNotFinite * blockSize) / 1024)).toBeGreaterThanOrEqual(3);
    }
    // 2^15 for f16, 2^20 for the others.
    expect(put(0x7800)).toMatchObject({ notFinite: 0, far: 1 });
  });
});
