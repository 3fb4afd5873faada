import { createHash } from "node:crypto";

/** Tokenized documents, and the file that keeps them: made once, read by every run after. */

export interface TokenizedDocuments {
  readonly count: number;
  /** All documents' tokens, one after the other. */
  readonly ids: Uint16Array | Uint32Array;
  /** [count + 1] where each document begins in `ids`. */
  readonly starts: Uint32Array;
  /** [count] UTF-8 bytes of the text that is learned. */
  readonly textBytes: Uint32Array;
  /** [count] 32 bits of the content's hash. */
  readonly hashes: Uint32Array;
  /** 1 for a token that is learned; absent: every token but a document's first is. */
  readonly mask: Uint8Array | undefined;
  /** Documents left out, and cut, because they did not fit the context. */
  readonly skipped: number;
  readonly truncated: number;
  /** Documents without anything to learn; where the first is: the number of its file, and its line. */
  readonly empty: number;
  readonly emptyFile: number;
  readonly emptyLine: number;
}

const magic = 0x33444947; // "GID3"
const headerWords = 11;

/**
 * Layout, little endian: eleven 32-bit words (magic, bytes an id, documents, tokens, masked, skipped, truncated, empty, file
 * and line of the first empty one, the first of the SHA-256 of all that follows), then starts, textBytes, hashes, ids, mask.
 */
export function encodeIds(documents: TokenizedDocuments): Uint8Array[] {
  const { ids, starts, textBytes, hashes, mask } = documents;
  const bytesOf = (part: ArrayBufferView) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
  const parts = [starts, textBytes, hashes, ids, ...(mask ? [mask] : [])].map(bytesOf);
  const header = Uint32Array.of(
    ...[magic, ids.BYTES_PER_ELEMENT, documents.count, ids.length],
    ...[mask === undefined ? 0 : 1, documents.skipped, documents.truncated],
    ...[documents.empty, documents.emptyFile, documents.emptyLine, firstWordOfHash(parts)],
  );
  return [bytesOf(header), ...parts];
}

function firstWordOfHash(parts: readonly Uint8Array[]): number {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest().readUInt32LE(0);
}

/** Undefined when the bytes are not such a file, not all of it, or not what was written. */
export function decodeIds(bytes: Uint8Array): TokenizedDocuments | undefined {
  if (bytes.length < headerWords * 4) return undefined;
  // A copy of its own: views need their alignment, and a small Buffer shares its memory with others.
  const whole = new Uint8Array(bytes).buffer;
  const header = new Uint32Array(whole, 0, headerWords);
  const [first, idBytes, count, tokens, masked, skipped, truncated, empty, emptyFile, emptyLine, sum] = header;
  if (first !== magic || (idBytes !== 2 && idBytes !== 4) || masked! > 1) return undefined;
  const size = headerWords * 4 + (3 * count! + 1) * 4 + tokens! * idBytes + tokens! * masked!;
  if (bytes.length !== size || firstWordOfHash([bytes.subarray(headerWords * 4)]) !== sum) return undefined;
  let at = headerWords * 4;
  const words = (length: number): Uint32Array => {
    const view = new Uint32Array(whole, at, length);
    at += length * 4;
    return view;
  };
  const starts = words(count! + 1);
  const textBytes = words(count!);
  const hashes = words(count!);
  const ids = idBytes === 2 ? new Uint16Array(whole, at, tokens) : new Uint32Array(whole, at, tokens);
  at += tokens! * idBytes;
  if (starts[0] !== 0 || starts[count!] !== tokens) return undefined;
  for (let i = 0; i < count!; i++) if (starts[i + 1]! < starts[i]! + 2) return undefined;
  const mask = masked === 1 ? new Uint8Array(whole, at, tokens) : undefined;
  const counts = { skipped: skipped!, truncated: truncated!, empty: empty! };
  return {
    count: count!,
    ids,
    starts,
    textBytes,
    hashes,
    mask,
    ...counts,
    emptyFile: emptyFile!,
    emptyLine: emptyLine!,
  };
}
