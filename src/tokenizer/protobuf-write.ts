/** A writer for the few parts of protocol buffers' wire format that SentencePiece models use. */
import { toUtf8 } from "../bytes/utf8.ts";

/** A message under construction; fields stand in the order of the calls. */
export interface MessageWriter {
  /** A varint: bool, enum, or int32 of at least 0; negative int32 take ten bytes, as the format asks. */
  integer(field: number, value: number): MessageWriter;
  float(field: number, value: number): MessageWriter;
  text(field: number, value: string): MessageWriter;
  message(field: number, value: MessageWriter): MessageWriter;
  bytes(): Uint8Array;
}

export function createMessage(): MessageWriter {
  let data = new Uint8Array(64);
  let size = 0;
  const room = (more: number): void => {
    if (size + more <= data.length) return;
    const wider = new Uint8Array(Math.max(data.length * 2, size + more));
    wider.set(data.subarray(0, size));
    data = wider;
  };
  const varint = (value: number): void => {
    let rest = BigInt.asUintN(64, BigInt(value));
    room(10);
    for (; rest >= 0x80n; rest >>= 7n) data[size++] = Number(rest & 0x7fn) | 0x80;
    data[size++] = Number(rest);
  };
  const block = (field: number, value: Uint8Array): MessageWriter => {
    varint(field * 8 + 2);
    varint(value.length);
    room(value.length);
    data.set(value, size);
    size += value.length;
    return writer;
  };
  const writer: MessageWriter = {
    integer(field, value) {
      varint(field * 8);
      varint(value);
      return writer;
    },
    float(field, value) {
      varint(field * 8 + 5);
      room(4);
      new DataView(data.buffer).setFloat32(size, value, true);
      size += 4;
      return writer;
    },
    text: (field, value) => block(field, toUtf8(value)),
    message: (field, value) => block(field, value.bytes()),
    bytes: () => data.slice(0, size),
  };
  return writer;
}
