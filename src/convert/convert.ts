import { statSync } from "node:fs";
import { basename } from "node:path";
import { checkDestination } from "../bytes/destination.ts";
import { type Section, writeResumable } from "../bytes/resumable-write.ts";
import { GrokError } from "../errors.ts";
import { layOutGguf } from "../formats/gguf/write.ts";
import { checkNames, checkText } from "../options.ts";
import { createRowEncoder, type RowEncoder } from "../tensor/row-encoder.ts";
import { elementCount } from "../tensor/tensor.ts";
import { encodedBytes, type TensorType, tensorTypes } from "../tensor/types.ts";
import { writeHashes } from "./hashes.ts";
import { openSource } from "./open-source.ts";
import { type Recipe, recipeNamed } from "./recipe.ts";
import type { Metadata, ModelSource, SourceTensor } from "./source.ts";

/** What to convert, and into what. */
export interface ConversionChoice {
  /** A model: a GGUF file, or a folder that {@link openSource} knows. */
  readonly source: string;
  /**
   * Type of the matrices, such as `q8_0` or `q4_k`; gains and the router stay f32. "keep": for each tensor the smallest type that holds
   * it as it is stored.
   */
  readonly type: string;
}

export interface ConvertOptions extends ConversionChoice {
  /** The GGUF file to write. */
  readonly out: string;
  /** Stops between two chunks with GrokError `cancelled`; the next run with the same options goes on. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
}

export interface ConvertProgress {
  /** The tensor that is written. */
  readonly tensor: string;
  /** Its place, from 0, of `tensors`. */
  readonly index: number;
  readonly tensors: number;
  /** Stored bytes that are done, about, of `total`; of these, what an earlier run had done. */
  readonly done: number;
  readonly total: number;
  readonly kept: number;
}

/** A conversion that was looked at and not made. */
export interface ConversionPlan {
  readonly source: string;
  /** What the source is, in words. */
  readonly kind: string;
  /** In the file's order. */
  readonly tensors: readonly PlannedTensor[];
  /** Bytes that are read. */
  readonly storedBytes: number;
  /** Of the file. */
  readonly bytes: number;
}

export interface PlannedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** The file that it lies in, where the source has one for each tensor. */
  readonly from?: string;
  /** What it is stored as, in words. */
  readonly stored: string;
  readonly storedBytes: number;
  readonly type: TensorType;
  readonly bytes: number;
}

export interface ConvertResult extends ConversionPlan {
  readonly out: string;
  /** Of the whole file, in hexadecimal; it stands in `OUT.sha256`, with that of each tensor in `OUT.manifest.json`. */
  readonly sha256: string;
  /** How many tensors an earlier run had written. */
  readonly kept: number;
}

/** What a conversion would write: names, shapes, types and sizes. Reads headers. @throws GrokError as {@link convertModel}. */
export function planConversion(choice: ConversionChoice): ConversionPlan {
  checkNames("planConversion", choice, ["source", "type"]);
  checkChoice(choice);
  const source = openSource(choice.source);
  try {
    return planRecipe(source, recipeNamed(choice.type, source.tensors));
  } finally {
    source.close();
  }
}

/**
 * Converts a model to one GGUF file: streaming, each source file read once, in memory that does not grow with the model. A run that was
 * interrupted is continued by the next with the same options ({@link writeResumable}). Two runs write the same bytes. Beside the
 * file stand its hash as `sha256sum` writes it (`OUT.sha256`) and a manifest with each tensor's (`OUT.manifest.json`).
 *
 * @throws GrokError `io`, `cancelled`; `argument` for an unknown type or a value that its type cannot hold, and where the result would
 * stand in place of the source; what opening and reading the source throws.
 */
export async function convertModel(options: ConvertOptions): Promise<ConvertResult> {
  checkNames("convertModel", options, optionNames);
  checkChoice(options);
  const { out, signal, onProgress } = options;
  checkText("out", out);
  const source = openSource(options.source);
  try {
    return await writeConversion(source, recipeNamed(options.type, source.tensors), { out, signal, onProgress });
  } finally {
    source.close();
  }
}

export interface WriteOptions extends Pick<ConvertOptions, "out" | "signal" | "onProgress"> {
  readonly threads?: number | undefined;
  /** How much an error in each column of a tensor weighs, of each matrix of a stack, and what the file that says it hashes to. */
  readonly importance?:
    | { readonly of: (tensor: string) => Float32Array | undefined; readonly sha256: string }
    | undefined;
  /** What rounds in place of the encoder, where it knows how. */
  readonly rounding?: Rounding | undefined;
}

/** A way of rounding that goes by more than the rows it is given. */
export interface Rounding {
  /** Another id may mean other bytes. */
  readonly id: string;
  /** Asked in the order of the file; undefined: it knows nothing of this tensor. */
  of(tensor: string, type: TensorType): Promise<MatrixRounding | undefined>;
}

export interface MatrixRounding {
  /** Rows of a tensor's matrix, or of matrix `matrix` of a stack, in the type that was asked for. */
  encode(matrix: number, rows: Float32Array): Uint8Array;
}

/** Writes a source by a recipe. @throws GrokError as {@link convertModel}. */
export async function writeConversion(
  source: ModelSource,
  recipe: Recipe,
  { out, signal, onProgress, threads, importance, rounding }: WriteOptions,
): Promise<ConvertResult> {
  if (out === "-") {
    throw new GrokError("argument", "-: a model is written at many places, expected a file's name", { path: out });
  }
  checkDestination(out, source.files, "a file of the source");
  const encoder = createRowEncoder(threads === undefined ? {} : { threads });
  try {
    const planned = planRecipe(source, recipe);
    const layout = layOutGguf(metadataOf(source, recipe), planned.tensors);
    const sections = planned.tensors.map(({ name, type, bytes }, i): Section => {
      const tensor = source.tensors[i]!;
      return {
        name,
        bytes,
        padding: layout.padding(bytes),
        data: () => encodedChunks(tensor, type, encoder, importance?.of(name), rounding),
      };
    });
    const head = Buffer.concat([layout.header, layout.padding(layout.header.length)]);
    const progress = onProgress && createReport(planned, onProgress);
    const written = await writeResumable(
      out,
      { head, sections, madeFrom: `${describeFiles(source)} ${importance?.sha256 ?? ""} ${rounding?.id ?? ""}` },
      { signal, onProgress: progress, beforeNaming: (file) => writeHashes(out, file, planned.tensors) },
    );
    return { ...planned, out, sha256: written.sha256, kept: written.kept };
  } finally {
    encoder.close();
  }
}

const optionNames = Object.keys({
  ...{ source: true, out: true, type: true, signal: true, onProgress: true },
} satisfies Record<keyof ConvertOptions, true>);

function checkChoice({ source, type }: ConversionChoice): void {
  checkText("source", source);
  checkText("type", type);
}

/** What a source would become by a recipe. */
export function planRecipe(source: ModelSource, recipe: Recipe): ConversionPlan {
  const tensors = source.tensors.map((tensor): PlannedTensor => {
    const { name, shape, from, stored, storedBytes } = tensor;
    const type = recipe.typeOf(tensor);
    const bytes = encodedBytes(type, elementCount(shape));
    return { name, shape, ...(from === undefined ? {} : { from }), stored, storedBytes, type, bytes };
  });
  return {
    ...{ source: source.path, kind: source.kind, tensors },
    storedBytes: tensors.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
    bytes: layOutGguf(metadataOf(source, recipe), tensors).size,
  };
}

function metadataOf({ metadata }: ModelSource, { fileType }: Recipe): Metadata {
  const isGeneral = ([key]: Metadata[number]) => key.startsWith("general.");
  return [
    ...metadata.filter(isGeneral),
    ["general.file_type", { type: "u32", value: fileType }],
    ["general.quantization_version", { type: "u32", value: 2 }],
    ...metadata.filter((entry) => !isGeneral(entry)),
  ];
}

async function* encodedChunks(
  tensor: SourceTensor,
  type: TensorType,
  encoder: RowEncoder,
  importance: Float32Array | undefined,
  rounding: Rounding | undefined,
): AsyncGenerator<Uint8Array> {
  const given = tensor.encoded?.(type, encoder);
  if (given !== undefined) {
    yield* given;
    return;
  }
  const columns = tensor.shape.at(-1) ?? 1;
  const own = tensorTypes[type].blockSize > 1 ? await rounding?.of(tensor.name, type) : undefined;
  const exact = own === undefined && encoder.reads(tensor.exact) ? tensor.exactRows?.() : undefined;
  const rowBytes = encodedBytes(tensor.exact, columns);
  const shared = importance === undefined || importance.length === columns;
  let before = 0;
  for await (const piece of exact ?? tensor.rows(encoder)) {
    const count = piece instanceof Float32Array ? piece.length : (piece.length / rowBytes) * columns;
    for (const { from, end, matrix } of byMatrix(tensor, before, before + count)) {
      const [start, stop] = [from - before, end - before];
      const rows =
        piece instanceof Float32Array
          ? piece.subarray(start, stop)
          : { type: tensor.exact, bytes: piece.subarray((start / columns) * rowBytes, (stop / columns) * rowBytes) };
      const weights = shared ? importance : importance.subarray(matrix * columns, (matrix + 1) * columns);
      yield encodeAt(tensor, from, () =>
        own !== undefined && rows instanceof Float32Array
          ? own.encode(matrix, rows)
          : encoder.encode(type, rows, columns, weights),
      );
    }
    before += count;
  }
}

function encodeAt(tensor: SourceTensor, from: number, encode: () => Uint8Array): Uint8Array {
  try {
    return encode();
  } catch (error) {
    throw placeError(error, tensor, from);
  }
}

/** Ranges of a tensor's elements, each of one matrix of a stack. */
export function* byMatrix(
  { shape }: Pick<SourceTensor, "shape">,
  from: number,
  end: number,
): Generator<{ readonly from: number; readonly end: number; readonly matrix: number }> {
  if (shape.length < 3) {
    yield { from, end, matrix: 0 };
    return;
  }
  const elements = shape.at(-1)! * shape.at(-2)!;
  for (let at = from; at < end; ) {
    const matrix = Math.floor(at / elements);
    const next = Math.min(end, (matrix + 1) * elements);
    yield { from: at, end: next, matrix };
    at = next;
  }
}

/** Says of which tensor, and where in it, a value cannot be encoded. `before`: how many of its values were encoded before these. */
function placeError(error: unknown, { name, shape }: SourceTensor, before: number): unknown {
  if (!(error instanceof GrokError)) return error;
  const { index } = error.details as { index?: number };
  if (index === undefined) {
    return new GrokError(error.code, `tensor ${name}: ${error.message}`, { ...error.details, tensor: name }, error);
  }
  const place: number[] = [];
  let rest = before + index;
  for (const n of shape.toReversed()) {
    place.unshift(rest % n);
    rest = Math.floor(rest / n);
  }
  const message = `tensor ${name}: ${error.message.replace(/^value \d+/, `the value at [${place.join(", ")}]`)}`;
  return new GrokError(error.code, message, { ...error.details, tensor: name, index: before + index, place }, error);
}

/** Names, sizes and times of what is read: when one changes, what was made of it does not count. */
function describeFiles({ files }: ModelSource): string {
  return JSON.stringify(
    files.map((file) => {
      const { size, mtimeMs } = statSync(file);
      return [basename(file), size, mtimeMs];
    }),
  );
}

/** From bytes of sections written to stored bytes read: in proportion. */
function createReport(
  { tensors, storedBytes: total }: ConversionPlan,
  report: (progress: ConvertProgress) => void,
): (progress: { section: number; done: number; kept: boolean }) => void {
  const before = [0];
  for (const { storedBytes } of tensors) before.push(before.at(-1)! + storedBytes);
  let kept = 0;
  return ({ section, done, kept: isKept }) => {
    const { name, storedBytes, bytes } = tensors[section]!;
    const now = before[section]! + storedBytes * (done / Math.max(1, bytes));
    if (isKept) kept = now;
    report({ tensor: name, index: section, tensors: tensors.length, done: now, total, kept });
  };
}
