import { elementCount, type Tensor } from "../tensor/tensor.ts";
import { encodedBytes, tensorTypes } from "../tensor/types.ts";

/** A tensor's bytes from first to last in chunks of at most about `chunkBytes`, for writers: none is held when it is passed on. */
export function* tensorChunks(tensor: Tensor, chunkBytes = 2 ** 26): Generator<Uint8Array> {
  const entries = tensor.shape[0] ?? 1;
  if (elementCount(tensor.shape) === 0) return;
  const step = tensor.shape.length <= 1 ? tensorTypes[tensor.type].blockSize : 1;
  const stepBytes = (encodedBytes(tensor.type, elementCount(tensor.shape)) / entries) * step;
  const perChunk = Math.max(1, Math.floor(chunkBytes / stepBytes)) * step;
  for (let start = 0; start < entries; start += perChunk)
    yield tensor.slice(start, Math.min(start + perChunk, entries));
}
