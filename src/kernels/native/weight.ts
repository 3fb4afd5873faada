import type { Addon } from "../../addon.ts";
import type { AddonBackend } from "../../addon-backend.ts";
import type { DataFile } from "../../bytes/data-file.ts";
import { ioError } from "../../bytes/io-error.ts";
import { GrokError } from "../../errors.ts";
import { matrixPlaces, type Place, type Tensor } from "../../tensor/tensor.ts";
import { tensorTypes } from "../../tensor/types.ts";
import { checkAxes } from "../checks.ts";
import type { Weight, WeightOptions } from "../ops.ts";

/** A tensor bound to a native backend: one [rows, cols] matrix, or one for each expert. */
export interface NativeWeight extends Weight {
  readonly id: number;
  readonly native: AddonBackend;
  readonly matrices: number;
  readonly rows: number;
  readonly cols: number;
  /** Of the same shape, in memory: what is computed in the place of an expert that is not. */
  readonly standIn?: NativeWeight;
}

/** Files that have the bytes of another, on other drives. */
export type FileCopies = ReadonlyMap<DataFile, readonly DataFile[]>;

/** The bytes that weights of a backend lie in: files, each mapped or opened once, and copies of memory. */
export interface Sources {
  /** Source and offset in it of each place. `copies` are sources that the caller releases once a weight is bound. */
  locate(places: readonly Place[]): { readonly pairs: Float64Array; readonly copies: readonly number[] };
  /** The source that a file is. */
  of(file: DataFile): number;
}

/** `how` files become sources: mapped, or opened to be read past the page cache, from their copies too. */
export function createSources(native: AddonBackend, how: "map" | "open", copies?: FileCopies): Sources {
  const files = new Map<DataFile, number>();
  const of = (file: DataFile): number => {
    const known = files.get(file);
    if (known !== undefined) return known;
    const attempt = <T>({ path }: DataFile, act: () => T): T => {
      try {
        return act();
      } catch (error) {
        throw ioError(how, path, error);
      }
    };
    const source = attempt(file, () =>
      how === "map" ? native.map(file.descriptor()) : native.open(file.descriptor()),
    );
    for (const copy of copies?.get(file) ?? []) attempt(copy, () => native.addCopy(source, copy.descriptor()));
    files.set(file, source);
    return source;
  };
  return {
    of,
    locate(places) {
      // Experts may share memory.
      const copies = new Map<Uint8Array, number>();
      const copy = (memory: Uint8Array): number => {
        const known = copies.get(memory) ?? native.copy(memory);
        copies.set(memory, known);
        return known;
      };
      const pairs = places.flatMap((place) =>
        "memory" in place ? [copy(place.memory), 0] : [of(place.file), place.offset],
      );
      return { pairs: Float64Array.from(pairs), copies: [...copies.values()] };
    },
  };
}

/**
 * Binds a tensor where it lies: a file's bytes in place, those in memory in a copy.
 * @throws GrokError `unsupported` for a type without kernels, `shape` for no or more than 3 axes, `format` where rows do not fill
 * whole blocks.
 */
export function bindWeight(
  addon: Addon,
  native: AddonBackend,
  sources: Sources,
  tensor: Tensor,
  { fine = false }: WeightOptions = {},
): NativeWeight {
  const { name, type, shape, source } = tensor;
  const { ggml } = tensorTypes[type];
  checkAxes(`${source}: tensor ${name}`, shape, { source, tensor: name });
  if (!addon.canDecode(ggml) || (shape.length > 1 && !addon.canMultiply(ggml))) {
    throw new GrokError("unsupported", `${source}: tensor ${name} is of type ${type}, which has no native kernels`, {
      source,
      tensor: name,
      type,
    });
  }
  const rows = shape.length === 1 ? 1 : shape.at(-2)!;
  const cols = shape.at(-1)!;
  const places = matrixPlaces(tensor);
  const { pairs, copies } = sources.locate(places);
  try {
    const id = native.weight(ggml, rows, cols, fine ? 2 : 1, pairs);
    return { tensor, native, matrices: places.length, rows, cols, id };
  } finally {
    for (const copy of copies) native.release(copy);
  }
}

/** @throws GrokError `argument` for a weight that another backend bound. */
export function boundWeight(native: AddonBackend, weight: Weight): NativeWeight {
  if ((weight as NativeWeight).native !== native) {
    const { name } = weight.tensor;
    throw new GrokError("argument", `weight ${name} was not bound by this native backend`, { tensor: name });
  }
  return weight as NativeWeight;
}
