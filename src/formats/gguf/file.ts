import { basename, dirname, join } from "node:path";
import { type DataFile, openDataFile } from "../../bytes/data-file.ts";
import { counted, GrokError } from "../../errors.ts";
import type { Place } from "../../tensor/tensor.ts";
import { type FileTensor, fileTensor } from "../file-tensor.ts";
import { refuseFolder } from "./foreign.ts";
import { type GgufHeader, readHeader, typeName } from "./header.ts";
import type { GgufMetadata } from "./metadata.ts";

export interface GgufTensor extends FileTensor {
  /** The type's number in the file. */
  readonly ggml: number;
}

/** A tensor of a type that is not in `tensorTypes`: it can be listed and copied, not read. */
export interface OpaqueTensor {
  readonly name: string;
  readonly ggml: number;
  /** The type's name, or `type N`. */
  readonly typeName: string;
  readonly shape: readonly number[];
  readonly source: string;
  readonly offset: number;
  /** Bytes up to the next tensor or the end of the file, padding with them; 0 where another tensor begins at the same place. */
  readonly byteLength: number;
  readonly places: readonly Place[];
}

/** An open GGUF model: one file, or all files of a split one. */
export interface GgufFile {
  /** The path that was asked for. */
  readonly path: string;
  /** All files, in the order of the split. */
  readonly paths: readonly string[];
  /** Bytes of all files. */
  readonly size: number;
  readonly version: 2 | 3;
  readonly alignment: number;
  /** The first file's metadata. */
  readonly metadata: GgufMetadata;
  /** In the files' order, without those of unknown type. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Tensors of unknown type. */
  readonly opaque: ReadonlyMap<string, OpaqueTensor>;
  /** @throws GrokError `shape` when there is no such tensor, `unsupported` when its type is unknown. */
  tensor(name: string): GgufTensor;
  /** Gives back the files; what has mapped them goes on, reading more is an error. */
  close(): void;
}

/**
 * Opens a GGUF file of version 2 or 3. Of a split model any one file opens all, which lie beside it and are named
 * `NAME-00001-of-00003.gguf`. Only the header is read; tensors are places in the files.
 *
 * @param open gives the file of a path, where files are not the system's.
 * @throws GrokError `io` (missing, unreadable), `format` (damaged: the message names file and place), `unsupported` (version 1, big-endian).
 */
export function openGguf(path: string, open: (path: string) => DataFile = openDataFile): GgufFile {
  refuseFolder(path);
  const files: DataFile[] = [];
  const openOne = (name: string): Shard => {
    const file = open(name);
    files.push(file);
    return { file, header: readHeader(file) };
  };
  const close = () => {
    for (const file of files) file.close();
  };
  try {
    return assemble(path, openShards(path, openOne), close);
  } catch (error) {
    close();
    throw error;
  }
}

interface Shard {
  readonly file: DataFile;
  readonly header: GgufHeader;
}

function openShards(path: string, openOne: (path: string) => Shard): Shard[] {
  const asked = openOne(path);
  const count = shardNumber(asked, "split.count", 1);
  if (count <= 1) return [asked];

  const index = shardNumber(asked, "split.no", 0);
  const nameOf = shardNames(path, index, count);
  const openOther = (name: string, i: number): Shard => {
    try {
      return openOne(name);
    } catch (error) {
      if (!(error instanceof GrokError) || error.code !== "io") throw error;
      const message = `${error.message}: ${path} is part ${index + 1} of ${count}, and this is part ${i + 1}: all must lie beside each other`;
      throw new GrokError("io", message, error.details, error);
    }
  };
  const shards: Shard[] = [];
  for (let i = 0; i < count; i++) {
    const shard = i === index ? asked : openOther(nameOf(i), i);
    shards.push(shard);
    const found = [shardNumber(shard, "split.no", 0), shardNumber(shard, "split.count", 1)];
    if (found[0] !== i || found[1] !== count) {
      const message = `${shard.file.path}: says it is part ${found[0]} of ${found[1]} (counted from 0), expected ${i} of ${count}`;
      throw new GrokError("format", message, { path: shard.file.path, part: found[0]!, parts: found[1]! });
    }
  }
  return shards;
}

function shardNumber({ file, header }: Shard, key: string, fallback: number): number {
  const value = header.metadata.number(key, fallback);
  // The names have five digits.
  if (Number.isInteger(value) && value >= 0 && value <= 99_999) return value;
  throw new GrokError("format", `${file.path}: ${key} is ${value}, expected a whole number up to 99999`, {
    path: file.path,
    key,
    value,
  });
}

/** Paths of a split model's files, from the path of one and its place (from 0) among `count`. */
function shardNames(path: string, index: number, count: number): (index: number) => string {
  const five = (n: number) => String(n).padStart(5, "0");
  const ending = (i: number) => `-${five(i + 1)}-of-${five(count)}.gguf`;
  const name = basename(path);
  if (index >= count || !name.endsWith(ending(index))) {
    const expected = ending(index);
    const message = `${path}: is part ${index + 1} of a model split into ${count}, and its name does not end with ${expected}, so the others cannot be found`;
    throw new GrokError("format", message, { path, expected });
  }
  const stem = name.slice(0, -ending(index).length);
  return (i) => join(dirname(path), stem + ending(i));
}

function assemble(path: string, shards: readonly Shard[], close: () => void): GgufFile {
  const tensors = new Map<string, GgufTensor>();
  const opaque = new Map<string, OpaqueTensor>();
  for (const { file, header } of shards) {
    const ends = [...header.tensors.map(({ offset }) => offset), file.size].sort((a, b) => a - b);
    for (const { name, ggml, type, shape, offset } of header.tensors) {
      const other = tensors.get(name) ?? opaque.get(name);
      if (other) {
        const message = `${file.path}: tensor ${name} is also in ${other.source}`;
        throw new GrokError("format", message, { path: file.path, tensor: name });
      }
      if (type) tensors.set(name, { ...fileTensor(file, name, type, shape, offset), ggml });
      else {
        // Of two that begin at the same place nobody knows which one has the bytes.
        const bytes = ends[ends.indexOf(offset) + 1]! - offset;
        const place = { offset, byteLength: bytes, places: [{ file, offset, bytes }] };
        opaque.set(name, { name, ggml, typeName: typeName(ggml), shape, source: file.path, ...place });
      }
    }
  }
  const { version, alignment, metadata } = shards[0]!.header;
  const found = tensors.size + opaque.size;
  const expected = metadata.number("split.tensors.count", found);
  if (found !== expected) {
    const message = `${path}: ${counted(found, "tensor")} in ${counted(shards.length, "file")}, expected ${expected} (split.tensors.count)`;
    throw new GrokError("format", message, { path, found, expected });
  }

  return {
    path,
    paths: shards.map(({ file }) => file.path),
    size: shards.reduce((sum, { file }) => sum + file.size, 0),
    version,
    alignment,
    metadata,
    tensors,
    opaque,
    tensor(name) {
      const tensor = tensors.get(name);
      if (tensor) return tensor;
      const unknown = opaque.get(name);
      if (!unknown) throw new GrokError("shape", `${path}: tensor ${name} is missing`, { path, tensor: name });
      const message = `${unknown.source}: tensor ${name} is of ${unknown.typeName} (${unknown.ggml}), which cannot be used`;
      throw new GrokError("unsupported", message, { path: unknown.source, tensor: name, type: unknown.typeName });
    },
    close,
  };
}
