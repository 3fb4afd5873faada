import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { parseJson } from "../../bytes/json.ts";
import { createFields, show } from "../../bytes/json-fields.ts";
import { readTextFile } from "../../bytes/text-file.ts";
import { GrokError } from "../../errors.ts";

/** What a file of data was made of. */
export interface Origin {
  /** Of the file itself. */
  readonly sha256: string;
  readonly bytes: number;
  readonly rows: number;
  readonly dataset: string;
  /** The commit that the dataset's revision stood for. */
  readonly commit: string;
  readonly sources: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
}

/** Origins of the files of a folder of data that were downloaded, by their names in it. */
export type Manifest = ReadonlyMap<string, Origin>;

const manifestName = "grok1-data.json";

/** Of a folder without one, nothing. @throws GrokError `io`, `format` */
export function readManifest(folder: string): Manifest {
  const path = join(folder, manifestName);
  if (!existsSync(path)) return new Map();
  let value: unknown;
  try {
    value = parseJson(readTextFile(path));
  } catch (error) {
    if (error instanceof GrokError) throw error;
    throw new GrokError("format", `${path}: no JSON: ${(error as Error).message}`, { path }, error);
  }
  const files = createFields(value, path, "", "format").value("files", "an object", isObject) as object;
  return new Map(
    Object.entries(files).map(([file, origin]: [string, unknown]) => {
      const fields = createFields(origin, path, `files.${file}`, "format");
      const isHash = (hash: unknown) => typeof hash === "string" && /^[0-9a-f]{64}$/.test(hash);
      fields.value("sha256", "64 hexadecimal digits", isHash);
      return [file, origin as Origin];
    }),
  );
}

const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Adds an origin to a folder's manifest. @throws GrokError `io`, `format` */
export async function recordOrigin(folder: string, file: string, origin: Origin): Promise<void> {
  const all = new Map(readManifest(folder)).set(file, origin);
  const sorted = Object.fromEntries([...all].sort(([a], [b]) => (a < b ? -1 : 1)));
  await writeAtomic(join(folder, manifestName), [Buffer.from(`${JSON.stringify({ files: sorted }, undefined, 2)}\n`)]);
}

/** @throws GrokError `format` for a file that was downloaded and has other bytes now. */
export function checkOrigin(manifest: Manifest, folder: string, file: string, text: string): void {
  const origin = manifest.get(file);
  const sha256 = createHash("sha256").update(text).digest("hex");
  if (origin === undefined || origin.sha256 === sha256) return;
  const path = join(folder, file);
  const what = `SHA-256 ${show(sha256)} is not what was downloaded (${show(origin.sha256)})`;
  const help = `remove the file and download it anew, or take it out of ${join(folder, manifestName)} where it was changed on purpose`;
  throw new GrokError("format", `${path}: ${what}: ${help}`, { path, sha256, expected: origin.sha256 });
}
