/**
 * Matrices of 4- or 8-bit integers as compressed-tensors packs them (`pack-quantized`), for a matrix [out, in]: `weight_packed` int32
 * [out, in x bits / 32], a row's integers in words, the first in the lowest bits, half of their range added to each; `weight_scale` (any float)
 * [out, groups], or [out, 1], or one of all; where it is not symmetric `weight_zero_point`, packed alike down the rows, int32
 * [out x bits / 32, groups], or int8 as it is; `weight_shape` [2]. value = scale * (integer - zero).
 */
import { GrokError, shown } from "../../errors.ts";
import type { SafetensorsEntry } from "../../formats/safetensors/file.ts";
import type { Config } from "./config.ts";
import { checkPacked, fourBitMatrix } from "./four-bit.ts";
import { refuseOrder } from "./gptq.ts";
import type { StoredMatrix } from "./matrix.ts";
import { groupsOf, packedEntry, type Size, wordsOf } from "./packed.ts";
import { eightBitMatrix } from "./scaled.ts";
import type { TensorStore } from "./store.ts";

const formats = ["int-quantized", "naive-quantized", "float-quantized", "dense", "pack-quantized"];

/** @throws GrokError `unsupported` for a format that is not read, of the whole or of one group of matrices, and for rotated inputs. */
export function checkCompressed(settings: Config): void {
  const what = "int-quantized, naive-quantized, float-quantized, pack-quantized or mixed-precision of these";
  settings.expect("format", [...formats, "mixed-precision"], what);
  for (const group of groupsOf(settings)) {
    group.expect("format", formats, what);
    if (formatOf(settings, group) !== "pack-quantized") continue;
    const weights = group.section("weights");
    weights?.expect("type", ["int"], "int");
    weights?.expect("num_bits", [4, 8], "4 or 8");
  }
  const transforms = settings.section("transform_config")?.get("config_groups") ?? {};
  if (Object.keys(transforms).length > 0) {
    throw settings.fail("unsupported", "transform_config", `is ${shown(transforms)}, expected none`);
  }
}

const formatOf = (settings: Config, group: Config) => group.text("format", settings.text("format", ""));

export function compressedMatrix(store: TensorStore, base: string, size: Size, settings: Config): StoredMatrix {
  const { rows, columns } = size;
  const words = (count: number, bits: number) => Math.ceil((count * bits) / 32);
  const shapes = [4, 8].map((bits) => [rows, words(columns, bits)]);
  const weight = packedEntry(store, `${base}.weight_packed`, ["I32"], shapes);
  const bits = weight.shape[1] === words(columns, 4) ? 4 : 8;
  checkShape(store, `${base}.weight_shape`, size);
  const scale = findScale(store, base, size);
  const groups = scale.shape.length === 2 ? scale.shape[1]! : 1;
  const group = columns / groups;
  const zero = store.has(`${base}.weight_zero_point`)
    ? packedEntry(...[store, `${base}.weight_zero_point`, ["I32", "I8"] as const], [
        [words(rows, bits), groups],
        scale.shape,
      ])
    : undefined;
  checkDeclared(store, base, settings, { bits, group, groups, symmetric: zero === undefined });
  if (store.has(`${base}.weight_g_idx`)) refuseOrder(store, `${base}.weight_g_idx`, columns, group);
  const scales = () => perRow(scale, scale.values() as ArrayLike<number>, rows, groups);
  const storedBytes = weight.byteLength + scale.byteLength + (zero?.byteLength ?? 0);
  const stored = `compressed-tensors ${bits}-bit, ${groups === 1 ? "by rows" : `groups of ${group}`}`;
  const half = 2 ** (bits - 1);
  const zeros = () => (zero === undefined ? undefined : readZeros(zero, scale, bits, rows, groups));
  const rowBytes = 4 * weight.shape[1]!;
  if (bits === 8) {
    return eightBitMatrix({
      ...{ rows, columns, stored, storedBytes, block: [1, group] as const, scales },
      zeros: () => zeros()?.map((each) => each - half),
      read(from, to) {
        const out = new Uint8Array((to - from) * columns);
        const bytes = weight.read(from * rowBytes, to * rowBytes);
        for (let row = 0, at = 0; row < to - from; row++) {
          for (let i = 0; i < columns; i++) out[at++] = bytes[row * rowBytes + i]! ^ half;
        }
        return out;
      },
    });
  }
  checkPacked(weight.source, weight.name, weight.byteLength);
  // There by groups, here by rows.
  const turned = <T extends Float64Array | Int16Array>(values: T): T =>
    values.map((_, i) => values[(i % rows) * groups + Math.floor(i / rows)]!) as T;
  return fourBitMatrix({
    ...{ source: weight.source, rows, columns, group, stored, storedBytes },
    zeros: () => Uint8Array.from(turned(zeros() ?? new Int16Array(rows * groups).fill(half))),
    scales: () => turned(scales()),
    integers: () => (from, to) => {
      const out = new Uint8Array((to - from) * columns);
      const bytes = weight.read(from * rowBytes, to * rowBytes);
      for (let row = 0, at = 0; row < to - from; row++) {
        for (let i = 0; i < columns; i++) out[at++] = (bytes[row * rowBytes + (i >> 1)]! >> (4 * (i & 1))) & 15;
      }
      return out;
    },
  });
}

function checkShape(store: TensorStore, name: string, { rows, columns }: Size): void {
  const entry = packedEntry(store, name, ["I64", "I32"], [[2]]);
  const found = Array.from(entry.values() as ArrayLike<number | bigint>, Number);
  if (found[0] === rows && found[1] === columns) return;
  const message = `${entry.source}: tensor ${name} says [${found.join(", ")}], expected [${rows}, ${columns}]`;
  throw new GrokError("shape", message, { path: entry.source, tensor: name, found });
}

function findScale(store: TensorStore, base: string, { rows, columns }: Size): SafetensorsEntry {
  const name = `${base}.weight_scale`;
  const [, groups = 1] = store.entry(name).shape;
  const grouped = groups > 0 && columns % groups === 0 ? [[rows, groups]] : [];
  return packedEntry(store, name, ["F16", "BF16", "F32"], [...grouped, [rows], [1], []]);
}

/** What is stored has to be what one of the configuration's groups asks for: the shape of scales alone may mean several sizes of groups. */
function checkDeclared(
  store: TensorStore,
  base: string,
  settings: Config,
  found: { readonly bits: number; readonly group: number; readonly groups: number; readonly symmetric: boolean },
): void {
  const fits = groupsOf(settings).some((each) => {
    const weights = each.section("weights");
    if (weights === undefined || formatOf(settings, each) !== "pack-quantized") return false;
    const size = weights.get("group_size") ?? -1;
    const grouped = size === -1 ? found.groups === 1 : size === found.group;
    // In activation order columns of a group stand apart, as `weight_g_idx` then says.
    const ordered = weights.get("actorder") === "group" && found.groups > 1 && !store.has(`${base}.weight_g_idx`);
    const symmetric = weights.flag("symmetric", true);
    return grouped && !ordered && weights.get("num_bits") === found.bits && symmetric === found.symmetric;
  });
  if (fits) return;
  const is = `${found.bits}-bit, ${found.groups === 1 ? "by rows" : `in groups of ${found.group}`}, ${found.symmetric ? "symmetric" : "asymmetric"}`;
  throw settings.fail("unsupported", "config_groups", `has no group of what ${base}.weight_packed is: ${is}`);
}

/** Values of scales' shape as [rows, groups]. */
function perRow({ shape }: SafetensorsEntry, values: ArrayLike<number>, rows: number, groups: number): Float64Array {
  const isOne = shape.length === 0 || (shape.length === 1 && shape[0] === 1);
  return Float64Array.from({ length: rows * groups }, (_, i) => values[isOne ? 0 : i]!);
}

/** From 0 on, [rows, groups]. */
function readZeros(zero: SafetensorsEntry, scale: SafetensorsEntry, bits: number, rows: number, groups: number) {
  const half = 2 ** (bits - 1);
  if (zero.dtype === "I8") {
    return Int16Array.from(perRow(scale, zero.values() as ArrayLike<number>, rows, groups), (each) => each + half);
  }
  const words = wordsOf(zero);
  return Int16Array.from({ length: rows * groups }, (_, i) => {
    const place = Math.floor(i / groups) * bits;
    return (words[(place >> 5) * groups + (i % groups)]! >>> (place & 31)) & (2 ** bits - 1);
  });
}
