import { existsSync, statSync } from "node:fs";
import { basename } from "node:path";
import { counted } from "../errors.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { type FileManifest, manifestPath, readManifest, type TensorRecord } from "../formats/manifest.ts";
import { dtypes } from "../formats/safetensors/dtypes.ts";
import { openSafetensors } from "../formats/safetensors/file.ts";
import { elementCount } from "../tensor/tensor.ts";
import { type TensorType, tensorTypes } from "../tensor/types.ts";
import type { Pool } from "./pool.ts";
import { type Check, listSome } from "./report.ts";
import { farExponents, type ScanOptions, type ScanResult } from "./scan.ts";
import type { Work } from "./work.ts";

/** A tensor's place in one file, whatever the file's format. */
interface Place extends Omit<TensorRecord, "sha256"> {
  /** Undefined for what grok1 has no type for. */
  readonly known: TensorType | undefined;
}

/** One file of a model, which may have several. */
interface ModelFile {
  readonly path: string;
  /** What is known of weights holds for it. Sums of squares, as in importance matrices, are as far apart as they are. */
  readonly weights: boolean;
  readonly size: number;
  readonly tensors: readonly Place[];
}

export function isModelFile(path: string): boolean {
  return /\.(gguf|safetensors)$/i.test(path);
}

/** Headers alone. @throws GrokError as `openGguf` and `openSafetensors`. */
function readPlaces(path: string): ModelFile[] {
  const file = /\.gguf$/i.test(path) ? openGguf(path) : openSafetensors(path);
  try {
    const places: (Place & { source: string })[] =
      "entries" in file
        ? [...file.entries.values()].map(({ name, dtype, shape, offset, byteLength, source }) => {
            return { name, type: dtype, known: dtypes[dtype].type, shape, offset, bytes: byteLength, source };
          })
        : [
            ...[...file.tensors.values()].map(({ name, type, shape, offset, byteLength, source }) => {
              return { name, type, known: type, shape, offset, bytes: byteLength, source };
            }),
            ...[...file.opaque.values()].map(({ name, typeName, shape, offset, byteLength, source }) => {
              return { name, type: typeName, known: undefined, shape, offset, bytes: byteLength, source };
            }),
          ];
    const weights = "entries" in file || file.metadata.string("general.type", "model") !== "imatrix";
    return file.paths.map((one) => ({
      ...{ path: one, weights },
      size: statSync(one).size,
      tensors: places
        .filter(({ source }) => source === one)
        .sort((a, b) => a.offset - b.offset)
        .map(({ source: _, ...place }) => place),
    }));
  } finally {
    file.close();
  }
}

/**
 * A model's header, its tensors' health, and its manifest where one lies beside it.
 * @param quick only what can be told without reading the tensors.
 * @throws GrokError `io`, `cancelled`; what is wrong with the file is a check that failed.
 */
export async function checkModelFile(path: string, pool: Pool, quick: boolean): Promise<Check[]> {
  const files = readPlaces(path);
  const count = files.reduce((sum, { tensors }) => sum + tensors.length, 0);
  const parts = files.length > 1 ? ` in ${counted(files.length, "file")}` : "";
  const readable: Check = { path, check: "readable", verdict: "ok", detail: `${counted(count, "tensor")}${parts}` };
  if (quick) return [readable];
  const checks = await Promise.all(
    files.map(async (file) => {
      const manifest = existsSync(manifestPath(file.path)) ? readManifest(manifestPath(file.path)) : undefined;
      const results = await Promise.all(
        file.tensors.map((place) => pool.run(tensorWork(file.path, place, !!manifest))),
      );
      const hashes = new Map(file.tensors.map(({ name }, i) => [name, results[i]!.hash]));
      return [
        ...(manifest ? await checkManifest(file, manifest, hashes, pool) : []),
        ...(file.weights
          ? [
              checkHealth(
                file,
                results.map(({ scan }) => scan),
              ),
            ]
          : []),
      ];
    }),
  );
  return [readable, ...checks.flat()];
}

function tensorWork(path: string, { known, shape, offset, bytes }: Place, hashed: boolean): Work {
  return {
    ...{ path, offset, bytes },
    ...(hashed && { hash: "sha256" as const }),
    ...(known && bytes > 0 && { scan: scanOptions(known, shape) }),
  };
}

/** Matrices of a stack are looked at one by one, so that a dead expert shows. */
function scanOptions(type: TensorType, shape: readonly number[]): ScanOptions {
  const blocks = elementCount(shape) / tensorTypes[type].blockSize;
  return { type, entryBlocks: shape.length === 3 ? blocks / shape[0]! : blocks };
}

async function checkManifest(
  file: ModelFile,
  manifest: FileManifest,
  hashes: ReadonlyMap<string, string>,
  pool: Pool,
): Promise<Check[]> {
  const { path } = file;
  const whole = await pool.run({ path, offset: 0, hash: "sha256" });
  const sizeProblem =
    manifest.size === file.size ? undefined : `${file.size} bytes, the manifest says ${manifest.size}`;
  const same = whole.hash === manifest.sha256;
  const found = new Map(file.tensors.map((place) => [place.name, place]));
  const wrong = manifest.tensors.filter(({ name, sha256 }) => hashes.has(name) && hashes.get(name) !== sha256);
  const other = manifest.tensors.filter((record) => !samePlace(record, found.get(record.name)));
  const listed = new Set(manifest.tensors.map(({ name }) => name));
  const unlisted = file.tensors.filter(({ name }) => !listed.has(name));
  const problems = [
    wrong.length > 0 ? `${wrong.length} of ${listed.size} have other bytes: ${listSome(names(wrong))}` : "",
    other.length > 0 ? `not as the manifest says: ${listSome(names(other))}` : "",
    unlisted.length > 0 ? `not in the manifest: ${listSome(names(unlisted))}` : "",
    !same && wrong.length === 0 ? "all tensors are right: it is the header or what lies between them that differs" : "",
  ].filter((problem) => problem !== "");
  return [
    {
      ...{ path, check: "sha256", verdict: same && !sizeProblem ? "ok" : "failed" },
      detail: sizeProblem ?? (same ? "as the manifest says" : `${whole.hash}, the manifest says ${manifest.sha256}`),
    },
    {
      ...{ path, check: "tensors", verdict: problems.length === 0 ? "ok" : "failed" },
      detail: problems.length === 0 ? `all ${listed.size} as the manifest says` : problems.join("; "),
    },
  ];
}

const names = (some: readonly { readonly name: string }[]) => some.map(({ name }) => name);

function samePlace(record: TensorRecord, place: Place | undefined): boolean {
  return (
    place !== undefined &&
    place.type === record.type &&
    place.offset === record.offset &&
    place.bytes === record.bytes &&
    place.shape.join() === record.shape.join()
  );
}

/** A hole that an unfinished download leaves is far larger than what padding of a vocabulary takes. */
const holeBytes = 1 << 20;

function checkHealth({ path, tensors }: ModelFile, scans: readonly (ScanResult | undefined)[]): Check {
  const problems: string[] = [];
  const notes: string[] = [];
  tensors.forEach(({ name, known, shape, bytes }, i) => {
    const scan = scans[i];
    if (scan === undefined) return;
    const scales = tensorTypes[known!].blockSize > 1 ? "scales" : "numbers";
    if (scan.notFinite > 0)
      problems.push(
        `${name}: ${scan.notFinite} ${scales} are NaN or infinite, the first is number ${scan.firstNotFinite}`,
      );
    const { zeroEntries } = scan;
    // Of other vectors nothing is known: biases are zero, and as far apart as they like.
    const weighs = shape.length > 1 || /norm\.weight$/.test(name);
    if (zeroEntries.length > 0 && weighs) {
      problems.push(
        shape.length === 3
          ? `${name}: experts ${listSome(zeroEntries.map(String))} of ${shape[0]} are dead: all zero`
          : `${name}: all zero`,
      );
    } else if (scan.zeroRun.bytes >= holeBytes) {
      notes.push(`${name}: ${scan.zeroRun.bytes} bytes of zeros from byte ${scan.zeroRun.offset} on: a hole?`);
    }
    if (scan.far > 0 && weighs && bytes > 0) {
      const { largestExponent, middleExponent } = scan;
      problems.push(
        `${name}: ${scan.far} ${scales} out of range: up to 2^${largestExponent}, the middle one is at 2^${middleExponent} (usual: less than 2^${farExponents(known!)} apart)`,
      );
    }
  });
  const unknown = tensors.filter((_, i) => scans[i] === undefined && tensors[i]!.bytes > 0);
  if (unknown.length > 0)
    notes.push(
      `${counted(unknown.length, "tensor")} not looked at: ${listSome([...new Set(unknown.map(({ type }) => type))])}`,
    );
  const health = (verdict: Check["verdict"], detail: string): Check => ({ path, check: "health", verdict, detail });
  if (problems.length > 0) return health("failed", problems.slice(0, 5).join("; ") + more(problems.length - 5));
  return notes.length > 0
    ? health("note", notes.slice(0, 5).join("; "))
    : health("ok", "finite, nothing dead, scales in range");
}

const more = (count: number) => (count > 0 ? `; and ${count} more` : "");

/** The manifest of each file of a model. @throws GrokError as the openers; `io`, `cancelled`. */
export async function makeManifests(path: string, pool: Pool): Promise<Map<string, FileManifest>> {
  const made = readPlaces(path).map(async ({ path: one, size, tensors }) => {
    const [whole, ...results] = await Promise.all([
      pool.run({ path: one, offset: 0, hash: "sha256" }),
      ...tensors.map(({ offset, bytes }) => pool.run({ path: one, offset, bytes, hash: "sha256" })),
    ]);
    const records = tensors.map(({ known: _, ...place }, i) => ({ ...place, sha256: results[i]!.hash }));
    return [one, { file: basename(one), size, sha256: whole.hash, tensors: records }] as const;
  });
  return new Map(await Promise.all(made));
}
