import { type AtomicWriteOptions, type Chunks, writeAtomic } from "../../bytes/atomic-write.ts";
import { GrokError } from "../../errors.ts";
import { elementCount } from "../../tensor/tensor.ts";
import { exactly } from "../exact-chunks.ts";
import { type Dtype, dtypes } from "./dtypes.ts";
import { maxHeaderBytes } from "./header.ts";

export interface SafetensorToWrite {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** The little-endian bytes: at once, or in chunks asked for when this tensor's turn comes. */
  readonly data: Uint8Array | (() => Chunks);
}

/**
 * Writes one safetensors file, atomically, holding no more of a tensor in memory than one chunk. Tensors keep their order.
 *
 * @throws GrokError `argument` when names, shapes or the amount of data are not what the format allows, `io` when writing
 * fails, `cancelled`. Nothing is left behind then.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly SafetensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
  options: AtomicWriteOptions = {},
): Promise<void> {
  await writeAtomic(path, fileChunks(encodeHeader(tensors, metadata), tensors), options);
}

function encodeHeader(tensors: readonly SafetensorToWrite[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const members: string[] = [];
  if (Object.keys(metadata).length > 0) members.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const names = new Set(["__metadata__"]);
  let offset = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    if (names.has(name))
      throw new GrokError("argument", `tensor ${name} is given twice, or its name is taken by the format`, {
        tensor: name,
      });
    names.add(name);
    const end = offset + byteLength(tensor);
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`);
    offset = end;
  }
  const text = Buffer.from(`{${members.join(",")}}`);
  // Spaces up to a multiple of 8, so that the data begins aligned.
  const length = Math.ceil(text.length / 8) * 8;
  if (length > maxHeaderBytes)
    throw new GrokError("argument", `the header takes ${length} bytes, the format allows ${maxHeaderBytes}`, {
      length,
    });
  const header = Buffer.alloc(8 + length, 0x20);
  header.writeBigUInt64LE(BigInt(length), 0);
  text.copy(header, 8);
  return header;
}

function byteLength({ name, dtype, shape }: SafetensorToWrite): number {
  const bits = elementCount(shape) * dtypes[dtype].bits;
  if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0) || !Number.isSafeInteger(bits) || bits % 8 !== 0) {
    throw new GrokError("argument", `tensor ${name}: shape [${shape}] of ${dtype} is not a whole number of bytes`, {
      tensor: name,
      shape,
    });
  }
  return bits / 8;
}

async function* fileChunks(header: Uint8Array, tensors: readonly SafetensorToWrite[]): AsyncGenerator<Uint8Array> {
  yield header;
  for (const tensor of tensors) {
    const { data } = tensor;
    yield* exactly(tensor.name, byteLength(tensor), typeof data === "function" ? data() : [data]);
  }
}
