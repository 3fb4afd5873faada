import { placeBytes, readPlace, type Tensor } from "../tensor/tensor.ts";

/** A tensor's bytes from first to last in chunks of at most `chunkBytes`, for writers: none is held when it is passed on. */
export function* tensorChunks(tensor: Pick<Tensor, "places">, chunkBytes = 2 ** 26): Generator<Uint8Array> {
  for (const place of tensor.places) {
    const end = placeBytes(place);
    for (let start = 0; start < end; start += chunkBytes)
      yield readPlace(place, start, Math.min(start + chunkBytes, end));
  }
}
