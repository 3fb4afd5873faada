import { closeSync, readSync } from "node:fs";
import * as zlib from "node:zlib";
import {
  type AsyncBuffer,
  type ColumnChunk,
  type Compressors,
  type FileMetaData,
  parquetMetadata,
  parquetReadObjects,
  type RowGroup,
} from "hyparquet";
import { parquetHeader } from "hyparquet/src/column.js";
import { ioError } from "../../bytes/io-error.ts";
import { openRegular } from "../../bytes/regular-file.ts";
import { GrokError } from "../../errors.ts";
import type { Fields } from "./parquet.ts";

/** What is read of a file at most. Files of questions have a hundredth of it. */
const most = { footerBytes: 8 << 20, columns: 1000, groupRows: 1 << 22, values: 1 << 24, groupBytes: 128 << 20 };

/**
 * Rows of a Parquet file, a row group at a time. Counts and sizes that the file claims are checked against what is there before hyparquet
 * believes them: pages within their column, columns within the file, no more values than a group may have.
 * @throws GrokError `io`; `format`, naming the file; `unsupported`.
 */
export async function* readRowGroups(path: string): AsyncGenerator<readonly Fields[]> {
  const refuse = (what: string, cause?: unknown): never => {
    throw new GrokError("format", `${path}: ${what}`, { path }, cause);
  };
  /** What hyparquet finds wrong, as ours. */
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      if (error instanceof GrokError) throw error;
      return refuse(`not read as Parquet: ${(error as Error).message}`, error);
    }
  };
  const { fd, stats } = openRegular(path);
  const { size } = stats;
  try {
    const slice = (start: number, end: number): ArrayBuffer => {
      if (!(start >= 0 && start <= end && end <= size)) {
        return refuse(`bytes ${start} to ${end} are asked for, and the file has ${size}`);
      }
      const bytes = new Uint8Array(end - start);
      for (let done = 0; done < bytes.length; ) {
        const got = readBytes(fd, bytes.subarray(done), start + done, path);
        if (got === 0) refuse("the file became shorter while it was read");
        done += got;
      }
      return bytes.buffer;
    };
    const file: AsyncBuffer = { byteLength: size, slice: (start, end = size) => slice(start, end) };
    const metadata = attempt(() => readFooter(slice, size, refuse));
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      attempt(() => checkGroup(group, slice, size, refuse));
      const rowEnd = rowStart + Number(group.num_rows);
      const parsers = { stringFromBytes };
      // hyparquet's own promise fails with what it finds wrong.
      const rows = await parquetReadObjects({ file, metadata, rowStart, rowEnd, compressors, parsers }).catch(
        (error: unknown) =>
          attempt<Fields[]>(() => {
            throw error;
          }),
      );
      yield rows.map((row, at) => toPlain(row, `${path}: row ${rowStart + at + 1}`, refuse) as Fields);
      rowStart = rowEnd;
    }
  } finally {
    closeSync(fd);
  }
}

type Refuse = (what: string) => never;
type Slice = (start: number, end: number) => ArrayBuffer;

function readBytes(fd: number, bytes: Uint8Array, position: number, path: string): number {
  try {
    return readSync(fd, bytes, 0, bytes.length, position);
  } catch (error) {
    throw ioError("read", path, error);
  }
}

/** "PAR1" at the end, in front of it the footer's length, in front of that the footer. */
function readFooter(slice: Slice, size: number, refuse: Refuse): FileMetaData {
  if (size < 12) refuse(`${size} bytes, expected a Parquet file`);
  const tail = new DataView(slice(size - 8, size));
  if (tail.getUint32(4, true) !== 0x31524150) refuse("no Parquet file: it does not end with PAR1");
  const length = tail.getUint32(0, true);
  if (length > Math.min(size - 12, most.footerBytes)) {
    refuse(`a footer of ${length} bytes, expected at most ${Math.min(size - 12, most.footerBytes)}`);
  }
  return parquetMetadata(slice(size - 8 - length, size), { geoparquet: false });
}

function checkGroup(group: RowGroup, slice: Slice, size: number, refuse: Refuse): void {
  const rows = countOf(group.num_rows, most.groupRows, "rows of a group", refuse);
  if (group.columns.length > most.columns) refuse(`${group.columns.length} columns, expected at most ${most.columns}`);
  let [stored, whole] = [0, 0];
  for (const { meta_data: meta } of group.columns) {
    if (meta === undefined) throw refuse("a column without a description");
    const name = meta.path_in_schema.join(".");
    const values = countOf(meta.num_values, most.values, `values of column ${name}`, refuse);
    if (values < rows) refuse(`column ${name} has ${values} values, and there are ${rows} rows`);
    const highest = Math.min(size, most.groupBytes) - stored;
    stored += countOf(meta.total_compressed_size, highest, `bytes of column ${name}`, refuse);
    whole += checkPages(meta, values, slice, refuse);
    if (whole > most.groupBytes) refuse(`a row group of more than ${most.groupBytes} bytes`);
  }
}

/** Bytes that a column's pages have once they are unpacked. */
function checkPages(meta: NonNullable<ColumnChunk["meta_data"]>, values: number, slice: Slice, refuse: Refuse): number {
  const name = meta.path_in_schema.join(".");
  const start = Number(meta.dictionary_page_offset || meta.data_page_offset);
  const view = new DataView(slice(start, start + Number(meta.total_compressed_size)));
  const reader = { view, offset: 0 };
  let [bytes, seen] = [0, 0];
  while (reader.offset < view.byteLength - 1) {
    const page = parquetHeader(reader);
    const stored = countOf(
      page.compressed_page_size,
      view.byteLength - reader.offset,
      `bytes of a page of ${name}`,
      refuse,
    );
    bytes += countOf(page.uncompressed_page_size, most.groupBytes, `bytes of a page of ${name}, unpacked`, refuse);
    const second = page.data_page_header_v2;
    const of = page.data_page_header ?? second ?? page.dictionary_page_header;
    const count = countOf(of?.num_values, values, `values of a page of ${name}`, refuse);
    if (page.dictionary_page_header === undefined) seen += count;
    if (second !== undefined) {
      countOf(second.num_nulls, count, `nulls of a page of ${name}`, refuse);
      const levels = [second.definition_levels_byte_length, second.repetition_levels_byte_length];
      const sizes = levels.map((each) => countOf(each, stored, `bytes of levels of ${name}`, refuse));
      countOf(
        sizes[0]! + sizes[1]!,
        Math.min(stored, page.uncompressed_page_size),
        `bytes of levels of ${name}`,
        refuse,
      );
    }
    reader.offset += stored;
  }
  if (seen !== values) refuse(`column ${name}: its pages have ${seen} values, expected ${values}`);
  return bytes;
}

function countOf(value: unknown, highest: number, what: string, refuse: Refuse): number {
  const count = typeof value === "bigint" || typeof value === "number" ? Number(value) : Number.NaN;
  return Number.isInteger(count) && count >= 0 && count <= highest
    ? count
    : refuse(`${value} ${what}, expected at most ${highest}`);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function stringFromBytes(bytes: Uint8Array): string {
  return bytes && utf8.decode(bytes);
}

/** Node.js unpacks no more than a page is said to have. hyparquet has Snappy itself, into as many bytes. */
const compressors: Compressors = {
  GZIP: (input, length) => zlib.gunzipSync(input, { maxOutputLength: Math.max(1, length) }),
  BROTLI: (input, length) => zlib.brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) }),
  ZSTD(input, length) {
    const { zstdDecompressSync } = zlib as { zstdDecompressSync?: typeof zlib.gunzipSync };
    if (zstdDecompressSync !== undefined) return zstdDecompressSync(input, { maxOutputLength: Math.max(1, length) });
    const message = `compressed with Zstandard, which Node.js ${process.versions.node} does not have: it needs 22.15 or newer`;
    throw new GrokError("unsupported", message);
  },
};

/** A value as JSON has it. @throws GrokError `unsupported` for bytes, and numbers that JSON has not. */
function toPlain(value: unknown, place: string, refuse: Refuse): unknown {
  const fail = (what: string): never => {
    throw new GrokError("unsupported", `${place}: ${what}, which JSON does not have`);
  };
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (value === undefined) return refuse("a column has fewer values than there are rows");
  if (typeof value === "bigint")
    return Number.isSafeInteger(Number(value)) ? Number(value) : fail(`the number ${value}`);
  if (typeof value === "number") return Number.isFinite(value) ? value : fail(`the number ${value}`);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map((item) => toPlain(item, place, refuse));
  if (ArrayBuffer.isView(value)) {
    if (value instanceof Uint8Array || value instanceof DataView) return fail("bytes");
    return Array.from(value as unknown as ArrayLike<number | bigint>, (item) => toPlain(item, place, refuse));
  }
  return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, toPlain(item, place, refuse)]));
}
