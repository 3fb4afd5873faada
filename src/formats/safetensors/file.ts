import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { type DataFile, openDataFile } from "../../bytes/data-file.ts";
import { GrokError } from "../../errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fileTensor } from "../file-tensor.ts";
import { type Dtype, decodeValues, dtypes, type Values } from "./dtypes.ts";
import { maxHeaderBytes, readHeader } from "./header.ts";
import { createJsonReader } from "./json.ts";

/** One tensor of a safetensors file. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: Dtype;
  /** Row-major, outermost axis first; empty for a single number; axes may be 0. */
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** The file that holds it, and where in it. */
  readonly source: string;
  readonly offset: number;
  /** A copy of all its bytes, not decoded. @throws GrokError `capacity` for more than one ArrayBuffer holds. */
  bytes(): Uint8Array<ArrayBuffer>;
  /** A copy of its bytes [start, end). */
  read(start: number, end: number): Uint8Array<ArrayBuffer>;
  /** All its elements, decoded. @throws GrokError `unsupported` for 4-, 6- and 8-bit floats and complex numbers. */
  values(): Values;
  /** As a tensor. @throws GrokError `unsupported` when no tensor type is the same as its dtype. */
  tensor(): Tensor;
}

export interface SafetensorsFile {
  readonly path: string;
  /** All files that tensors are taken from. */
  readonly paths: readonly string[];
  /** Bytes of all files. */
  readonly size: number;
  /** `__metadata__` of the file; of a sharded model, that of all its files, where a later one wins. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  /** @throws GrokError `shape` when there is none of that name. */
  entry(name: string): SafetensorsEntry;
  close(): void;
}

/**
 * Opens a `.safetensors` file, or a sharded model by its `.safetensors.index.json`. Only headers are read.
 *
 * @throws GrokError `io` (missing, unreadable), `format` (damaged: the message names file and place).
 */
export function openSafetensors(path: string): SafetensorsFile {
  const files: DataFile[] = [];
  const close = () => {
    for (const file of files) file.close();
  };
  const metadata = new Map<string, string>();
  const entries = new Map<string, SafetensorsEntry>();
  const readOne = (name: string, wanted?: ReadonlySet<string>) => {
    const file = openDataFile(name);
    files.push(file);
    const header = readHeader(file);
    for (const [key, value] of header.metadata) metadata.set(key, value);
    for (const found of header.entries) {
      if (!wanted || wanted.has(found.name)) entries.set(found.name, openEntry(file, found));
    }
    for (const tensor of wanted ?? []) {
      if (!entries.has(tensor)) {
        throw new GrokError("format", `${path}: tensor ${tensor} is not in ${name}, where the index looks for it`, {
          path,
          tensor,
          file: name,
        });
      }
    }
  };
  try {
    if (path.endsWith(".json")) {
      const shards = readIndex(path);
      refuseMissing(path, [...shards.keys()]);
      for (const [name, wanted] of shards) readOne(join(dirname(path), name), wanted);
    } else {
      readOne(path);
    }
  } catch (error) {
    close();
    throw error;
  }
  return {
    path,
    paths: files.map((file) => file.path),
    size: files.reduce((sum, file) => sum + file.size, 0),
    metadata,
    entries,
    entry(name) {
      const entry = entries.get(name);
      if (!entry) throw new GrokError("shape", `${path}: tensor ${name} is missing`, { path, tensor: name });
      return entry;
    },
    close,
  };
}

/** All that a download left out are told at once. */
export function refuseMissing(path: string, names: readonly string[]): void {
  const missing = names.filter((name) => !existsSync(join(dirname(path), name)));
  if (missing.length === 0) return;
  const first = missing.slice(0, 5).join(", ");
  throw new GrokError(
    "io",
    `${path}: ${missing.length} of ${names.length} files are missing: ${first}${missing.length > 5 ? ", ..." : ""}`,
    { path, missing },
  );
}

interface Found {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly byteLength: number;
}

function openEntry(file: DataFile, found: Found): SafetensorsEntry {
  const { name, dtype, shape, offset, byteLength } = found;
  const bytes = () => file.read(offset, byteLength);
  const unsupported = (cause?: unknown) =>
    new GrokError(
      "unsupported",
      `${file.path}: tensor ${name} is of dtype ${dtype}, which cannot be used`,
      { tensor: name, dtype },
      cause,
    );
  return {
    ...found,
    source: file.path,
    bytes,
    read(start, end) {
      if (0 <= start && start <= end && end <= byteLength) return file.read(offset + start, end - start);
      throw new GrokError("argument", `${file.path}: tensor ${name}: no bytes [${start}, ${end}) in ${byteLength}`, {
        ...{ tensor: name, start, end },
      });
    },
    values() {
      try {
        return decodeValues(dtype, bytes().buffer);
      } catch (error) {
        throw error instanceof GrokError && error.code === "unsupported" ? unsupported(error) : error;
      }
    },
    tensor() {
      const { type } = dtypes[dtype];
      if (!type) throw unsupported();
      return fileTensor(file, name, type, shape, offset);
    },
  };
}

/** Each file that an index names, with the tensors to be taken from it. */
function readIndex(path: string): Map<string, Set<string>> {
  const file = openDataFile(path);
  try {
    if (file.size > maxHeaderBytes)
      throw new GrokError("format", `${path}: an index of ${file.size} bytes, expected at most ${maxHeaderBytes}`, {
        path,
      });
    const json = createJsonReader(path, file.read(0, file.size), 0);
    const shards = new Map<string, Set<string>>();
    let found = false;
    json.object("the index", (key, at) => {
      if (key !== "weight_map") {
        json.skip();
        return;
      }
      found = true;
      json.object("weight_map", (tensor) => {
        const name = json.string(`the file of tensor ${tensor}`);
        // A plain name beside the index: a hostile index must not reach other folders.
        if (!/^[^/\\:\0]+$/.test(name) || name === "." || name === "..") {
          throw json.fail(
            `the file of tensor ${tensor} is ${JSON.stringify(name)}, expected a name without a folder`,
            at,
          );
        }
        const tensors = shards.get(name);
        if (tensors) tensors.add(tensor);
        else shards.set(name, new Set([tensor]));
      });
    });
    json.end();
    if (!found) throw new GrokError("format", `${path}: an index without weight_map`, { path });
    return shards;
  } finally {
    file.close();
  }
}
