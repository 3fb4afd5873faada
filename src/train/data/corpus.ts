import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { makeFolder } from "../../bytes/folder.ts";
import { readTextBytes } from "../../bytes/text-file.ts";
import { readWhole } from "../../bytes/whole-file.ts";
import { counted, GrokError } from "../../errors.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { Document } from "./document.ts";
import { readDocuments } from "./documents.ts";
import { type EncodedDocument, type EncodingOptions, encodeDocument } from "./encode.ts";
import { decodeIds, encodeIds, type TokenizedDocuments } from "./ids-file.ts";
import { type DataSource, findFiles } from "./source.ts";

export interface CorpusOptions extends EncodingOptions {
  /** Tokens of a sequence at most: what pairs and conversations have to fit. */
  readonly context: number;
  /** Stands for the tokenizer and template in the cache's names: a hash of their files. */
  readonly encodingKey: string;
  /** Folder for tokenized files; made when missing. Without it everything is tokenized anew. */
  readonly cache?: string;
  /** Told the file that is being tokenized. */
  readonly onFile?: (file: string) => void;
}

/** A source's documents as tokens, split into what is trained on and what is held out. */
export interface Corpus {
  readonly source: DataSource;
  readonly documents: TokenizedDocuments;
  /** Documents for training, by number. */
  readonly training: Uint32Array;
  readonly heldOut: Corpus["training"];
  /** Where the held-out documents are: those of other files when the source names such. */
  readonly heldOutDocuments: TokenizedDocuments;
  /** Content hash of files, tokenizer and settings. */
  readonly key: string;
}

/** What of the data is not used as it stands, and was not refused either. */
export interface PassedOver {
  /** Documents that did not fit the context and were left out, or cut. */
  readonly skipped: number;
  readonly truncated: number;
  /** Pairs and conversations without anything to learn, and where the first of them is. */
  readonly empty: number;
  readonly firstEmpty?: string;
}

export function countPassedOver(corpora: readonly Corpus[]): PassedOver {
  const files = corpora.flatMap(({ source, documents, heldOutDocuments }) => [
    { path: source.path, documents },
    ...(heldOutDocuments === documents ? [] : [{ path: String(source.heldOut), documents: heldOutDocuments }]),
  ]);
  const sum = (key: "skipped" | "truncated" | "empty") => files.reduce((all, { documents }) => all + documents[key], 0);
  const first = files.find(({ documents }) => documents.empty > 0);
  return {
    ...{ skipped: sum("skipped"), truncated: sum("truncated"), empty: sum("empty") },
    ...(first && {
      firstEmpty: `${findFiles(first.path)[first.documents.emptyFile]}, line ${first.documents.emptyLine}`,
    }),
  };
}

/**
 * Reads and tokenizes a source, or takes it from the cache. Held out are the documents whose content's hash falls into the
 * share, so that the split never depends on order or on other documents and equal documents stay together; or all of
 * the held-out files' documents, which are then left out of the training where they occur there too.
 *
 * @throws GrokError `io`, `format` or `argument` naming file and line.
 */
export async function loadCorpus(source: DataSource, options: CorpusOptions): Promise<Corpus> {
  const { documents, key } = await tokenizeFiles(source.path, source, options);
  const all = Array.from({ length: documents.count }, (_, index) => index);
  if (typeof source.heldOut === "string") {
    const other = await tokenizeFiles(source.heldOut, source, options);
    const hashes = new Set(other.documents.hashes);
    return {
      source,
      documents,
      training: checkTraining(Uint32Array.from(all.filter((index) => !hashes.has(documents.hashes[index]!))), source),
      heldOut: Uint32Array.from({ length: other.documents.count }, (_, index) => index),
      heldOutDocuments: other.documents,
      key: `${key}${other.key}`,
    };
  }
  const limit = source.heldOut * 2 ** 32;
  return {
    source,
    documents,
    training: checkTraining(Uint32Array.from(all.filter((index) => documents.hashes[index]! >= limit)), source),
    heldOut: Uint32Array.from(all.filter((index) => documents.hashes[index]! < limit)),
    heldOutDocuments: documents,
    key: `${key}${source.heldOut}`,
  };
}

function checkTraining(training: Uint32Array, source: DataSource): Uint32Array {
  if (training.length > 0) return training;
  throw new GrokError(
    "argument",
    `${source.path}: no document is left for training: all are held out, skipped, or without anything to learn`,
    {
      path: source.path,
    },
  );
}

async function tokenizeFiles(path: string, source: DataSource, options: CorpusOptions) {
  const files = findFiles(path).map((file) => ({ file, bytes: readTextBytes(file) }));
  const { format, separator, keys, overlong } = source;
  const conversational = format === "pairs" || format === "chat";
  const hash = createHash("sha256").update(
    JSON.stringify([
      ...[2, format, separator, keys, options.encodingKey, options.addBos, options.addEos],
      ...(conversational ? [overlong, options.context] : []),
    ]),
  );
  for (const { bytes } of files) hash.update(createHash("sha256").update(bytes).digest());
  const key = hash.digest("hex");

  const cached = options.cache === undefined ? undefined : join(options.cache, `${key.slice(0, 32)}-2.ids`);
  if (cached !== undefined && existsSync(cached)) {
    // One that is not whole is made anew.
    const documents = decodeIds(Buffer.from(readWhole(cached, Number.POSITIVE_INFINITY).buffer));
    if (documents) return { documents, key };
  }
  const documents = tokenize(files, source, options);
  if (cached !== undefined) {
    makeFolder(options.cache!);
    await writeAtomic(cached, encodeIds(documents));
  }
  return { documents, key };
}

function tokenize(
  files: readonly { readonly file: string; readonly bytes: Buffer }[],
  source: DataSource,
  options: CorpusOptions,
): TokenizedDocuments {
  const starts = [0];
  const textBytes: number[] = [];
  const hashes: number[] = [];
  const masked = source.format === "pairs" || source.format === "chat";
  const wide = options.tokenizer.vocabSize > 0x10000;
  let ids: Uint16Array | Uint32Array = wide ? new Uint32Array(1 << 16) : new Uint16Array(1 << 16);
  let mask = new Uint8Array(masked ? ids.length : 0);
  let used = 0;
  let skipped = 0;
  let truncated = 0;
  let [empty, emptyFile, emptyLine] = [0, 0, 0];
  for (const [number, { file, bytes }] of files.entries()) {
    options.onFile?.(file);
    for (const document of readDocuments(file, bytes, source)) {
      if (document.kind === "empty") {
        if (empty++ === 0) [emptyFile, emptyLine] = [number, document.line];
        continue;
      }
      const encoded = encodeDocument(document, options);
      let length = encoded.ids.length;
      let learnedBytes = encoded.bytes;
      // A sequence of n tokens is n - 1 inputs and as many targets.
      if (masked && length > options.context + 1) {
        const begun = encoded.learned!.some(([from]) => from <= options.context);
        if (source.overlong === "error") failOverlong(document, length, options.context);
        if (source.overlong === "skip" || !begun) {
          skipped++;
          continue;
        }
        length = options.context + 1;
        learnedBytes = countBytes(encoded, length, options.tokenizer);
        truncated++;
      }
      if (length < 2) continue;
      if (used + length > ids.length) {
        const wider = wide ? new Uint32Array((used + length) * 2) : new Uint16Array((used + length) * 2);
        wider.set(ids.subarray(0, used));
        ids = wider;
        if (masked) {
          const widerMask = new Uint8Array(wider.length);
          widerMask.set(mask.subarray(0, used));
          mask = widerMask;
        }
      }
      ids.set(encoded.ids.subarray(0, length), used);
      for (const [from, to] of encoded.learned ?? []) mask.fill(1, used + from, used + Math.min(to, length));
      used += length;
      if (used >= 2 ** 32) throw new GrokError("capacity", `${file}: over 4 billion tokens in one source`, { file });
      starts.push(used);
      textBytes.push(learnedBytes);
      hashes.push(hashOf(document));
    }
  }
  return {
    count: textBytes.length,
    ids: ids.slice(0, used),
    starts: Uint32Array.from(starts),
    textBytes: Uint32Array.from(textBytes),
    hashes: Uint32Array.from(hashes),
    mask: masked ? mask.slice(0, used) : undefined,
    ...{ skipped, truncated, empty, emptyFile, emptyLine },
  };
}

/** Bytes of the learned tokens before `length`. */
function countBytes({ ids, learned }: EncodedDocument, length: number, tokenizer: Tokenizer): number {
  let bytes = 0;
  for (const [from, to] of learned ?? []) {
    for (let at = from; at < Math.min(to, length); at++) bytes += tokenizer.bytes(ids[at]!).length;
  }
  return bytes;
}

function failOverlong({ file, line }: Document, tokens: number, context: number): never {
  throw new GrokError(
    "format",
    `${file}, line ${line}: ${counted(tokens, "token")}, but the context holds ${context}: shorten it, or set overlong to "truncate" or "skip"`,
    { file, line, tokens, context },
  );
}

/** 32 bits of the content's SHA-256. */
function hashOf(document: Exclude<Document, { kind: "empty" }>): number {
  return createHash("sha256").update(contentOf(document)).digest().readUInt32LE(0);
}

function contentOf(document: Exclude<Document, { kind: "empty" }>): string {
  if (document.kind === "text") return document.text;
  if (document.kind === "pair") return JSON.stringify([document.prompt, document.answer]);
  const { messages, learned, variables } = document;
  const plain = messages.every(({ role }, i) => learned[i] === (role === "assistant"));
  return JSON.stringify(plain && Object.keys(variables).length === 0 ? messages : [messages, learned, variables]);
}
