import type { DataFile } from "../../bytes/data-file.ts";
import { GrokError } from "../../errors.ts";
import { encodedBytes, type TensorType, tensorTypeOf, tensorTypes } from "../../tensor/types.ts";
import { type Cursor, formatError, need, openCursor, readName, readU32, readU64 } from "./cursor.ts";
import { describeForeign } from "./foreign.ts";
import { type GgufMetadata, maxNameBytes, readMetadata } from "./metadata.ts";

/** What stands before the data of one GGUF file. */
export interface GgufHeader {
  readonly version: 2 | 3;
  readonly alignment: number;
  readonly metadata: GgufMetadata;
  readonly tensors: readonly TensorEntry[];
}

/** A tensor's entry in a header. */
export interface TensorEntry {
  readonly name: string;
  /** The type's number in the file. */
  readonly ggml: number;
  /** Undefined for a number that `tensorTypes` does not know. */
  readonly type: TensorType | undefined;
  /** Row-major, outermost axis first: the file's dimensions reversed. */
  readonly shape: readonly number[];
  /** In bytes from the start of the file. */
  readonly offset: number;
}

/** Far above any file in use, low enough that the entries of a hostile file take little memory. */
const maxTensors = 100_000;
const maxKeys = 50_000;
/** GGML's own limit. */
const maxDimensions = 4;
const defaultAlignment = 32;

/**
 * Reads and checks a file's header, and nothing after it.
 *
 * @throws GrokError `format` when the bytes contradict the specification, `unsupported` for version 1, versions after 3,
 * and big-endian files, `io` when reading fails.
 */
export function readHeader(file: DataFile): GgufHeader {
  const cursor = openCursor(file);
  const version = readVersion(cursor);
  const tensorCount = readCount(cursor, "tensors", maxTensors);
  const keyCount = readCount(cursor, "metadata keys", maxKeys);
  const metadataOver = readMetadata(cursor, keyCount);
  const entries = readEntries(cursor, tensorCount);
  const end = cursor.at;

  // A copy of the header alone: the bytes read ahead of need go.
  const metadata = metadataOver(cursor.bytes.slice(0, end));
  const alignment = checkAlignment(file, metadata);
  const dataStart = Math.ceil(end / alignment) * alignment;
  const tensors = entries.map((entry) => ({ ...entry, offset: dataStart + entry.offset }));
  checkRanges(file, tensors, dataStart, alignment);
  return { version, alignment, metadata, tensors };
}

function readVersion(cursor: Cursor): 2 | 3 {
  const { path, size } = cursor.file;
  if (size < 4) throw formatError(path, 0, `not a GGUF file: it has only ${size} bytes`);
  need(cursor, 4, "the magic");
  const magic = Buffer.from(cursor.bytes.subarray(0, 4)).toString("latin1");
  if (magic !== "GGUF") {
    const found = describeForeign(cursor.bytes.subarray(0, Math.min(size, 40)));
    throw formatError(path, 0, `not a GGUF file: ${found}, expected "GGUF"`, { found: magic });
  }
  cursor.at = 4;
  const version = readU32(cursor, "the version");
  if (version === 2 || version === 3) return version;
  const unsupported = (what: string) =>
    new GrokError("unsupported", `${path}: ${what}; versions 2 and 3, little-endian, can be read`, { path, version });
  // The version is small, so its bytes tell the byte order: 3 read the wrong way round is 0x03000000.
  if (version !== 0 && (version & 0xffff) === 0) throw unsupported("a big-endian GGUF file");
  if (version === 0) throw formatError(path, 4, "GGUF version 0, expected 2 or 3", { version });
  throw unsupported(`GGUF version ${version}`);
}

function readCount(cursor: Cursor, what: string, limit: number): number {
  const at = cursor.at;
  const count = readU64(cursor, `the number of ${what}`);
  if (count > limit)
    throw formatError(cursor.file.path, at, `${count} ${what}, expected at most ${limit}`, { count, limit });
  return count;
}

function readEntries(cursor: Cursor, count: number): TensorEntry[] {
  const { path } = cursor.file;
  const names = new Set<string>();
  const entries: TensorEntry[] = [];
  for (let i = 0; i < count; i++) {
    const at = cursor.at;
    const name = readName(cursor, `the name of tensor ${i} of ${count}`, maxNameBytes);
    if (names.has(name)) throw formatError(path, at, `tensor ${name} is there twice`, { tensor: name });
    names.add(name);
    const dimensions = readU32(cursor, `tensor ${name}'s number of dimensions`);
    if (dimensions > maxDimensions) {
      throw formatError(path, at, `tensor ${name} has ${dimensions} dimensions, expected at most ${maxDimensions}`, {
        tensor: name,
        dimensions,
      });
    }
    const shape: number[] = [];
    let elements = 1;
    for (let d = 0; d < dimensions; d++) {
      const length = readU64(cursor, `tensor ${name}'s dimension ${d}`);
      elements *= length;
      if (Math.max(elements, length) > Number.MAX_SAFE_INTEGER) {
        throw formatError(path, at, `tensor ${name} has more than 2^53 elements`, { tensor: name });
      }
      shape.unshift(length);
    }
    const ggml = readU32(cursor, `tensor ${name}'s type`);
    const offset = readU64(cursor, `tensor ${name}'s offset`);
    entries.push({ name, ggml, type: tensorTypeOf(ggml), shape, offset });
  }
  return entries;
}

function checkAlignment(file: DataFile, metadata: GgufMetadata): number {
  const alignment = metadata.number("general.alignment", defaultAlignment);
  const powerOfTwo = Number.isInteger(Math.log2(alignment));
  // The specification asks for a multiple of 8, GGML for a power of two: what either takes can be read.
  if (!(Number.isInteger(alignment) && alignment >= 1 && alignment < 2 ** 32 && (powerOfTwo || alignment % 8 === 0))) {
    throw new GrokError(
      "format",
      `${file.path}: general.alignment is ${alignment}, expected a power of two or a multiple of 8`,
      {
        path: file.path,
        alignment,
      },
    );
  }
  return alignment;
}

function checkRanges(file: DataFile, tensors: readonly TensorEntry[], dataStart: number, alignment: number): void {
  const { path, size } = file;
  const fail = (tensor: TensorEntry, problem: string) =>
    new GrokError("format", `${path}: tensor ${tensor.name} ${problem}`, {
      path,
      tensor: tensor.name,
      offset: tensor.offset,
    });
  let before: TensorEntry | undefined;
  let beforeEnd = dataStart;
  // What has no elements begins where the next one does.
  const hasElements = ({ shape }: TensorEntry) => (shape.includes(0) ? 0 : 1);
  for (const tensor of [...tensors].sort((a, b) => a.offset - b.offset || hasElements(a) - hasElements(b))) {
    if ((tensor.offset - dataStart) % alignment !== 0) {
      throw fail(
        tensor,
        `begins ${tensor.offset - dataStart} bytes into the data, expected a multiple of ${alignment}`,
      );
    }
    // How long a tensor of an unknown type is cannot be known; that it begins inside the file can.
    const length = tensor.type === undefined ? 0 : byteLength(tensor, tensor.type, fail);
    if (tensor.offset + length > size) {
      throw fail(tensor, `takes bytes ${tensor.offset} to ${tensor.offset + length} of a file of ${size} bytes`);
    }
    if (tensor.offset < beforeEnd) throw fail(tensor, `begins at byte ${tensor.offset}, inside tensor ${before?.name}`);
    before = tensor;
    beforeEnd = tensor.offset + length;
  }
}

function byteLength(
  tensor: TensorEntry,
  type: TensorType,
  fail: (tensor: TensorEntry, problem: string) => GrokError,
): number {
  const row = tensor.shape.at(-1) ?? 1;
  const { blockSize } = tensorTypes[type];
  if (row % blockSize !== 0)
    throw fail(tensor, `has rows of ${row} elements of type ${type}, expected whole blocks of ${blockSize}`);
  return encodedBytes(
    type,
    tensor.shape.reduce((product, n) => product * n, 1),
  );
}

/** A tensor type's name for messages and lists, also of those types that were taken out of GGUF or that grok1 does not know. */
export function typeName(ggml: number): string {
  return tensorTypeOf(ggml) ?? otherTypes[ggml] ?? `type ${ggml}`;
}

const otherTypes: Readonly<Record<number, string>> = {
  4: "q4_2",
  5: "q4_3",
  31: "q4_0_4_4",
  32: "q4_0_4_8",
  33: "q4_0_8_8",
  36: "iq4_nl_4_4",
  37: "iq4_nl_4_8",
  38: "iq4_nl_8_8",
  41: "q1_0",
};
