import { type AtomicWriteOptions, type Chunks, writeAtomic } from "../../bytes/atomic-write.ts";
import { GrokError } from "../../errors.ts";
import { elementCount } from "../../tensor/tensor.ts";
import { encodedBytes, type TensorType, tensorTypes } from "../../tensor/types.ts";
import { exactly } from "../exact-chunks.ts";
import { appendValue, createSink, type GgufValue } from "./encode.ts";
import { maxNameBytes } from "./metadata.ts";

/** What the header says of a tensor. */
export type TensorHead = {
  /** At most 64 bytes, by the specification. */
  readonly name: string;
  /** Row-major, outermost axis first; at most four axes. */
  readonly shape: readonly number[];
} & (
  | { readonly type: TensorType }
  /** Of a type that is not in `tensorTypes`, by its number: its bytes are what they are. */
  | { readonly ggml: number; readonly byteLength: number }
);

export type TensorToWrite = TensorHead & {
  /** The encoded bytes in chunks of any size, asked for when this tensor's turn comes: `tensorChunks` gives those of an open one. */
  readonly data: () => Chunks;
};

export interface GgufToWrite {
  /** In this order in the file. `general.alignment`, where it is among them, sets the alignment; otherwise it is 32. */
  readonly metadata: Iterable<readonly [key: string, value: GgufValue]>;
  /** In this order in the file. */
  readonly tensors: readonly TensorToWrite[];
}

/**
 * Writes a GGUF file of version 3, atomically, holding no more of a tensor in memory than one chunk.
 *
 * @throws GrokError `argument` when a key, value, name, shape, or the amount of data is not what the format allows,
 * `io` when writing fails, `cancelled`. Nothing is left behind then.
 */
export async function writeGguf(path: string, model: GgufToWrite, options: AtomicWriteOptions = {}): Promise<void> {
  await writeAtomic(path, fileChunks(model), options);
}

/** What a file consists of, from first to last: the header, then each tensor's bytes. Zero bytes stand behind each part. */
export interface GgufLayout {
  readonly header: Uint8Array;
  /** In the file's order. */
  readonly tensors: readonly { readonly bytes: number }[];
  /** Zero bytes behind a part of so many. */
  padding(bytes: number): Uint8Array;
  /** Of the whole file. */
  readonly size: number;
}

/** @throws GrokError `argument` when a key, value, name or shape is not what the format allows. */
export function layOutGguf(
  metadata: Iterable<readonly [key: string, value: GgufValue]>,
  tensors: readonly TensorHead[],
): GgufLayout {
  const entries = [...metadata];
  const sink = createSink();
  sink.bytes(Buffer.from("GGUF", "latin1"));
  sink.u32(3);
  sink.u64(tensors.length);
  sink.u64(entries.length);

  const keys = new Set<string>();
  for (const [key, value] of entries) {
    if (!/^[\x00-\x7f]+$/.test(key) || key.length > maxNameBytes) {
      throw new GrokError(
        "argument",
        `metadata key ${JSON.stringify(key.slice(0, 80))} is not ASCII of 1 to ${maxNameBytes} characters`,
        { key },
      );
    }
    if (keys.has(key)) throw new GrokError("argument", `metadata key ${key} is given twice`, { key });
    keys.add(key);
    sink.string(key);
    appendValue(sink, key, value);
  }
  const alignment = alignmentOf(entries);

  const names = new Set<string>();
  let offset = 0;
  for (const tensor of tensors) {
    const { name, shape } = tensor;
    checkTensor(tensor);
    if (names.has(name)) throw new GrokError("argument", `tensor ${name} is given twice`, { tensor: name });
    names.add(name);
    sink.string(name);
    sink.u32(shape.length);
    for (const length of [...shape].reverse()) sink.u64(length);
    sink.u32("type" in tensor ? tensorTypes[tensor.type].ggml : tensor.ggml);
    sink.u64(offset);
    offset += alignUp(byteLength(tensor), alignment);
  }
  const header = sink.done();
  return {
    header,
    tensors: tensors.map((tensor) => ({ bytes: byteLength(tensor) })),
    padding: (bytes) => new Uint8Array(alignUp(bytes, alignment) - bytes),
    size: alignUp(header.length, alignment) + offset,
  };
}

function alignmentOf(entries: readonly (readonly [string, GgufValue])[]): number {
  const value = entries.find(([key]) => key === "general.alignment")?.[1];
  if (!value) return 32;
  let alignment = Number.NaN;
  if (value.type === "u32") {
    alignment =
      "encoded" in value
        ? new DataView(value.encoded.buffer, value.encoded.byteOffset).getUint32(0, true)
        : value.value;
  }
  // Both what the specification asks for (a multiple of 8) and what GGML does (a power of two), so that every reader takes the file.
  if (!(alignment >= 8 && Number.isInteger(Math.log2(alignment)))) {
    throw new GrokError("argument", "general.alignment is not a u32 power of two of at least 8", { alignment });
  }
  return alignment;
}

function checkTensor(tensor: TensorHead): void {
  const { name, shape } = tensor;
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes > 64)
    throw new GrokError("argument", `tensor name ${name} has ${bytes} bytes, expected 1 to 64`, { tensor: name });
  if (
    shape.length > 4 ||
    !shape.every((n) => Number.isSafeInteger(n) && n >= 0) ||
    elementCount(shape) > Number.MAX_SAFE_INTEGER
  ) {
    throw new GrokError("argument", `tensor ${name}: shape [${shape}] is not of up to four whole numbers`, {
      tensor: name,
      shape,
    });
  }
  if (!("type" in tensor)) return;
  const { type } = tensor;
  const { blockSize } = tensorTypes[type];
  if ((shape.at(-1) ?? 1) % blockSize !== 0) {
    throw new GrokError(
      "argument",
      `tensor ${name}: rows of ${shape.at(-1)} do not fill blocks of ${blockSize} (${type})`,
      { tensor: name, shape },
    );
  }
}

function byteLength(tensor: TensorHead): number {
  return "type" in tensor ? encodedBytes(tensor.type, elementCount(tensor.shape)) : tensor.byteLength;
}

function alignUp(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/** The file from first to last: the header, its padding, then each tensor's chunks and padding. */
export async function* fileChunks(model: GgufToWrite): AsyncGenerator<Uint8Array> {
  const { header, tensors, padding } = layOutGguf(model.metadata, model.tensors);
  yield header;
  yield padding(header.length);
  for (const [i, { bytes }] of tensors.entries()) {
    const { name, data } = model.tensors[i]!;
    yield* exactly(name, bytes, data());
    yield padding(bytes);
  }
}
