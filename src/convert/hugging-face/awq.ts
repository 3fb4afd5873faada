/**
 * AWQ's 4-bit matrices as AutoAWQ stores them in its version `gemm`, for a matrix [out, in]: `qweight` int32 [in, out / 8], eight rows'
 * integers in a word, in the order 0, 2, 4, 6, 1, 3, 5, 7; `qzeros` int32 [groups, out / 8] in the same order; `scales` float16 (or bfloat16,
 * float32) [groups, out].
 */
import type { Config } from "./config.ts";
import { checkPacked, fourBitMatrix } from "./four-bit.ts";
import type { StoredMatrix } from "./matrix.ts";
import { groupOf, packedEntry, type Size, wordsOf } from "./packed.ts";
import type { TensorStore } from "./store.ts";

/** @throws GrokError `unsupported` for what the settings ask for beside 4 bits, packed for a matrix product. */
export function checkAwq(settings: Config): void {
  for (const key of ["version", "format", "checkpoint_format"]) settings.expect(key, ["gemm", "GEMM"], "gemm");
  settings.expect("backend", ["autoawq"], "autoawq");
  settings.count(widthKey(settings), 1);
  settings.expect(widthKey(settings), [4], "4");
}

const widthKey = (settings: Config) => (settings.has("w_bit") ? "w_bit" : "bits");

/** Which of eight rows each 4 bits of a word belong to. */
const order = [0, 2, 4, 6, 1, 3, 5, 7];

export function awqMatrix(store: TensorStore, base: string, size: Size, settings: Config): StoredMatrix {
  const { rows, columns } = size;
  const group = groupOf(settings, settings.has("q_group_size") ? "q_group_size" : "group_size", size);
  const groups = columns / group;
  const across = Math.ceil(rows / 8);
  const weight = packedEntry(store, `${base}.qweight`, ["I32"], [[columns, across]]);
  const zeros = packedEntry(store, `${base}.qzeros`, ["I32"], [[groups, across]]);
  const scales = packedEntry(store, `${base}.scales`, ["F16", "BF16", "F32"], [[groups, rows]]);
  checkPacked(weight.source, weight.name, weight.byteLength);
  return fourBitMatrix({
    ...{ source: weight.source, rows, columns, group },
    stored: `AWQ 4-bit, groups of ${group}`,
    storedBytes: weight.byteLength + zeros.byteLength + scales.byteLength,
    zeros() {
      const words = wordsOf(zeros);
      const out = new Uint8Array(groups * rows);
      for (let i = 0; i < groups; i++) {
        for (let word = 0; word < across; word++) {
          for (const [place, row] of order.entries()) {
            const at = word * 8 + row;
            if (at < rows) out[i * rows + at] = (words[i * across + word]! >>> (4 * place)) & 15;
          }
        }
      }
      return out;
    },
    scales: () => scales.values() as ArrayLike<number>,
    integers() {
      const words = wordsOf(weight);
      return (from, to) => {
        const out = new Uint8Array((to - from) * columns);
        for (let column = 0; column < columns; column++) {
          for (let word = from >> 3; word * 8 < to; word++) {
            const packed = words[column * across + word]!;
            for (let place = 0; place < 8; place++) {
              const row = word * 8 + order[place]!;
              if (row >= from && row < to) out[(row - from) * columns + column] = (packed >>> (4 * place)) & 15;
            }
          }
        }
        return out;
      };
    },
  });
}
