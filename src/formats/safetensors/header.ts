import type { DataFile } from "../../bytes/data-file.ts";
import { GrokError } from "../../errors.ts";
import { type Dtype, dtypes, isDtype } from "./dtypes.ts";
import { createJsonReader, type JsonReader } from "./json.ts";

/** What one safetensors file says about its data. */
export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  readonly entries: readonly HeaderEntry[];
}

export interface HeaderEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** The reference implementation's limit. */
export const maxHeaderBytes = 100_000_000;
/** Far above any file in use, low enough that the entries of a hostile file take little memory. */
const maxEntries = 100_000;
const maxAxes = 64;

/**
 * Reads and checks a file's header: the length and the JSON text in it, dtypes, shapes, and that the tensors' ranges
 * cover the rest of the file without hole or overlap, as the specification asks.
 *
 * @throws GrokError `format`, naming file, place and what was expected; `io` when reading fails.
 */
export function readHeader(file: DataFile): SafetensorsHeader {
  const { path, size } = file;
  const fail = (at: number, problem: string) =>
    new GrokError("format", `${path}: at byte ${at}: ${problem}`, { path, offset: at });
  if (size < 8) throw fail(0, `not a safetensors file: it has only ${size} bytes`);
  const length = Number(new DataView(file.read(0, 8).buffer).getBigUint64(0, true));
  if (length > maxHeaderBytes)
    throw fail(
      0,
      `the header's length is ${length}, expected at most ${maxHeaderBytes}: not a safetensors file, or a damaged one`,
    );
  if (8 + length > size) throw fail(0, `the header's length is ${length}, and the file has ${size - 8} more bytes`);

  const text = file.read(8, length);
  if (text[0] !== 0x7b) throw fail(8, 'the header does not begin with "{"');
  const dataStart = 8 + length;
  const header = parseHeader(createJsonReader(path, text, 8), dataStart);
  checkRanges(path, header.entries, dataStart, size);
  return header;
}

function parseHeader(json: JsonReader, dataStart: number): SafetensorsHeader {
  const metadata = new Map<string, string>();
  const entries: HeaderEntry[] = [];
  json.object("the header", (name, at) => {
    if (name === "__metadata__") {
      json.object("__metadata__", (key) => {
        if (metadata.size === maxEntries) throw json.fail(`more than ${maxEntries} keys in __metadata__`, at);
        metadata.set(key, json.string(`__metadata__'s ${key}`));
      });
    } else {
      if (entries.length === maxEntries) throw json.fail(`more than ${maxEntries} tensors`, at);
      entries.push(parseEntry(json, name, at, dataStart));
    }
  });
  json.end();
  return { metadata, entries };
}

function parseEntry(json: JsonReader, name: string, at: number, dataStart: number): HeaderEntry {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let range: number[] | undefined;
  const counts = (what: string, limit: number): number[] => {
    const values: number[] = [];
    json.array(what, () => {
      if (values.length === limit) throw json.fail(`${what} has more than ${limit} numbers`);
      values.push(json.count(what));
    });
    return values;
  };
  json.object(`tensor ${name}`, (key) => {
    if (key === "dtype") dtype = json.string(`tensor ${name}'s dtype`);
    else if (key === "shape") shape = counts(`tensor ${name}'s shape`, maxAxes);
    else if (key === "data_offsets") range = counts(`tensor ${name}'s data_offsets`, 2);
    else json.skip();
  });
  const fail = (problem: string) => json.fail(`tensor ${name} ${problem}`, at);
  if (dtype === undefined || !shape || range?.length !== 2) throw fail("lacks a dtype, a shape, or two data_offsets");
  if (!isDtype(dtype)) throw fail(`has the unknown dtype ${JSON.stringify(dtype.slice(0, 40))}`);

  const [start, end] = range as [number, number];
  // Any factor may be 0, so the product is checked at each step, not only at the end.
  let elements = 1;
  for (const axis of shape) {
    elements *= axis;
    if (elements * 64 > Number.MAX_SAFE_INTEGER) throw fail("has more elements than can be counted");
  }
  const bits = elements * dtypes[dtype].bits;
  if (end < start || bits !== (end - start) * 8) {
    throw fail(`has data_offsets [${start}, ${end}], expected ${bits / 8} bytes for ${dtype} of shape [${shape}]`);
  }
  return { name, dtype, shape, offset: dataStart + start, byteLength: end - start };
}

function checkRanges(path: string, entries: readonly HeaderEntry[], dataStart: number, size: number): void {
  const fail = (tensor: string, problem: string) =>
    new GrokError("format", `${path}: tensor ${tensor} ${problem}`, { path, tensor });
  let end = dataStart;
  for (const { name, offset, byteLength } of [...entries].sort(
    (a, b) => a.offset - b.offset || a.byteLength - b.byteLength,
  )) {
    if (offset !== end) {
      throw fail(
        name,
        `begins ${offset - dataStart} bytes into the data, expected ${end - dataStart}: no hole, no overlap`,
      );
    }
    end = offset + byteLength;
    if (end > size) throw fail(name, `ends at byte ${end} of a file of ${size}`);
  }
  if (end !== size)
    throw new GrokError("format", `${path}: the tensors end at byte ${end} of a file of ${size}`, { path, end, size });
}
