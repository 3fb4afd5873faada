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

export interface ShardedOptions extends AtomicWriteOptions {
  /** Bytes of tensor data after which a new file begins. Default 5 GB. A single larger tensor gets a file of its own. */
  readonly shardBytes?: number;
}

/**
 * Writes a model as `NAME-00001-of-00003.safetensors` ... and their index, `path`, which ends with `NAME.safetensors.index.json`.
 * The index comes last, so it only ever names whole files. Throws like `writeSafetensors`.
 */
export async function writeShardedSafetensors(
  path: string,
  tensors: readonly SafetensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
  options: ShardedOptions = {},
): Promise<void> {
  const ending = ".safetensors.index.json";
  if (!path.endsWith(ending))
    throw new GrokError("argument", `${path}: the name of an index ends with ${ending}`, { path });
  const shards = divide(tensors, options.shardBytes ?? 5e9);
  const five = (n: number) => String(n).padStart(5, "0");
  const stem = path.slice(0, -ending.length);
  const map: [string, string][] = [];
  for (const [i, shard] of shards.entries()) {
    const name = `${stem}-${five(i + 1)}-of-${five(shards.length)}.safetensors`;
    await writeSafetensors(name, shard, metadata, options);
    for (const tensor of shard)
      map.push([tensor.name, name.slice(Math.max(name.lastIndexOf("/"), name.lastIndexOf("\\")) + 1)]);
  }
  const index = {
    metadata: { total_size: tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0) },
    weight_map: Object.fromEntries(map),
  };
  await writeAtomic(path, [Buffer.from(`${JSON.stringify(index, null, 2)}\n`)], options);
}

function divide(tensors: readonly SafetensorToWrite[], shardBytes: number): SafetensorToWrite[][] {
  const shards: SafetensorToWrite[][] = [[]];
  let used = 0;
  const names = new Set<string>();
  for (const tensor of tensors) {
    if (names.has(tensor.name))
      throw new GrokError("argument", `tensor ${tensor.name} is given twice`, { tensor: tensor.name });
    names.add(tensor.name);
    if (used > 0 && used + byteLength(tensor) > shardBytes) {
      shards.push([]);
      used = 0;
    }
    shards.at(-1)!.push(tensor);
    used += byteLength(tensor);
  }
  return shards;
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
