import { basename } from "node:path";
import { writeAtomic } from "../bytes/atomic-write.ts";
import type { WrittenFile } from "../bytes/resumable-write.ts";
import type { TensorType } from "../tensor/types.ts";

/** What stands beside a GGUF file: its hash as `sha256sum` writes and checks it, and one document with each tensor's. */
export const sumsName = (path: string): string => `${path}.sha256`;
export const manifestName = (path: string): string => `${path}.manifest.json`;

/** The document beside a GGUF file. */
export interface Manifest {
  readonly format: "grok1 manifest";
  readonly version: 1;
  /** The file's name, without folders. */
  readonly file: string;
  readonly bytes: number;
  /** Hashes are SHA-256 in hexadecimal. */
  readonly sha256: string;
  /** In the file's order. */
  readonly tensors: readonly ManifestTensor[];
}

export interface ManifestTensor {
  readonly name: string;
  readonly type: TensorType;
  /** Row-major, outermost axis first. */
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  /** Without padding. */
  readonly bytes: number;
  readonly sha256: string;
}

/** Writes both beside `path`. `tensors` are those of the file's sections, in order. @throws GrokError `io`. */
export async function writeManifest(
  path: string,
  { bytes, sha256, sections }: WrittenFile,
  tensors: readonly Pick<ManifestTensor, "name" | "type" | "shape">[],
): Promise<void> {
  const file = basename(path);
  const manifest: Manifest = {
    ...{ format: "grok1 manifest", version: 1, file, bytes, sha256 },
    tensors: sections.map(({ name, offset, bytes: own, sha256: hash }, i) => {
      const { type, shape } = tensors[i]!;
      return { name, type, shape, offset, bytes: own, sha256: hash };
    }),
  };
  await writeAtomic(manifestName(path), [Buffer.from(manifestText(manifest))]);
  await writeAtomic(sumsName(path), [Buffer.from(sumLine(sha256, file))]);
}

/** A tensor a line, so that two manifests can be compared by eye and by `diff`. */
function manifestText({ tensors, ...head }: Manifest): string {
  const lines = tensors.map((tensor) => `    ${JSON.stringify(tensor)}`).join(",\n");
  return `${JSON.stringify(head, null, 2).replace(/\n}$/, "")},\n  "tensors": [\n${lines}\n  ]\n}\n`;
}

/** As coreutils' `sha256sum` writes it: a name that would break the line is escaped, and the line says so. */
function sumLine(sha256: string, name: string): string {
  const escaped = name.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\r", "\\r");
  return `${escaped === name ? "" : "\\"}${sha256}  ${escaped}\n`;
}
