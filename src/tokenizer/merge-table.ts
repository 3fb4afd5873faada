/** Merge rules of byte-level BPE, looked up by the ids of two neighbours. */
import { GrokError } from "../errors.ts";
import { type ByteAlphabet, type DecodedPieces, decodeAlphabet } from "./byte-alphabet.ts";
import {
  createPieceTable,
  hashRange,
  maxPieceBytes,
  maxPieces,
  type Pieces,
  type PieceTable,
  pieceText,
} from "./pieces.ts";

export interface MergeTable {
  /** Rule (its position in the file, which is its rank) that joins two ids, or -1. */
  find(left: number, right: number): number;
  /** Id that each rule makes. */
  readonly results: Int32Array;
}

/**
 * Reads rules `left right`, both in the alphabet.
 *
 * @throws GrokError `format` for a rule without two parts, or whose parts or result the vocabulary lacks.
 */
export function createMergeTable(
  merges: Pieces,
  alphabet: ByteAlphabet,
  decoded: DecodedPieces,
  table: PieceTable,
  source: string,
): MergeTable {
  const { count, blob, offsets } = merges;
  if (count > maxPieces) {
    throw new GrokError("unsupported", `${source}: ${count} merges, at most ${maxPieces} are supported`, { source });
  }
  let bits = 4;
  while (1 << bits < count * 2) bits++;
  const mask = (1 << bits) - 1;
  const shift = 32 - bits;
  const slots = new Int32Array(1 << bits).fill(-1);
  const lefts = new Int32Array(count);
  const rights = new Int32Array(count);
  const results = new Int32Array(count);
  const slotOf = (left: number, right: number): number =>
    (Math.imul(left, 0x9e3779b1) ^ Math.imul(right + 0x7f4a7c15, 0x85ebca6b)) >>> shift;

  // Some files mark a piece that merges make (a run of spaces, say) as an added token.
  let added: PieceTable | undefined;
  const idOf = (bytes: Uint8Array, start: number, end: number): number => {
    const hash = hashRange(bytes, start, end);
    const id = table.find(bytes, start, end, hash);
    if (id >= 0) return id;
    added ??= createPieceTable(
      decoded.pieces,
      source,
      decoded.plain.map((flag) => 1 - flag),
    );
    return added.find(bytes, start, end, hash);
  };
  const fail = (rule: number, what: string): never => {
    const name = JSON.stringify(pieceText(merges, rule).slice(0, 80));
    throw new GrokError("format", `${source}: merge ${rule}, ${name}, ${what}`, { source, merge: rule });
  };

  const joined = new Uint8Array(2 * maxPieceBytes);
  for (let rule = 0; rule < count; rule++) {
    const start = offsets[rule]!;
    const end = offsets[rule + 1]!;
    if (end - start > joined.length) fail(rule, `has ${end - start} bytes, expected at most ${joined.length}`);
    let gap = start + 1;
    while (gap < end && blob[gap] !== 0x20) gap++;
    if (gap >= end - 1) fail(rule, "is not two parts with a space between them");
    const middle = decodeAlphabet(alphabet, blob, start, gap, joined, 0);
    const stop = middle < 0 ? -1 : decodeAlphabet(alphabet, blob, gap + 1, end, joined, middle);
    if (stop < 0) fail(rule, "has a character outside the byte alphabet");
    const left = idOf(joined, 0, middle);
    const right = idOf(joined, middle, stop);
    const result = idOf(joined, 0, stop);
    if (left < 0 || right < 0 || result < 0) fail(rule, "has a part or a result that is not in the vocabulary");
    lefts[rule] = left;
    rights[rule] = right;
    results[rule] = result;
    let slot = slotOf(left, right);
    for (let probes = 0; ; slot = (slot + 1) & mask) {
      const at = slots[slot]!;
      // Of equal rules the last one counts, as in the tokenizers library.
      if (at < 0 || (lefts[at] === left && rights[at] === right)) break;
      if (++probes > 1000) fail(rule, "collides with a thousand others; the file was made to slow readers down");
    }
    slots[slot] = rule;
  }

  return {
    results,
    find(left, right) {
      for (let slot = slotOf(left, right); ; slot = (slot + 1) & mask) {
        const rule = slots[slot]!;
        if (rule < 0 || (lefts[rule] === left && rights[rule] === right)) return rule;
      }
    },
  };
}
