/**
 * Matrices of 4-bit integers with a scale and an integer zero for a group of a row's columns, as GPTQ and AWQ store them:
 * value = scale * (integer - zero).
 *
 * A GGUF file, whose scales are of float16 as theirs usually are, holds them without loss: `q4_0`, d * (q - 8), where every zero is 8, as symmetric quantization has it; `q4_1`, d * q + m,
 * where every m = -scale * zero is a number of float16, which of other zeros than powers of two few are; `q5_0`, d * (q - 16), for any
 * zero from 0 to 16, since integer - zero is from -16 to 15.
 */
import { GrokError } from "../../errors.ts";
import { f16Values, toF16 } from "../../tensor/f16.ts";
import type { TensorType } from "../../tensor/types.ts";
import { isNearHalf, type MatrixRows, type StoredMatrix } from "./matrix.ts";

export interface FourBits {
  readonly source: string;
  readonly rows: number;
  readonly columns: number;
  /** Columns that share a scale and a zero. */
  readonly group: number;
  readonly stored: string;
  readonly storedBytes: number;
  /** Zeros [groups, rows]. */
  zeros(): Uint8Array;
  /** Scales [groups, rows]. */
  scales(): ArrayLike<number>;
  /** Reads the integers: gives those of rows [from, to), row-major, one a byte. */
  integers(): (from: number, to: number) => Uint8Array;
}

/** The largest packed matrix that is read at once; those in use have at most some 200 MB. */
const mostPacked = 2 ** 30;

export function checkPacked(source: string, name: string, bytes: number): void {
  if (bytes <= mostPacked) return;
  throw new GrokError("capacity", `${source}: tensor ${name} has ${bytes} bytes, expected at most ${mostPacked}`, {
    ...{ path: source, tensor: name },
  });
}

function typesOf(zeros: Uint8Array, scales: ArrayLike<number>): readonly TensorType[] {
  const isHalf = (value: number) => f16Values[toF16(value)] === value;
  const isExact = (zero: number, i: number) => isHalf(scales[i]!) && isHalf(scales[i]! * zero);
  // Scales of another format may not be numbers of float16, and are then within half of its last digit.
  if (!Array.prototype.every.call(scales, (scale: number) => isHalf(scale) || isNearHalf(scale))) return ["f32"];
  return [
    ...(zeros.every((zero) => zero === 8) ? (["q4_0"] as const) : []),
    ...(zeros.every(isExact) ? (["q4_1"] as const) : []),
    ...(["q5_0", "f32"] as const),
  ];
}

export function fourBitMatrix(bits: FourBits): StoredMatrix {
  const { rows, columns, group, stored, storedBytes } = bits;
  let types: readonly TensorType[] | undefined;
  return {
    ...{ rows, columns, stored, storedBytes },
    exact() {
      if (columns % 32 !== 0 || group % 32 !== 0) return ["f32"];
      types ??= typesOf(bits.zeros(), bits.scales());
      return types;
    },
    open() {
      const [zeros, scales, integers] = [bits.zeros(), bits.scales(), bits.integers()];
      return { decode, encode } satisfies MatrixRows;

      function decode(from: number, to: number): Float32Array {
        const values = new Float32Array((to - from) * columns);
        const found = integers(from, to);
        for (let row = from; row < to; row++) {
          for (let start = 0; start < columns; start += group) {
            const at = (start / group) * rows + row;
            const [zero, scale] = [zeros[at]!, scales[at]!];
            const begin = (row - from) * columns + start;
            const end = Math.min(begin + group, (row - from + 1) * columns);
            for (let i = begin; i < end; i++) values[i] = scale * (found[i]! - zero);
          }
        }
        return values;
      }

      /** Blocks of 32: the scale, the minimum of q4_1 or the fifth bits of q5_0, and the low four, those of the halves in one byte. */
      function encode(type: TensorType, from: number, to: number): Uint8Array {
        const five = type === "q5_0";
        const head = five ? 6 : type === "q4_1" ? 4 : 2;
        const blockBytes = head + 16;
        const found = integers(from, to);
        const out = new Uint8Array(((to - from) * columns * blockBytes) / 32);
        let place = 0;
        for (let row = from; row < to; row++) {
          for (let start = 0; start < columns; start += 32, place += blockBytes) {
            const at = Math.floor(start / group) * rows + row;
            const offset = five ? 16 - zeros[at]! : 0;
            const scale = toF16(scales[at]!);
            out[place] = scale & 255;
            out[place + 1] = scale >> 8;
            const first = (row - from) * columns + start;
            const low = place + head;
            if (type === "q4_1") {
              const minimum = toF16(-scales[at]! * zeros[at]!);
              out[place + 2] = minimum & 255;
              out[place + 3] = minimum >> 8;
            }
            for (let i = 0; i < 16; i++) {
              const [a, b] = [found[first + i]! + offset, found[first + i + 16]! + offset];
              out[low + i] = (a & 15) | ((b & 15) << 4);
              if (!five) continue;
              out[place + 2 + (i >> 3)]! |= (a >> 4) << (i & 7);
              out[place + 4 + (i >> 3)]! |= (b >> 4) << (i & 7);
            }
          }
        }
        return out;
      }
    },
  };
}
