import { f16AsF32Bits } from "../tensor/f16.ts";
import { type TensorType, tensorTypes } from "../tensor/types.ts";

/**
 * What can be seen of a tensor's health without knowing the model. Numbers of a block type are a block's scale times small whole
 * numbers, so its scales tell all: a NaN or infinite scale spoils its block, a block whose scales are zero is zero, and a
 * flipped bit in an exponent makes a scale that is far from the others. Reading scales alone keeps up with a disk.
 */
export interface ScanResult {
  /** Scales, or numbers of a type without scales, that are NaN or infinite. */
  readonly notFinite: number;
  /** Which is the first of them, counted from 0; -1: none. */
  readonly firstNotFinite: number;
  /** Entries of the outermost axis in which everything is zero. */
  readonly zeroEntries: readonly number[];
  /** Scales or numbers more than {@link ScanOptions.farExponents} powers of two above the middle one. */
  readonly far: number;
  /** The power of two that the largest lies at, and that of the middle one; undefined where all are zero. */
  readonly largestExponent: number | undefined;
  readonly middleExponent: number | undefined;
  /** The longest run of zero blocks, in bytes from the tensor's beginning. */
  readonly zeroRun: { readonly offset: number; readonly bytes: number };
}

/** Where a type keeps the numbers to look at, in bytes from a block's beginning. */
interface Layout {
  readonly kind: "f16" | "bf16" | "f32" | "f64" | "e8m0" | "iq1_m" | "i8" | "i16" | "i32" | "i64";
  readonly at: readonly number[];
}

const f16At = (...at: number[]): Layout => ({ kind: "f16", at });
const element = (kind: Layout["kind"]): Layout => ({ kind, at: [0] });

const layouts: Partial<Record<TensorType, Layout>> = {
  f32: element("f32"),
  f16: element("f16"),
  bf16: element("bf16"),
  f64: element("f64"),
  i8: element("i8"),
  i16: element("i16"),
  i32: element("i32"),
  i64: element("i64"),
  q4_0: f16At(0),
  q4_1: f16At(0, 2),
  q5_0: f16At(0),
  q5_1: f16At(0, 2),
  q8_0: f16At(0),
  q2_k: f16At(80, 82),
  q3_k: f16At(108),
  q4_k: f16At(0, 2),
  q5_k: f16At(0, 2),
  q6_k: f16At(208),
  iq2_xxs: f16At(0),
  iq2_xs: f16At(0),
  iq2_s: f16At(0),
  iq3_xxs: f16At(0),
  iq3_s: f16At(0),
  iq1_s: f16At(0),
  iq1_m: { kind: "iq1_m", at: [48] },
  iq4_nl: f16At(0),
  iq4_xs: f16At(0),
  tq1_0: f16At(52),
  tq2_0: f16At(64),
  mxfp4: { kind: "e8m0", at: [0] },
};

export interface ScanOptions {
  readonly type: TensorType;
  /** Blocks in one entry of the outermost axis. */
  readonly entryBlocks: number;
}

/** Powers of two above the middle one from which a scale or a number is out of range: trained weights have outliers of up to 2^7. */
export function farExponents(type: TensorType): number {
  return tensorTypes[type].blockSize > 1 ? 10 : 13;
}

export function canScan(type: TensorType): boolean {
  return layouts[type] !== undefined;
}

export interface Scan {
  /** The next whole blocks. */
  add(bytes: Uint8Array): void;
  result(): ScanResult;
}

export function createScan({ type, entryBlocks }: ScanOptions): Scan {
  const { kind, at } = layouts[type]!;
  const { blockBytes } = tensorTypes[type];
  /** By the exponent's bits in float32. */
  const exponents = new Float64Array(256);
  const zeroEntries: number[] = [];
  let block = 0;
  let number = 0;
  let notFinite = 0;
  let firstNotFinite = -1;
  let entryIsZero = true;
  let run = 0;
  const longest = { offset: 0, bytes: 0 };
  const endRun = () => {
    if (run * blockBytes > longest.bytes) {
      longest.bytes = run * blockBytes;
      longest.offset = (block - run) * blockBytes;
    }
    run = 0;
  };
  return {
    add(bytes) {
      const read = readerOf(kind, bytes, blockBytes);
      for (let start = 0; start < bytes.length; start += blockBytes) {
        let zero = true;
        for (const place of at) {
          const bits = read(start + place) & 0x7fffffff;
          if (bits >= 0x7f800000) {
            if (notFinite++ === 0) firstNotFinite = number;
            zero = false;
          } else if (bits !== 0) {
            exponents[bits >>> 23]!++;
            zero = false;
          }
          number++;
        }
        if (zero) run++;
        else {
          if (run > 0) endRun();
          entryIsZero = false;
        }
        block++;
        if (block % entryBlocks === 0) {
          if (entryIsZero && zeroEntries.length < 100_000) zeroEntries.push(block / entryBlocks - 1);
          entryIsZero = true;
        }
      }
    },
    result() {
      endRun();
      const all = exponents.reduce((sum, n) => sum + n, 0);
      let below = 0;
      const middle = exponents.findIndex((n) => {
        below += n;
        return 2 * below >= all;
      });
      const largest = exponents.findLastIndex((n) => n > 0);
      const far = exponents.slice(middle + 1 + farExponents(type)).reduce((sum, n) => sum + n, 0);
      return {
        ...{ notFinite, firstNotFinite, zeroEntries, far: all > 0 ? far : 0, zeroRun: longest },
        largestExponent: all > 0 ? largest - 127 : undefined,
        middleExponent: all > 0 ? middle - 127 : undefined,
      };
    },
  };
}

/** Gives the float32 bits of the number at a place in `bytes`; what has no exponent is 0 or 1. */
function readerOf(kind: Layout["kind"], bytes: Uint8Array, blockBytes: number): (at: number) => number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const one = 0x3f800000;
  const half = (at: number) => bytes[at]! | (bytes[at + 1]! << 8);
  const float = new Float32Array(1);
  const floatBits = new Uint32Array(float.buffer);
  switch (kind) {
    case "f16":
      return (at) => f16AsF32Bits[half(at)]!;
    case "bf16":
      return (at) => half(at) << 16;
    case "f32":
      return (at) => view.getUint32(at, true);
    case "f64":
      return (at) => {
        float[0] = view.getFloat64(at, true);
        return floatBits[0]!;
      };
    // 2^(e - 127), 255 is NaN. The scale is never zero: the codes (e2m1, two a byte) are, but for their signs.
    case "e8m0":
      return (at) => {
        const scale = bytes[at]!;
        if (scale === 255) return 0x7f800000;
        for (let i = at + 1; i < at + blockBytes; i++) if ((bytes[i]! & 0x77) !== 0) return Math.max(1, scale) << 23;
        return 0;
      };
    // An f16 in the upper four bits of four 16-bit numbers.
    case "iq1_m":
      return (at) => {
        const nibble = (i: number) => bytes[at + 2 * i + 1]! >> 4;
        return f16AsF32Bits[nibble(0) | (nibble(1) << 4) | (nibble(2) << 8) | (nibble(3) << 12)]!;
      };
    case "i8":
      return (at) => (bytes[at] !== 0 ? one : 0);
    case "i16":
      return (at) => (half(at) !== 0 ? one : 0);
    case "i32":
      return (at) => (view.getUint32(at, true) !== 0 ? one : 0);
    case "i64":
      return (at) => (view.getBigUint64(at, true) !== 0n ? one : 0);
  }
}
