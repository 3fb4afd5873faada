/**
 * SentencePiece's normalization: a rule table (double-array trie of Darts-clone over replacement strings), removal of
 * extra spaces, the dummy prefix, and `▁` for spaces.
 *
 * Texts are normalized to an inner form in which one byte 0x20 stands for `▁`: a third of its length, and one byte to
 * look for where words part. Escaped texts have no other 0x20, so nothing is lost. Without escaping the inner form is
 * the text itself.
 */

import { toUtf8, wholeCharacter } from "../bytes/utf8.ts";
import { GrokError } from "../errors.ts";
import type { SentencePieceModel } from "./sentencepiece-model.ts";
import { type Steps, stepSize } from "./steps.ts";
import type { Trie } from "./trie.ts";

const space = 0x20;
const longestReplacement = 1024;

/** Replaces E2 96 81 (`▁`) by 0x20. Returns the length of the result, which is written to `to` from 0 on. */
export function shrinkSpaces(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  for (let i = start; i < end; i++) {
    const byte = from[i]!;
    if (byte === 0xe2 && i + 2 < end && from[i + 1] === 0x96 && from[i + 2] === 0x81) {
      to[at++] = space;
      i += 2;
    } else {
      to[at++] = byte;
    }
  }
  return at;
}

interface Replacement {
  /** Consumed bytes; 0: no rule applies. */
  length: number;
  start: number;
  end: number;
}

/** Finds the longest rule at a place of a text. */
function createCharsmap(blob: Uint8Array, source: string) {
  const fail = (): never => {
    throw new GrokError("format", `${source}: the normalization rules (precompiled_charsmap) are damaged`, { source });
  };
  if (blob.length <= 4) fail();
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const trieBytes = view.getUint32(0, true);
  if (trieBytes >= blob.length - 4) fail();
  const units = new Uint32Array(trieBytes >> 2);
  for (let i = 0; i < units.length; i++) units[i] = view.getUint32(4 + i * 4, true);
  const strings = blob.subarray(4 + trieBytes);
  const found: Replacement = { length: 0, start: 0, end: 0 };

  const offset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
  const unitAt = (index: number): number => (index >>> 0 < units.length ? units[index >>> 0]! : fail());

  return {
    strings,
    find(bytes: Uint8Array, start: number, end: number): Replacement {
      found.length = 0;
      if (units.length === 0) return found;
      let node = offset(unitAt(0));
      let value = -1;
      for (let i = start; i < end; i++) {
        node ^= bytes[i]!;
        const unit = node >>> 0 < units.length ? units[node >>> 0]! : 0;
        if ((unit & 0x800000ff) >>> 0 !== bytes[i]) break;
        node ^= offset(unit);
        if ((unit >>> 8) & 1) {
          value = unitAt(node) & 0x7fffffff;
          found.length = i + 1 - start;
        }
      }
      if (found.length > 0) {
        const stop = strings.indexOf(0, value);
        found.start = value;
        found.end = stop < 0 ? strings.length : stop;
        if (value >= strings.length || found.end - value > longestReplacement) fail();
      }
      return found;
    },
  };
}

/** Text to inner form. User-defined symbols (`symbols`, as written in the file) pass as they are. */
export type Normalize = (text: string) => Steps<Uint8Array>;

export function createNormalizer(model: SentencePieceModel, symbols: Trie): Normalize {
  const { escapeWhitespaces, removeExtraWhitespaces, source } = model;
  const prefix = model.addDummyPrefix && !model.whitespaceAsSuffix ? " " : "";
  const suffix = model.addDummyPrefix && model.whitespaceAsSuffix ? " " : "";

  if (model.charsmap.length === 0 && !removeExtraWhitespaces) {
    // biome-ignore lint/correctness/useYield: one step does it
    return function* (text) {
      if (text === "") return new Uint8Array(0);
      const escaped = escapeWhitespaces && text.includes("\u2581") ? text.replaceAll("\u2581", " ") : text;
      return toUtf8(prefix + escaped + suffix);
    };
  }

  const charsmap = model.charsmap.length > 0 ? createCharsmap(model.charsmap, source) : undefined;

  return function* (text) {
    const input = toUtf8(text);
    let output = new Uint8Array(input.length + 16);
    let size = 0;
    let at = 0;
    // The part of the text at `at`, replaced: bytes [start, end) of `part`, for `consumed` bytes of input.
    let part = input;
    let start = 0;
    let end = 0;
    let consumed = 0;
    const readPart = (): void => {
      part = input;
      start = at;
      if (symbols.longest(input, at, input.length) >= 0) {
        consumed = symbols.matched();
        end = at + consumed;
        return;
      }
      const rule = charsmap?.find(input, at, input.length);
      if (rule !== undefined && rule.length > 0) {
        part = charsmap!.strings;
        start = rule.start;
        end = rule.end;
        consumed = rule.length;
        return;
      }
      consumed = Math.max(1, wholeCharacter(input, at, input.length));
      end = at + consumed;
    };
    const room = (more: number): void => {
      if (size + more <= output.length) return;
      const wider = new Uint8Array((size + more) * 2);
      wider.set(output.subarray(0, size));
      output = wider;
    };

    if (removeExtraWhitespaces) {
      for (let rest = stepSize; at < input.length; ) {
        if (at >= rest) {
          yield;
          rest = at + stepSize;
        }
        readPart();
        if (end - start !== 1 || part[start] !== space) break;
        at += consumed;
      }
    }
    if (at >= input.length) return new Uint8Array(0);
    if (prefix !== "") output[size++] = space;
    let afterSpace = removeExtraWhitespaces;
    for (let rest = at + stepSize; at < input.length; ) {
      if (at >= rest) {
        yield;
        rest = at + stepSize;
      }
      readPart();
      while (afterSpace && start < end && part[start] === space) start++;
      if (start < end) {
        room(end - start);
        if (escapeWhitespaces) {
          size = shrinkSpaces(part, start, end, output, size);
        } else {
          output.set(part.subarray(start, end), size);
          size += end - start;
        }
        afterSpace = removeExtraWhitespaces && part[end - 1] === space;
      }
      at += consumed;
    }
    if (removeExtraWhitespaces) while (size > 0 && output[size - 1] === space) size--;
    room(1);
    if (suffix !== "") output[size++] = space;
    return output.subarray(0, size);
  };
}
