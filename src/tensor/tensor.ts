import type { DataFile } from "../bytes/data-file.ts";
import { GrokError } from "../errors.ts";
import { encodedBytes, type TensorType, tensorTypes } from "./types.ts";

/**
 * A named array of weights as it lies in a file (or in memory): typed, shaped, not decoded.
 *
 * `shape` is row-major, outermost axis first, so a GGUF tensor's dimensions appear reversed: a projection is
 * `[out, in]`, an expert stack `[experts, out, in]`, a norm `[width]`. The last axis is the contiguous one, the one that
 * quantization blocks run along.
 */
export interface Tensor {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  /** Where the bytes come from, for messages: a file's path, or "memory". */
  readonly source: string;
  /**
   * Where the encoded bytes lie: one place, or one for each entry of the outermost axis. Empty for what only a backend holds
   * (a parameter in training).
   */
  readonly places: readonly Place[];
}

/** Where bytes lie. */
export type Place = FilePlace | MemoryPlace;

export interface FilePlace {
  readonly file: DataFile;
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface MemoryPlace {
  readonly memory: Uint8Array;
}

/** Number of elements of a shape; exact up to 2^53. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Where entries `[start, end)` of the outermost axis lie, in order. @throws as {@link readTensor}. */
export function placesOf(tensor: Tensor, start: number, end: number): Place[] {
  const { name, type, shape, source, places } = tensor;
  const entries = shape[0] ?? 1;
  const refuse = (problem: string) =>
    new GrokError("argument", `${source}: tensor ${name}: ${problem}`, { tensor: name, start, end, entries });
  if (!(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= entries)) {
    throw refuse(`no entries [${start}, ${end}) along an axis of ${entries}`);
  }
  // Along a one-dimensional tensor the outermost axis is also the one that blocks run along.
  const step = shape.length <= 1 ? tensorTypes[type].blockSize : 1;
  if (start % step !== 0 || end % step !== 0) {
    throw refuse(`[${start}, ${end}) does not fall on blocks of ${step}`);
  }
  const entryBytes = entries === 0 ? 0 : encodedBytes(type, elementCount(shape)) / entries;
  const [from, to] = [start * entryBytes, end * entryBytes];
  const found: Place[] = [];
  let at = 0;
  for (const place of places) {
    const next = at + placeBytes(place);
    if (at < to && from < next) found.push(cut(place, Math.max(from, at) - at, Math.min(to, next) - at));
    at = next;
  }
  if (at < to) throw refuse(`its bytes up to ${to} are wanted and ${at} are there`);
  return found;
}

/** The encoded bytes of entries `[start, end)` of the outermost axis; not to be written to. @throws GrokError `argument` when the
 * range leaves the tensor or cuts a block, `io` when reading fails. */
export function readTensor(tensor: Tensor, start: number, end: number): Uint8Array {
  const places = placesOf(tensor, start, end);
  if (places.length === 1) return readPlace(places[0]!);
  const all = new Uint8Array(places.reduce((sum, place) => sum + placeBytes(place), 0));
  let at = 0;
  for (const place of places) {
    all.set(readPlace(place), at);
    at += placeBytes(place);
  }
  return all;
}

/** Where each matrix lies that the last two axes span: of a stack one for each entry, otherwise one. */
export function matrixPlaces(tensor: Tensor): Place[] {
  const { shape } = tensor;
  if (shape.length < 3) return placesOf(tensor, 0, shape[0] ?? 1);
  return Array.from({ length: shape[0]! }, (_, matrix) => placesOf(tensor, matrix, matrix + 1)).flat();
}

/** Bytes `[start, end)` of a place, all unless said: a copy of a file's, a view of memory. */
export function readPlace(place: Place, start = 0, end = placeBytes(place)): Uint8Array {
  if ("memory" in place) return place.memory.subarray(start, end);
  return place.file.read(place.offset + start, end - start);
}

export function placeBytes(place: Place): number {
  return "memory" in place ? place.memory.length : place.bytes;
}

function cut(place: Place, start: number, end: number): Place {
  if (end - start === placeBytes(place)) return place;
  if ("memory" in place) return { memory: place.memory.subarray(start, end) };
  return { file: place.file, offset: place.offset + start, bytes: end - start };
}
