/**
 * A checkpoint in the layout of xAI's release of Grok-1 (xai-org/grok-1, checkpoint.py): a folder of files `tensorNNNNN_000`, each the pickle
 * of one tensor. The number is the tensor's place in JAX's flattening of the parameters, a dictionary whose keys sort as texts.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type DataFile, openDataFile } from "../../bytes/data-file.ts";
import { ioError } from "../../bytes/io-error.ts";
import { counted, GrokError } from "../../errors.ts";
import { readPickle } from "./pickle.ts";
import type { PickledArray } from "./pickle-values.ts";

export interface XaiTensor {
  /** Its place in haiku's dictionary: module and parameter, such as `transformer/decoder_layer_0/moe/linear:w`. */
  readonly name: string;
  readonly path: string;
  /** The number of its layer; absent outside of layers. */
  readonly layer?: number;
  /** The file is open while it is read, not longer: a process may have fewer open files than a checkpoint has. */
  open(): DataFile;
  readonly weight: PickledArray;
  /** [..., G, N] beside a weight of [..., K, N]: group g scales rows g K/G to (g+1) K/G. Absent where the weight is what it is. */
  readonly scales?: PickledArray;
}

/** Outside of layers; they come first. */
export const outerTensors = ["language_model/in_out_embed:embeddings", "language_model/rms_norm:scale"] as const;

/** Of a layer, in their order. */
export const layerTensors = [
  ...["moe/linear:w", "moe/linear_1:w", "moe/linear_v:w"],
  ...["multi_head_attention/key:w", "multi_head_attention/linear:w"],
  ...["multi_head_attention/query:w", "multi_head_attention/value:w"],
  ...["rms_norm:scale", "rms_norm_1:scale", "rms_norm_2:scale", "rms_norm_3:scale", "router:w"],
] as const;

/** The place of a tensor in the flattened parameters. */
interface TensorPlace {
  readonly name: string;
  readonly layer?: number;
}

/** What each of a checkpoint's files holds, in the order of their numbers. */
export function tensorOrder(layers: number): TensorPlace[] {
  const numbers = Array.from({ length: layers }, (_, layer) => String(layer)).sort();
  return [
    ...outerTensors.map((name) => ({ name })),
    ...numbers.flatMap((layer) =>
      layerTensors.map((name) => ({ name: `transformer/decoder_layer_${layer}/${name}`, layer: Number(layer) })),
    ),
  ];
}

const fileName = /^tensor(\d{5})_(\d{3})$/;

/** Whether a folder's names are those of a checkpoint. */
export function isCheckpoint(names: readonly string[]): boolean {
  return names.some((name) => fileName.test(name));
}

/**
 * All tensors of a checkpoint, in the order of the files. Reads their descriptions, not their elements.
 * @throws GrokError `io`; `format` for files that are missing, too many or damaged; `unsupported` for parts of several hosts, and for
 * pickles that are no tensor's.
 */
export function openCheckpoint(folder: string): XaiTensor[] {
  const paths = listFiles(folder);
  const layers = (paths.length - outerTensors.length) / layerTensors.length;
  if (!(Number.isInteger(layers) && layers > 0)) {
    throw new GrokError(
      "format",
      `${folder}: ${counted(paths.length, "tensor file")}, expected ${outerTensors.length} and ${layerTensors.length} for each layer`,
      { path: folder, files: paths.length },
    );
  }
  return tensorOrder(layers).map((place, i) => openTensor(place, paths[i]!));
}

function listFiles(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => fileName.test(name));
  } catch (error) {
    throw ioError("read the folder", folder, error);
  }
  const parts = names.map((name) => fileName.exec(name)!).sort((a, b) => Number(a[1]) - Number(b[1]));
  if (parts.length === 0) throw new GrokError("format", `${folder}: no files tensorNNNNN_000`, { path: folder });
  const other = parts.find(([, , host]) => host !== "000");
  if (other !== undefined) {
    throw new GrokError(
      "unsupported",
      `${folder}: ${other[0]} is a part of another host, expected whole tensors (_000)`,
      {
        path: folder,
        file: other[0],
      },
    );
  }
  const missing = parts.findIndex(([, number], i) => Number(number) !== i);
  if (missing >= 0) {
    const name = `tensor${String(missing).padStart(5, "0")}_000`;
    throw new GrokError("format", `${folder}: ${name} is missing`, { path: folder, file: name });
  }
  return parts.map(([name]) => join(folder, name));
}

function openTensor({ name, layer }: TensorPlace, path: string): XaiTensor {
  const open = () => openDataFile(path);
  const file = open();
  try {
    const value = readPickle(file);
    const where = { name, path, open, ...(layer === undefined ? {} : { layer }) };
    if (value.kind === "array" && value.built !== undefined) {
      if (value.built.type === "i1") throw refuse(path, name, "is int8 without scales");
      return { ...where, weight: value.built };
    }
    if (value.kind === "quantized" && value.built !== undefined) {
      const { weight, scales } = value.built;
      checkScales(path, name, weight, scales);
      return { ...where, weight, scales };
    }
    throw refuse(path, name, `is a value of kind ${value.kind}, expected an array or a quantized weight`);
  } finally {
    file.close();
  }
}

/** Weights [..., K, N] have scales [..., G, N], G dividing K. */
function checkScales(path: string, name: string, weight: PickledArray, scales: PickledArray): void {
  const [K, G] = [weight.shape.at(-2) ?? 0, scales.shape.at(-2) ?? 0];
  const same = weight.shape.every((length, axis) => axis === weight.shape.length - 2 || scales.shape[axis] === length);
  const fits = weight.shape.length >= 2 && weight.shape.length === scales.shape.length && same;
  if (scales.type === "i1") throw refuse(path, name, "has scales of int8");
  if (fits && G > 0 && K % G === 0) return;
  throw refuse(
    path,
    name,
    `has scales of [${scales.shape.join(", ")}] beside a weight of [${weight.shape.join(", ")}], expected [..., G, N] beside [..., K, N], G dividing K`,
  );
}

function refuse(path: string, name: string, problem: string): GrokError {
  return new GrokError("format", `${path}: ${name} ${problem}`, { path, tensor: name });
}

/** Bytes of a tensor's file. */
export function fileBytes({ path }: Pick<XaiTensor, "path">): number {
  return statSync(path).size;
}
