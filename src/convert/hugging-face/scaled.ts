/**
 * Matrices of 8-bit numbers with scales beside them: int8 as LLM.int8() (bitsandbytes) and compressed-tensors store it, and 8-bit
 * floating-point numbers. value = number * scale; a scale is of a row, of all of the matrix, or of a block of so many rows and columns, as
 * DeepSeek's layout has them ([128, 128], `weight_scale_inv`, which is multiplied by all the same). Blocks at the lower and right edge may be cut.
 */
import { GrokError, shown } from "../../errors.ts";
import type { SafetensorsEntry } from "../../formats/safetensors/file.ts";
import { encodeRow } from "../../tensor/decode.ts";
import { toF16 } from "../../tensor/f16.ts";
import type { TensorType } from "../../tensor/types.ts";
import type { Config } from "./config.ts";
import { isNearHalf, type StoredMatrix } from "./matrix.ts";
import { groupsOf, packedEntry, type Size } from "./packed.ts";
import type { TensorStore } from "./store.ts";

/** A matrix of 8-bit numbers; undefined where `base`.weight is something else. */
export function scaledMatrix(
  store: TensorStore,
  base: string,
  { rows, columns }: Size,
  settings: Config | undefined,
): StoredMatrix | undefined {
  if (!store.has(`${base}.weight`)) return undefined;
  const { dtype } = store.parts(`${base}.weight`)[0]!;
  const numbers = floatsOf(dtype);
  if (dtype !== "I8" && numbers === undefined) return undefined;
  const weight = store.entry(`${base}.weight`);
  packedEntry(store, weight.name, [weight.dtype], [[rows, columns]]);
  const blocks = settings === undefined ? [] : readBlocks(settings, { rows, columns });
  const { entry, divisor } = findScale(store, base, rows, weight, blocks);
  const zero = findZeros(store, `${base}.weight_zero_point`, entry, numbers === undefined);
  if (store.has(`${base}.weight_format`)) store.entry(`${base}.weight_format`);
  return eightBitMatrix({
    ...{ rows, columns, stored: numbers === undefined ? "int8 with scales" : `${weight.dtype} with scales`, numbers },
    storedBytes: weight.byteLength + entry.byteLength + (zero?.byteLength ?? 0),
    block: blockOf(entry, { rows, columns }, blocks),
    scales: () => Float64Array.from(entry.values() as ArrayLike<number>, (scale) => scale / divisor),
    zeros: () => zero && Int16Array.from(zero.values() as ArrayLike<number>),
    read: (from, to) => weight.read(from * columns, to * columns),
  });
}

export interface EightBits {
  readonly rows: number;
  readonly columns: number;
  readonly stored: string;
  readonly storedBytes: number;
  /** Rows and columns that share a scale. */
  readonly block: Block;
  /** What each byte stands for. Absent: it is an int8. */
  readonly numbers?: Float64Array | undefined;
  /** Of blocks, row-major. */
  scales(): Float64Array;
  /** Of int8, of the same blocks. */
  zeros(): Int16Array | undefined;
  /** Bytes of rows [from, to), row-major. */
  read(from: number, to: number): Uint8Array;
}

/** value = scale * (number - zero). */
export function eightBitMatrix(bits: EightBits): StoredMatrix {
  const { rows, columns, stored, storedBytes, numbers, read } = bits;
  const [high, wide] = bits.block;
  const across = Math.ceil(columns / wide);
  const ownZeros = () => {
    const zeros = bits.zeros();
    return zeros?.some((zero) => zero !== 0) ? zeros : undefined;
  };
  let types: readonly TensorType[] | undefined;
  const typesOf = (): readonly TensorType[] => {
    // Scales are of any digits. The numbers have 3 or 4 of two's: what bfloat16's 8 lose of the products is a small part of their own error.
    if (numbers !== undefined) return ["bf16", "f32"];
    const scales = bits.scales();
    // Of integers from -255 to 255 float16's 11 digits lose as little as of their scales.
    if (ownZeros() !== undefined)
      return scales.every((each) => isNearHalf(each) && isNearHalf(255 * each)) ? ["f16", "f32"] : ["f32"];
    if (columns % 32 !== 0 || (across > 1 && wide % 32 !== 0)) return ["f32"];
    return scales.every(isNearHalf) ? ["q8_0", "f32"] : ["f32"];
  };
  return {
    ...{ rows, columns, stored, storedBytes },
    exact() {
      types ??= typesOf();
      return types;
    },
    open() {
      const [scales, zeros] = [bits.scales(), ownZeros()];
      const blockAt = (row: number, column: number) => Math.floor(row / high) * across + Math.floor(column / wide);
      const decode = (from: number, to: number) => {
        const bytes = read(from, to);
        const integers = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
        const values = new Float32Array(bytes.length);
        for (let i = 0; i < values.length; i++) {
          const at = blockAt(from + Math.floor(i / columns), i % columns);
          const number = numbers === undefined ? integers[i]! : numbers[bytes[i]!]!;
          values[i] = (number - (zeros?.[at] ?? 0)) * scales[at]!;
        }
        return values;
      };
      return {
        decode,
        encode(type, from, to) {
          if (type !== "q8_0") return encodeRow(type, decode(from, to));
          const bytes = read(from, to);
          const out = new Uint8Array((bytes.length / 32) * 34);
          for (let start = 0, at = 0; start < bytes.length; start += 32, at += 34) {
            const scale = toF16(scales[blockAt(from + Math.floor(start / columns), start % columns)]!);
            out[at] = scale & 255;
            out[at + 1] = scale >> 8;
            out.set(bytes.subarray(start, start + 32), at + 2);
          }
          return out;
        },
      };
    },
  };
}

type Block = readonly [rows: number, columns: number];

/** How much of a matrix a scale may be of, where a configuration says so: as `fp8` does, or compressed-tensors for each group of matrices. */
function readBlocks(settings: Config, { columns }: Size): Block[] {
  const given = settings.get("weight_block_size");
  if (given !== undefined) return [sizesOf(settings, "weight_block_size", given)];
  return groupsOf(settings).flatMap((group): Block[] => {
    const weights = group.section("weights");
    const block = weights?.get("block_structure");
    if (block !== undefined) return [sizesOf(weights!, "block_structure", block)];
    const size = weights?.get("strategy") === "group" ? weights.get("group_size") : undefined;
    return Number.isSafeInteger(size) && columns % (size as number) === 0 ? [[1, size as number]] : [];
  });
}

function sizesOf(settings: Config, key: string, given: unknown): Block {
  const sizes = Array.isArray(given) ? given : String(given).split("x").map(Number);
  if (sizes.length === 2 && sizes.every((size) => Number.isSafeInteger(size) && size > 0)) return [sizes[0], sizes[1]];
  throw settings.fail("format", key, `is ${shown(given)}, expected two whole numbers`);
}

const blocksOf = ({ rows, columns }: Size, [high, wide]: Block) => [Math.ceil(rows / high), Math.ceil(columns / wide)];

/** Of which rows and columns a scale is, by the shape of all of them. */
function blockOf({ shape }: SafetensorsEntry, size: Size, blocks: readonly Block[]): Block {
  const isOf = (counts: readonly number[]) => shape.length === 2 && shape.every((n, axis) => n === counts[axis]);
  const found = blocks.find((block) => isOf(blocksOf(size, block)));
  return found ?? [shape.length > 0 && shape[0] === size.rows ? 1 : size.rows, size.columns];
}

function findScale(store: TensorStore, base: string, rows: number, weight: SafetensorsEntry, blocks: readonly Block[]) {
  const floats = ["F32", "F16", "BF16"] as const;
  const [, columns = 0] = weight.shape;
  const shapes = [[rows, 1], [rows], [1], [1, 1], [], ...blocks.map((block) => blocksOf({ rows, columns }, block))];
  // LLM.int8() keeps the largest magnitude of each row, which 127 stands for.
  if (store.has(`${base}.SCB`)) return { entry: packedEntry(store, `${base}.SCB`, floats, [[rows]]), divisor: 127 };
  for (const name of [`${base}.weight_scale`, `${base}.weight_scale_inv`]) {
    if (store.has(name)) return { entry: packedEntry(store, name, floats, shapes), divisor: 1 };
  }
  throw new GrokError(
    "shape",
    `${weight.source}: tensor ${base}.weight is of ${weight.dtype}, and ${base}.weight_scale is missing`,
    {
      ...{ path: weight.source, tensor: `${base}.weight_scale` },
    },
  );
}

/** Zero points of int8 are of its own kind and of its scales' blocks; floating-point numbers have none but 0. */
function findZeros(store: TensorStore, name: string, scale: SafetensorsEntry, integers: boolean) {
  if (!store.has(name)) return undefined;
  if (integers) return packedEntry(store, name, ["I8"], [scale.shape]);
  const entry = store.entry(name);
  if (Array.from(entry.values() as ArrayLike<number>).every((zero) => zero === 0)) return undefined;
  throw new GrokError("unsupported", `${entry.source}: tensor ${name} has other zero points than 0`, {
    ...{ path: entry.source, tensor: name },
  });
}

/** Values of all bytes of an 8-bit format; undefined for others. E4M3 has no infinity: the OCP's specification (2023). */
function floatsOf(dtype: string): Float64Array | undefined {
  const format = ({ F8_E4M3: [3, 7], F8_E5M2: [2, 15] } as Record<string, [number, number]>)[dtype];
  if (format === undefined) return undefined;
  const [digits, bias] = format;
  return Float64Array.from({ length: 256 }, (_, byte) => {
    const [fraction, exponent] = [byte & (2 ** digits - 1), (byte & 127) >> digits];
    const sign = byte > 127 ? -1 : 1;
    const top = exponent === 2 ** (7 - digits) - 1;
    if (top && digits === 2) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    if (top && fraction === 7) return Number.NaN;
    return exponent === 0
      ? sign * fraction * 2 ** (1 - bias - digits)
      : sign * (1 + fraction / 2 ** digits) * 2 ** (exponent - bias);
  });
}
