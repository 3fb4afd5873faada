import { basename } from "node:path";
import { writeAtomic } from "../bytes/atomic-write.ts";
import type { WrittenFile } from "../bytes/resumable-write.ts";
import { formatChecksums } from "../formats/checksums.ts";
import { type TensorRecord, writeManifest } from "../formats/manifest.ts";

/**
 * Writes what a GGUF file hashes to beside it: `PATH.sha256` as `sha256sum` checks it, and its manifest. `tensors` are those of the
 * file's sections, in order.
 * @throws GrokError `io`.
 */
export async function writeHashes(
  path: string,
  { bytes, sha256, sections }: WrittenFile,
  tensors: readonly Pick<TensorRecord, "type" | "shape">[],
): Promise<void> {
  const file = basename(path);
  const records = sections.map(({ name, offset, bytes: own, sha256: hash }, i): TensorRecord => {
    const { type, shape } = tensors[i]!;
    return { name, type, shape, offset, bytes: own, sha256: hash };
  });
  await writeManifest(path, { file, size: bytes, sha256, tensors: records });
  await writeAtomic(`${path}.sha256`, [Buffer.from(formatChecksums([{ name: file, sha256 }]))]);
}
