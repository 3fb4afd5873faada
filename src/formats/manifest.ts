import { basename } from "node:path";
import { writeAtomic } from "../bytes/atomic-write.ts";
import { readJsonObject } from "../bytes/whole-file.ts";
import { GrokError, shown } from "../errors.ts";

/**
 * What one model file and each of its tensors hash to, beside it as `NAME.manifest.json`: whoever has it can say which tensor of
 * a damaged file is damaged, and check a tensor without reading the rest.
 */
export interface FileManifest {
  /** The file's name, without a folder: the manifest lies beside it. */
  readonly file: string;
  /** In bytes. */
  readonly size: number;
  /** Of the whole file: 64 lower-case hexadecimal digits, as everywhere here. */
  readonly sha256: string;
  /** In the file's order. */
  readonly tensors: readonly TensorRecord[];
}

export interface TensorRecord {
  readonly name: string;
  /** A type's name as `tensorTypes` spells it, or `type N` for one that is not there. */
  readonly type: string;
  /** Row-major, outermost axis first. */
  readonly shape: readonly number[];
  /** In bytes from the start of the file. */
  readonly offset: number;
  /** Without the padding that follows. */
  readonly bytes: number;
  readonly sha256: string;
}

/** A file of 100,000 tensors has one of 25 MB. */
const mostManifestBytes = 2 ** 28;

/** Where the manifest of a model file lies. */
export function manifestPath(path: string): string {
  return `${path}.manifest.json`;
}

/** JSON with one tensor a line, so that manifests can be read and compared line by line; the same values are the same bytes. */
export function formatManifest({ file, size, sha256, tensors }: FileManifest): string {
  const lines = tensors.map(({ name, type, shape, offset, bytes, sha256: hash }) =>
    JSON.stringify({ name, type, shape, offset, bytes, sha256: hash }),
  );
  const head = JSON.stringify({ file, size, sha256 }).slice(1, -1);
  return `{${head},"tensors":[${lines.length > 0 ? `\n${lines.join(",\n")}\n` : ""}]}\n`;
}

/** Writes the manifest beside the model file `path`. @throws GrokError `io`. */
export async function writeManifest(path: string, manifest: FileManifest): Promise<void> {
  await writeAtomic(manifestPath(path), [Buffer.from(formatManifest(manifest))]);
}

/**
 * Reads the manifest at `path`.
 * @throws GrokError `io`; `format` naming what is not as it has to be.
 */
export function readManifest(path: string): FileManifest {
  const fail = (place: string, value: unknown, expected: string): never => {
    throw new GrokError("format", `${path}: ${place} is ${shown(value)}, expected ${expected}`, { path, place });
  };
  const count = (place: string, value: unknown): number =>
    Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : fail(place, value, "a whole number");
  const text = (place: string, value: unknown): string =>
    typeof value === "string" && value !== "" ? value : fail(place, value, "a text");
  const hash = (place: string, value: unknown): string =>
    typeof value === "string" && /^[0-9a-f]{64}$/.test(value) ? value : fail(place, value, "64 hexadecimal digits");
  const list = (place: string, value: unknown): readonly unknown[] =>
    Array.isArray(value) ? value : fail(place, value, "a list");

  const content = readJsonObject(path, mostManifestBytes);
  const file = text("file", content.file);
  // A backslash parts folders where the system has it so, and stands in names elsewhere.
  if (basename(file) !== file || file === "." || file === ".." || /^[a-z]:\\/i.test(file))
    fail("file", file, "a name without a folder");
  const size = count("size", content.size);
  const names = new Set<string>();
  const tensors = list("tensors", content.tensors).map((entry, i): TensorRecord => {
    const place = `tensors[${i}]`;
    if (typeof entry !== "object" || entry === null || Array.isArray(entry)) fail(place, entry, "an object");
    const { name, type, shape, offset, bytes, sha256 } = entry as Record<string, unknown>;
    const record: TensorRecord = {
      name: text(`${place}.name`, name),
      type: text(`${place}.type`, type),
      shape: list(`${place}.shape`, shape).map((axis, d) => count(`${place}.shape[${d}]`, axis)),
      offset: count(`${place}.offset`, offset),
      bytes: count(`${place}.bytes`, bytes),
      sha256: hash(`${place}.sha256`, sha256),
    };
    if (names.has(record.name)) fail(`${place}.name`, record.name, "each tensor once");
    names.add(record.name);
    if (record.offset + record.bytes > size) fail(`${place}.bytes`, record.bytes, `bytes within the file's ${size}`);
    return record;
  });
  return { file, size, sha256: hash("sha256", content.sha256), tensors };
}
