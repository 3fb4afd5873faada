/** SentencePiece's `tokenizer.model`: a protocol buffer, ModelProto of sentencepiece_model.proto. */

import { fromUtf8 } from "../bytes/utf8.ts";
import { counted, GrokError } from "../errors.ts";
import { type Pieces, pieceBytes, pieceText } from "./pieces.ts";
import { type Field, readFields } from "./protobuf.ts";
import { createSentencePiece } from "./sentencepiece.ts";
import { checkPieces, defaultUnknownSurface, findByteIds, type SentencePieceModel } from "./sentencepiece-model.ts";
import { pieceTypes, type Tokenizer } from "./tokenizer.ts";

const modelTypes: Readonly<Record<number, string>> = { 1: "unigram", 2: "bpe", 3: "word", 4: "char" };

/** The longest `tokenizer.model` that is read: some twenty times the largest published one. */
export const maxModelBytes = 2 ** 27;

interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Reads a `tokenizer.model`. Such files do not say whether prompts begin with bos: `addBos` is false.
 *
 * @throws GrokError `format` or `unsupported`, naming `source` and the place.
 */
export function tokenizerFromSentencePiece(bytes: Uint8Array, source: string): Tokenizer {
  return createSentencePiece(readSentencePieceModel(bytes, source));
}

/**
 * Reads a model; nothing of `bytes` is kept.
 *
 * @throws GrokError `format` for damage, `unsupported` for word and char models and for denormalization rules.
 */
export function readSentencePieceModel(file: Uint8Array, source: string): SentencePieceModel {
  // A plain array over the same bytes: a Buffer's methods are slower.
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
  const trainer = {
    modelType: 1,
    byteFallback: false,
    whitespaceAsSuffix: false,
    unknownSurface: defaultUnknownSurface,
    names: { unknown: "<unk>", bos: "<s>", eos: "</s>", pad: "<pad>" },
  };
  const normalizer = { charsmap: new Uint8Array(0), addDummyPrefix: true, removeExtraWhitespaces: true, escape: true };
  let denormalizes = false;
  const text = (span: Span): string => fromUtf8(bytes.subarray(span.start, span.end));

  const readTrainer = (span: Span): void =>
    readFields(bytes, span.start, span.end, source, (field) => {
      if (field.number === 3) trainer.modelType = field.value;
      else if (field.number === 24) trainer.whitespaceAsSuffix = field.value !== 0;
      else if (field.number === 35) trainer.byteFallback = field.value !== 0;
      else if (field.number === 44) trainer.unknownSurface = text(field);
      else if (field.number === 45) trainer.names.unknown = text(field) || trainer.names.unknown;
      else if (field.number === 46) trainer.names.bos = text(field) || trainer.names.bos;
      else if (field.number === 47) trainer.names.eos = text(field) || trainer.names.eos;
      else if (field.number === 48) trainer.names.pad = text(field) || trainer.names.pad;
    });
  const readNormalizer = (span: Span): void =>
    readFields(bytes, span.start, span.end, source, (field) => {
      if (field.number === 2) normalizer.charsmap = bytes.slice(field.start, field.end);
      else if (field.number === 3) normalizer.addDummyPrefix = field.value !== 0;
      else if (field.number === 4) normalizer.removeExtraWhitespaces = field.value !== 0;
      else if (field.number === 5) normalizer.escape = field.value !== 0;
    });

  // A piece takes two bytes of the file at least: room for as many, of which only what is used costs memory.
  const room = bytes.length >> 1;
  const blob = new Uint8Array(bytes.length);
  const offsets = new Uint32Array(room + 1);
  const scores = new Float32Array(room);
  const types = new Uint8Array(room);
  const bits = new DataView(new ArrayBuffer(4));
  let count = 0;
  let used = 0;
  const readPiece = (field: Field): void => {
    if (field.number === 1) {
      used = offsets[count]!;
      for (let i = field.start; i < field.end; i++) blob[used++] = bytes[i]!;
    } else if (field.number === 2) {
      bits.setUint32(0, field.value);
      scores[count] = bits.getFloat32(0);
    } else if (field.number === 3) {
      types[count] = field.value <= pieceTypes.byte ? field.value : 0;
    }
  };
  readFields(bytes, 0, bytes.length, source, (field) => {
    if (field.wire !== 2) return;
    if (field.number === 1) {
      used = offsets[count]!;
      types[count] = pieceTypes.normal;
      readFields(bytes, field.start, field.end, source, readPiece);
      offsets[++count] = used;
    } else if (field.number === 2) readTrainer(field);
    else if (field.number === 3) readNormalizer(field);
    else if (field.number === 5) {
      readFields(bytes, field.start, field.end, source, (inner) => {
        if (inner.number === 2 && inner.end > inner.start) denormalizes = true;
      });
    }
  });
  const pieces: Pieces = { count, blob: blob.slice(0, used), offsets: offsets.slice(0, count + 1) };

  const algorithm = modelTypes[trainer.modelType];
  if (algorithm !== "bpe" && algorithm !== "unigram") {
    throw new GrokError(
      "unsupported",
      `${source}: a SentencePiece model of the type ${algorithm ?? trainer.modelType}; bpe and unigram are supported`,
      { source, type: algorithm ?? trainer.modelType },
    );
  }
  if (denormalizes) {
    throw new GrokError("unsupported", `${source}: the model has denormalization rules, which are not supported`, {
      source,
    });
  }
  checkPieces(pieces, scores, types, source);
  const byteIds = findByteIds(pieces, types, source);
  if (trainer.byteFallback !== (byteIds !== undefined)) {
    throw new GrokError(
      "format",
      `${source}: byte_fallback is ${trainer.byteFallback}, but the vocabulary has ${byteIds ? "" : "no "}byte pieces`,
      { source },
    );
  }
  const unknowns: number[] = [];
  const controls = new Map<string, number>();
  for (let i = 0; i < count; i++) {
    if (types[i] === pieceTypes.unknown) unknowns.push(i);
    else if (types[i] === pieceTypes.control && pieceBytes(pieces, i).length < 256)
      controls.set(pieceText(pieces, i), i);
  }
  if (unknowns.length !== 1) {
    throw new GrokError("format", `${source}: ${counted(unknowns.length, "piece")} of the type unknown, expected one`, {
      source,
    });
  }
  const eos = controls.get(trainer.names.eos);
  return {
    source,
    algorithm,
    pieces,
    scores: scores.slice(0, count),
    types: types.slice(0, count),
    byteFallback: trainer.byteFallback,
    addDummyPrefix: normalizer.addDummyPrefix,
    removeExtraWhitespaces: normalizer.removeExtraWhitespaces,
    escapeWhitespaces: normalizer.escape,
    whitespaceAsSuffix: trainer.whitespaceAsSuffix,
    charsmap: normalizer.charsmap,
    unknownSurface: trainer.unknownSurface,
    duplicates: "refused",
    unknown: unknowns[0]!,
    bos: controls.get(trainer.names.bos),
    eos,
    pad: controls.get(trainer.names.pad),
    addBos: false,
    addEos: false,
    endOfGeneration: new Set(eos === undefined ? [] : [eos]),
  };
}
