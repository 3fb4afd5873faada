import { closeSync, fstatSync, readSync, type Stats, statSync } from "node:fs";
import { type Addon, type AddonMapping, loadAddon } from "../addon.ts";
import { GrokError } from "../errors.ts";
import { ioError } from "./io-error.ts";
import { openRegular } from "./regular-file.ts";

/** A file opened for reading, whose bytes are mapped where the addon is there and read on demand where it is not. */
export interface MappedFile {
  readonly path: string;
  /** Bytes in the file when it was opened. */
  readonly size: number;
  /** True when `view` gives mapped memory; false when it reads. */
  readonly mapped: boolean;
  /**
   * The bytes `[offset, offset + length)`, at most `maxViewBytes`. Mapped: no copy, never to be written to (that faults),
   * valid also after `close`. Otherwise a copy that is kept for the next caller while the cache has room, so neither is
   * it to be written to.
   *
   * @throws GrokError `argument` when the range leaves the file or is too long, `io` when reading fails or the file is closed.
   */
  view(offset: number, length: number): Uint8Array<ArrayBuffer>;
  /** A fresh copy of the bytes `[offset, offset + length)`, never mapped and never cached. Throws like `view`. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
  /** Gives back the file. Views stay valid; asking for more is an error. Closing twice is not. */
  close(): void;
}

export interface MappedFileOptions {
  /** Map through the addon when it is there. Default true. */
  readonly map?: boolean;
  /** Without mapping: bytes of ranges to keep for the next caller. Default 1 GiB. */
  readonly cacheBytes?: number;
}

/** The longest single view: what one ArrayBuffer holds on Node 20. */
export const maxViewBytes = 2 ** 32 - 1;

/**
 * Opens a regular file for mapped (or, without the addon, on-demand) reading.
 *
 * @throws GrokError `io` when it cannot be opened, is not a regular file, or cannot be mapped.
 */
export function openMapped(path: string, options: MappedFileOptions = {}): MappedFile {
  const { fd, stats } = openRegular(path);
  const { addon } = options.map === false ? { addon: undefined } : loadAddon();
  const size = stats.size;
  let open = true;

  const read = (offset: number, length: number) => readRange(fd, path, offset, length);
  let source: RangeSource;
  try {
    // An empty file cannot be mapped, and needs no mapping.
    source =
      addon && size > 0 ? mappedRanges(addon, path, fd, stats) : cachedRanges(read, options.cacheBytes ?? 2 ** 30);
  } catch (error) {
    closeSync(fd);
    throw error;
  }

  const check = (offset: number, length: number) => {
    if (!open) throw new GrokError("io", `${path}: the file is closed`, { path });
    if (!(isCount(offset) && isCount(length) && offset + length <= size && length <= maxViewBytes)) {
      throw new GrokError("argument", `${path}: no range of ${length} bytes at ${offset} in a file of ${size} bytes`, {
        path,
        offset,
        length,
        size,
      });
    }
  };

  return {
    path,
    size,
    mapped: addon !== undefined,
    view(offset, length) {
      check(offset, length);
      return length === 0 ? new Uint8Array(0) : source.view(offset, length);
    },
    read(offset, length) {
      check(offset, length);
      return read(offset, length);
    },
    close() {
      if (!open) return;
      open = false;
      source.close();
      closeSync(fd);
    },
  };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function readRange(fd: number, path: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(length);
  } catch (cause) {
    throw new GrokError(
      "capacity",
      `${path}: no memory for ${length} bytes at ${offset}`,
      { path, offset, length },
      cause,
    );
  }
  let done = 0;
  while (done < length) {
    let got: number;
    try {
      // One read call moves at most 2^31 - 1 bytes.
      got = readSync(fd, bytes, done, Math.min(length - done, 2 ** 30), offset + done);
    } catch (error) {
      throw ioError(`read ${length} bytes at ${offset}`, path, error);
    }
    if (got === 0) {
      throw new GrokError("io", `${path}: ends at byte ${offset + done}: the file became shorter after it was opened`, {
        path,
        offset: offset + done,
      });
    }
    done += got;
  }
  return bytes;
}

interface RangeSource {
  view(offset: number, length: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

/** Ranges read into memory, the least recently used ones let go when they outgrow `budget` bytes. */
function cachedRanges(read: (offset: number, length: number) => Uint8Array<ArrayBuffer>, budget: number): RangeSource {
  // A Map iterates in order of insertion, so re-inserting on use keeps the oldest first. The constant stands for an
  // entry's own memory: a cache of many one-row ranges is mostly that.
  const perEntry = 256;
  const cache = new Map<string, Uint8Array<ArrayBuffer>>();
  let held = 0;
  return {
    view(offset, length) {
      const key = `${offset}:${length}`;
      const known = cache.get(key);
      const bytes = known ?? read(offset, length);
      if (known) cache.delete(key);
      else if (length + perEntry > budget) return bytes;
      else held += length + perEntry;
      cache.set(key, bytes);
      for (const [oldest, old] of cache) {
        if (held <= budget) break;
        cache.delete(oldest);
        held -= old.length + perEntry;
      }
      return bytes;
    },
    close() {
      cache.clear();
    },
  };
}

/** Non-overlapping external buffers over one mapping of the file, sorted by offset. */
interface Layer {
  readonly mapping: AddonMapping;
  readonly ranges: { offset: number; buffer: ArrayBuffer }[];
}

/**
 * Views into mapped memory. V8 must not be given the same memory in two external ArrayBuffers, so a range inside one
 * that is already there becomes a view into that buffer, and a range that partly overlaps one is taken from another
 * mapping of the file, at other addresses.
 */
function mappedRanges(addon: Addon, path: string, fd: number, stats: Stats): RangeSource {
  const layers: Layer[] = [addLayer()];

  function addLayer(): Layer {
    try {
      return { mapping: addon.mapFile(path), ranges: [] };
    } catch (error) {
      throw ioError("map", path, error);
    }
  }

  return {
    view(offset, length) {
      let free: { layer: Layer; at: number } | undefined;
      for (const layer of layers) {
        const at = firstEndingAfter(layer.ranges, offset);
        const range = layer.ranges[at];
        if (range && range.offset <= offset && offset + length <= range.offset + range.buffer.byteLength) {
          return new Uint8Array(range.buffer, offset - range.offset, length);
        }
        if (!range || range.offset >= offset + length) free ??= { layer, at };
      }
      if (!free) {
        // The addon maps by name, which may by now mean another file.
        const now = statSync(path, { throwIfNoEntry: false });
        if (now?.ino !== stats.ino || now.dev !== stats.dev || now.size !== fstatSync(fd).size) {
          throw new GrokError("io", `${path}: the file was replaced after it was opened`, { path });
        }
        const layer = addLayer();
        layers.push(layer);
        free = { layer, at: 0 };
      }
      let buffer: ArrayBuffer;
      try {
        buffer = free.layer.mapping.view(offset, length);
      } catch (error) {
        throw ioError(`map ${length} bytes at ${offset}`, path, error);
      }
      free.layer.ranges.splice(free.at, 0, { offset, buffer });
      return new Uint8Array(buffer);
    },
    close() {
      for (const layer of layers.splice(0)) layer.mapping.close();
    },
  };
}

/** Index of the first range that ends after `offset`. */
function firstEndingAfter(ranges: Layer["ranges"], offset: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle]!;
    if (range.offset + range.buffer.byteLength > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}
