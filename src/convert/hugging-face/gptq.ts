/**
 * GPTQ's 4-bit matrices as AutoGPTQ and transformers store them, for a matrix [out, in]: `qweight` int32 [in / 8, out], eight
 * integers of a row in a word; `qzeros` int32 [groups, out / 8], eight rows' zeros in a word, one less than they are, but in the
 * format `gptq_v2` (GPTQModel takes the ones from whole words, so that a zero of 0 borrows from the next); `scales` float16 (or bfloat16, float32) [groups, out]; `g_idx` int32 [in], the group of each column.
 */
import { GrokError } from "../../errors.ts";
import type { Config } from "./config.ts";
import { checkPacked, fourBitMatrix } from "./four-bit.ts";
import type { StoredMatrix } from "./matrix.ts";
import { groupOf, packedEntry, type Size, wordsOf } from "./packed.ts";
import type { TensorStore } from "./store.ts";

const formatKeys = ["checkpoint_format", "format"] as const;

/** @throws GrokError `unsupported` for what the settings ask for beside 4 bits. */
export function checkGptq(settings: Config): void {
  settings.expect("bits", [4], "4");
  for (const key of formatKeys) settings.expect(key, ["gptq", "gptq_v2"], "gptq or gptq_v2");
  settings.expect("is_marlin_format", [false], "false");
  settings.expect("rotation", [], "none");
  settings.count("bits", 1);
}

export function gptqMatrix(store: TensorStore, base: string, size: Size, settings: Config): StoredMatrix {
  const { rows, columns } = size;
  const group = groupOf(settings, "group_size", size);
  const groups = columns / group;
  const weight = packedEntry(store, `${base}.qweight`, ["I32"], [[columns / 8, rows]]);
  const zeros = packedEntry(store, `${base}.qzeros`, ["I32"], [[groups, Math.ceil(rows / 8)]]);
  const scales = packedEntry(store, `${base}.scales`, ["F16", "BF16", "F32"], [[groups, rows]]);
  checkPacked(weight.source, weight.name, weight.byteLength);
  if (store.has(`${base}.g_idx`)) refuseOrder(store, `${base}.g_idx`, columns, group);
  else if (groups > 1) settings.expect("desc_act", [false], "false where a matrix has no g_idx");
  const zeroOf = zeroReader(settings);
  return fourBitMatrix({
    ...{ source: weight.source, rows, columns, group },
    stored: `GPTQ 4-bit, groups of ${group}`,
    storedBytes: weight.byteLength + zeros.byteLength + scales.byteLength,
    zeros() {
      const words = wordsOf(zeros);
      const perGroup = Math.ceil(rows / 8);
      return Uint8Array.from({ length: groups * rows }, (_, i) => {
        const row = i % rows;
        return zeroOf(words[Math.floor(i / rows) * perGroup + (row >> 3)]!, 4 * (row & 7));
      });
    },
    scales: () => scales.values() as ArrayLike<number>,
    integers() {
      const words = wordsOf(weight);
      return (from, to) => {
        const out = new Uint8Array((to - from) * columns);
        for (let column = 0; column < columns; column += 8) {
          const line = (column >> 3) * rows;
          for (let row = from; row < to; row++) {
            const word = words[line + row]!;
            const at = (row - from) * columns + column;
            for (let i = 0; i < 8; i++) out[at + i] = (word >>> (4 * i)) & 15;
          }
        }
        return out;
      };
    },
  });
}

function zeroReader(settings: Config): (word: number, shift: number) => number {
  if (formatKeys.some((key) => settings.get(key) === "gptq_v2")) return (word, shift) => (word >>> shift) & 15;
  const { quantizer } = (settings.get("meta") ?? {}) as { quantizer?: unknown };
  const isWhole = [quantizer].flat().some((name) => String(name).startsWith("gptqmodel"));
  if (isWhole) return (word, shift) => ((word + 0x11111111) >>> shift) & 15;
  return (word, shift) => (((word >>> shift) & 15) + 1) & 15;
}

/** Activation order puts columns of one group apart; a GGUF file's blocks are of columns side by side. */
export function refuseOrder(store: TensorStore, name: string, columns: number, group: number): void {
  const entry = packedEntry(store, name, ["I32", "I64"], [[columns]]);
  const order = Array.from(entry.values() as ArrayLike<number | bigint>, Number);
  // Files of old quantizers have zeros there, those of compressed-tensors -1, and mean no order.
  const isPlain = [
    (at: number, column: number) => at === Math.floor(column / group),
    (at: number) => at === 0,
    (at: number) => at === -1,
  ];
  if (isPlain.some((holds) => order.every(holds))) return;
  throw new GrokError(
    "unsupported",
    `${entry.source}: tensor ${name}: columns are in activation order (desc_act), which no GGUF type holds: convert the unquantized model`,
    { path: entry.source, tensor: name },
  );
}
