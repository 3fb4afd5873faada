/** UTF-8: strings to bytes, and validity of byte sequences character by character. */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** UTF-8 of a string; lone surrogates become U+FFFD. */
export function toUtf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** String of UTF-8 bytes; each maximal ill-formed part becomes one U+FFFD. */
export function fromUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Length of the character that a lead byte opens, in text known to be UTF-8. */
export function characterLength(lead: number): number {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/**
 * Looks at the character at `start`: its length when it is whole and well-formed (Unicode 15, table 3-7), 0 when the
 * bytes up to `end` are only a beginning that can still become one, -1 when they cannot.
 */
export function wholeCharacter(bytes: Uint8Array, start: number, end: number): number {
  const lead = bytes[start]!;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return -1;
  const length = characterLength(lead);
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  for (let i = 1; i < length; i++) {
    if (start + i >= end) return 0;
    const next = bytes[start + i]!;
    if (i === 1 ? next < low || next > high : (next & 0xc0) !== 0x80) return -1;
  }
  return length;
}
