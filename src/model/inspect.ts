import { readdirSync, statSync } from "node:fs";
import { readHead } from "../bytes/head.ts";
import { ioError } from "../bytes/io-error.ts";
import { GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { openSafetensors } from "../formats/safetensors/file.ts";
import { describeDuplicates } from "../tokenizer/duplicates.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import type { TokenizerInfo } from "../tokenizer/tokenizer.ts";
import { describeModel, type ModelDescription } from "./describe.ts";

/** What is in a file of a model or an adapter. */
export interface Inspection {
  readonly path: string;
  readonly format: string;
  readonly files: readonly string[];
  readonly bytes: number;
  readonly metadata: Readonly<Record<string, MetadataValue>>;
  readonly model?: ModelDescription;
  readonly tokenizer?: TokenizerSummary;
  /** Why there is no description of a model or a tokenizer. */
  readonly problems: readonly string[];
  readonly tensors: readonly TensorEntry[];
}

export type MetadataValue =
  | string
  | number
  | bigint
  | boolean
  | readonly unknown[]
  /** A long array, by its first items. */
  | { readonly array: string; readonly count: number; readonly head: readonly MetadataValue[] };

export interface TensorEntry {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  /** Where its bytes begin, from the start of `source`. */
  readonly offset: number;
  /** Absent for a type whose size is not known. */
  readonly bytes?: number;
  readonly source: string;
}

export interface TokenizerSummary extends TokenizerInfo {
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly endOfGeneration: readonly number[];
  readonly addBos: boolean;
}

/** Arrays longer than this are shown by their first items. */
const shownItems = 8;

/**
 * Looks into a GGUF or safetensors file, or a safetensors index, without starting anything: its header is read, nothing else.
 * @throws GrokError `io`, `format` for what is neither or is damaged
 */
export function inspectFile(path: string): Inspection {
  // A GGUF file is known by its first four bytes, whatever its name; a safetensors file by the "{" of its header, or an
  // index by that of the whole. A name that promises one of them gets that format's own word on what is wrong.
  refuseFolder(path);
  const head = readHead(path, 9).toString("latin1");
  if (head.startsWith("GGUF") || path.endsWith(".gguf")) return inspectGguf(path);
  if (head[8] === "{" || head.trimStart().startsWith("{") || /\.(safetensors|json)$/.test(path)) {
    return inspectSafetensors(path);
  }
  throw new GrokError("format", `${path}: ${foreignFile(path, head)}`, { path });
}

/** @throws GrokError `io` for a folder, naming a file of it that can be looked into. */
function refuseFolder(path: string): void {
  let names: string[];
  try {
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
    names = readdirSync(path).sort();
  } catch (error) {
    throw ioError("open", path, error);
  }
  const name = names.find((each) => /\.(gguf|safetensors(\.index\.json)?)$/.test(each));
  const hint = name === undefined ? "" : `: name a file in it, such as ${name}`;
  throw new GrokError("io", `${path}: cannot open: it is a folder${hint}`, { path });
}

/** What to say of a file that is neither GGUF nor safetensors. */
function foreignFile(path: string, head: string): string {
  // A SentencePiece file is a protocol buffer whose first field, the pieces, has the tag 0x0a.
  if (path.endsWith(".model") && head.startsWith("\n")) {
    return "a SentencePiece tokenizer, by its looks; grok1 tokenize --tokenizer reads it, inspect expects GGUF or safetensors";
  }
  if (head === "") return "the file is empty, expected GGUF or safetensors";
  return `neither GGUF nor safetensors: it begins with ${JSON.stringify(head.slice(0, 4))}`;
}

function inspectGguf(path: string): Inspection {
  const file = openGguf(path);
  try {
    const tensors = [
      ...[...file.tensors.values()].map(({ name, type, shape, offset, byteLength, source }) => {
        return { name, type: type as string, shape, offset, bytes: byteLength, source };
      }),
      ...[...file.opaque.values()].map(({ name, typeName, shape, offset, source }) => {
        return { name, type: typeName, shape, offset, source };
      }),
    ];
    const model = attempt(() => describeModel(file));
    const tokenizer = file.metadata.has("tokenizer.ggml.model") ? attempt(() => summarizeTokenizer(file)) : undefined;
    const duplicates = tokenizer?.result && describeDuplicates(tokenizer.result.duplicates);
    return {
      path,
      format: `GGUF version ${file.version}`,
      files: file.paths,
      bytes: file.size,
      metadata: Object.fromEntries([...file.metadata.keys()].map((key) => [key, metadataValue(file, key)])),
      ...(model?.result && { model: model.result }),
      ...(tokenizer?.result && { tokenizer: tokenizer.result }),
      problems: [model?.problem, tokenizer?.problem, duplicates].filter((problem) => problem !== undefined),
      tensors,
    };
  } finally {
    file.close();
  }
}

function inspectSafetensors(path: string): Inspection {
  const file = openSafetensors(path);
  try {
    return {
      path,
      format: "safetensors",
      files: file.paths,
      bytes: file.size,
      metadata: Object.fromEntries(file.metadata),
      problems: [],
      tensors: [...file.entries.values()].map(({ name, dtype, shape, offset, byteLength, source }) => {
        return { name, type: dtype, shape, offset, bytes: byteLength, source };
      }),
    };
  } finally {
    file.close();
  }
}

/** A file that is no whole model can still be looked at: what is missing is said among the rest. */
function attempt<T>(make: () => T): { readonly result?: T; readonly problem?: string } {
  try {
    return { result: make() };
  } catch (error) {
    if (error instanceof GrokError) return { problem: error.message };
    throw error;
  }
}

function metadataValue(file: GgufFile, key: string): MetadataValue {
  const { type, items, count } = file.metadata.typeOf(key)!;
  if (type === "array" && count! > shownItems) {
    return { array: items!, count: count!, head: file.metadata.head(key, shownItems).map(plain) };
  }
  return plain(file.metadata.get(key));
}

/** Typed arrays as plain ones, so that they look like lists in JSON. */
function plain(value: unknown): MetadataValue {
  return ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : (value as MetadataValue);
}

function summarizeTokenizer(file: GgufFile) {
  const { info, bos, eos, endOfGeneration, addBos } = tokenizerFromGguf(file.metadata, file.path);
  return { ...info, bos, eos, endOfGeneration: [...endOfGeneration], addBos };
}
