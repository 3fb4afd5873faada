/**
 * EXL2's matrices of mixed width as exllamav2 stores them, for a matrix [out, in] whose columns were put into an order. Of each group of
 * columns, `q_groups` int16 [2 * groups] has the width, 2 to 8 bits, and its first row in `q_weight` int32 [packed, padded out], where the
 * integers of a row of the matrix follow one another downwards. Its scale for a row is (s + 1)^2 * max / 256, s in 4 bits of `q_scale`
 * int32 [groups, padded out / 8], max in `q_scale_max` float16 [groups], rounded to float16 at each step. `q_invperm` [in] has each
 * column's place in that order. value = scale * (integer - 2^(width - 1)).
 */
import { GrokError } from "../../errors.ts";
import { f16Values, toF16 } from "../../tensor/f16.ts";
import { checkPacked } from "./four-bit.ts";
import type { StoredMatrix } from "./matrix.ts";
import { packedEntry, type Size, wordsOf } from "./packed.ts";
import type { TensorStore } from "./store.ts";

interface Group {
  readonly bits: number;
  /** The first of its rows in `q_weight`. */
  readonly start: number;
  /** Its columns, in their order. */
  readonly columns: number;
}

export function exl2Matrix(store: TensorStore, base: string, { rows, columns }: Size): StoredMatrix {
  const weight = store.entry(`${base}.q_weight`);
  const [packed = 0, padded = 0] = weight.shape;
  const fail = (problem: string) =>
    new GrokError("format", `${weight.source}: tensor ${weight.name}: ${problem}`, {
      ...{ path: weight.source, tensor: weight.name },
    });
  if (weight.dtype !== "I32" || weight.shape.length !== 2 || padded < rows || padded % 8 !== 0 || padded > rows + 31) {
    throw fail(`is ${weight.dtype} of shape [${weight.shape.join(", ")}], expected I32 of ${rows} columns`);
  }
  checkPacked(weight.source, weight.name, weight.byteLength);
  const maxima = store.entry(`${base}.q_scale_max`);
  const count = maxima.shape[0] ?? 0;
  packedEntry(store, maxima.name, ["F16"], [[count]]);
  const table = packedEntry(store, `${base}.q_groups`, ["I16", "U16"], [[2 * count]]);
  const scales = packedEntry(store, `${base}.q_scale`, ["I32"], [[count, padded / 8]]);
  const inverse = packedEntry(store, `${base}.q_invperm`, ["I32", "I16"], [[columns]]);
  // The inverse of the other one.
  if (store.has(`${base}.q_perm`)) packedEntry(store, `${base}.q_perm`, ["I32", "I16"], [[columns]]);
  const groups = readGroups(new Uint16Array(table.bytes().buffer), packed, columns, fail);
  return {
    ...{ rows, columns, stored: `EXL2, ${widths(groups)} bits` },
    storedBytes: weight.byteLength + scales.byteLength + maxima.byteLength + table.byteLength + inverse.byteLength,
    exact: () => ["f16", "f32"],
    open() {
      const [words, packedScales] = [wordsOf(weight), wordsOf(scales)];
      const largest = new Uint16Array(maxima.bytes().buffer);
      const places = invert(inverse.values() as ArrayLike<number>, fail);
      const scaleOf = (group: number, row: number): number => {
        const s = (packedScales[group * (padded / 8) + (row >> 3)]! >>> (4 * (row & 7))) & 15;
        return round((s + 1) ** 2 * round(f16Values[largest[group]!]! / 256));
      };
      const decode = (from: number, to: number): Float32Array => {
        const values = new Float32Array((to - from) * columns);
        let place = 0;
        for (const [i, { bits, start, columns: own }] of groups.entries()) {
          const scale = Float64Array.from({ length: to - from }, (_, row) => scaleOf(i, from + row));
          const [mask, zero] = [2 ** bits - 1, 2 ** (bits - 1)];
          for (let k = 0; k < own; k++, place++) {
            const [word, shift] = [start + ((k * bits) >> 5), (k * bits) & 31];
            const column = places[place]!;
            for (let row = from; row < to; row++) {
              let integer = words[word * padded + row]! >>> shift;
              if (shift + bits > 32) integer |= words[(word + 1) * padded + row]! << (32 - shift);
              values[(row - from) * columns + column] = scale[row - from]! * ((integer & mask) - zero);
            }
          }
        }
        return values;
      };
      return {
        decode,
        encode: (_, from, to) => new Uint8Array(Uint16Array.from(decode(from, to), toF16).buffer),
      };
    },
  };
}

const round = (value: number) => f16Values[toF16(value)]!;

function readGroups(
  table: Uint16Array,
  packed: number,
  columns: number,
  fail: (problem: string) => GrokError,
): Group[] {
  const groups: Group[] = [];
  let left = columns;
  let next = 0;
  for (let i = 0; i < table.length; i += 2) {
    const [bits, start] = [table[i]!, table[i + 1]!];
    const end = i + 2 < table.length ? table[i + 3]! : packed;
    const own = i + 2 < table.length ? ((end - start) * 32) / bits : left;
    const fits = [2, 3, 4, 5, 6, 8].includes(bits) && start === next && Number.isInteger(own) && own > 0 && own <= left;
    if (!fits || Math.ceil((own * bits) / 32) !== end - start)
      throw fail(`q_groups do not cover its ${packed} rows and ${columns} columns`);
    groups.push({ bits, start, columns: own });
    left -= own;
    next = end;
  }
  if (left !== 0 || next !== packed) throw fail(`q_groups do not cover its ${packed} rows and ${columns} columns`);
  return groups;
}

const widths = (groups: readonly Group[]) => [...new Set(groups.map(({ bits }) => bits))].sort().join(", ");

/** Which column stands at each place. */
function invert(inverse: ArrayLike<number>, fail: (problem: string) => GrokError): Int32Array {
  const places = new Int32Array(inverse.length).fill(-1);
  for (let column = 0; column < inverse.length; column++) {
    const place = inverse[column]! & 0xffff;
    if (place >= places.length || places[place] !== -1) throw fail("q_invperm is no order of its columns");
    places[place] = column;
  }
  return places;
}
