/** A reader for the few parts of protocol buffers' wire format that SentencePiece models use. */
import { GrokError } from "../errors.ts";

export interface Field {
  readonly number: number;
  /** For varints (64 bits truncated to 53), and for fixed32 as its raw bits. */
  readonly value: number;
  /** For length-delimited fields; empty otherwise. Offsets into the file's bytes. */
  readonly start: number;
  readonly end: number;
  readonly wire: number;
}

/**
 * Calls `visit` for each field of the message in `bytes[start, end)`.
 *
 * @throws GrokError `format`, naming the place, when a field crosses the message's end or is of no known wire type.
 */
export function readFields(
  bytes: Uint8Array,
  start: number,
  end: number,
  source: string,
  visit: (field: Field) => void,
): void {
  const field = { number: 0, value: 0, start: 0, end: 0, wire: 0 };
  let at = start;

  const fail = (what: string): never => {
    throw new GrokError("format", `${source}: ${what} at byte ${at}: not a SentencePiece model, or damaged`, {
      source,
      offset: at,
    });
  };
  const readVarint = (): number => {
    if (at < end && bytes[at]! < 0x80) return bytes[at++]!;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      if (at >= end) fail("a number is cut off");
      const byte = bytes[at++]!;
      if (i < 8) value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) return value;
    }
    return fail("a number is longer than ten bytes");
  };

  while (at < end) {
    const tag = readVarint();
    field.wire = tag % 8;
    field.number = Math.floor(tag / 8);
    field.value = 0;
    field.start = field.end = at;
    if (field.number === 0) fail("a field has the number 0");
    if (field.wire === 0) {
      field.value = readVarint();
    } else if (field.wire === 1 || field.wire === 5) {
      const size = field.wire === 1 ? 8 : 4;
      if (end - at < size) fail("a number is cut off");
      if (size === 4)
        field.value = bytes[at]! + bytes[at + 1]! * 0x100 + bytes[at + 2]! * 0x10000 + bytes[at + 3]! * 0x1000000;
      at += size;
    } else if (field.wire === 2) {
      const size = readVarint();
      if (size > end - at) fail(`a field of ${size} bytes goes past the end`);
      field.start = at;
      at += size;
      field.end = at;
    } else {
      fail(`a field has the wire type ${field.wire}`);
    }
    visit(field);
  }
}
