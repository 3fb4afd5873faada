import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { loadAddon } from "../addon.ts";
import type { MatrixRounding, Rounding } from "../convert/convert.ts";
import { counted, GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { createNative } from "../kernels/native/native.ts";
import type { Batch, KvCache, Matrix, Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import { bindModel } from "../model/registry.ts";
import {
  type CompensatedEncoder,
  type Compensation,
  createCompensatedEncoder,
  emptyGram,
  type Gram,
} from "../tensor/compensated-encoder.ts";
import { createRowEncoder } from "../tensor/row-encoder.ts";
import type { TensorType } from "../tensor/types.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import { observeInputs } from "./matrix-inputs.ts";
import { nextTurn } from "./reader.ts";

export interface CalibrationOptions {
  /** Chunks of 512 tokens of the text that are read, from its beginning. Default 32. */
  readonly chunks?: number | undefined;
  readonly threads?: number | undefined;
  /** Bytes for what is kept of a layer's inputs. Default 4 GiB. A matrix past it is rounded by the strength of columns alone. */
  readonly memory?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const defaultCalibrationChunks = 32;

/** Tokens of a chunk, where the model reads as many. */
const chunkTokens = 512;
const pageTokens = 64;
/** Share of the mean diagonal that is added to it, and what more for each token that a column lacks. */
const damping = 0.01;
/** Of an embedding that is also the output matrix: where rows are looked up, errors of all columns count alike. */
const lookedUpDamping = 0.05;

/** What one matrix met. */
export interface MatrixInputs {
  readonly columns: number;
  /** Tokens that met it. */
  tokens: number;
  /** Sums of squares [columns]. */
  readonly squares: Float32Array;
  /** Absent where it would take more memory than there is for it. */
  readonly gram?: Gram;
}

/** A model and a text that it reads, layer by layer: what is held is the text's hidden states, and of one layer what its matrices meet. */
export interface Calibration {
  readonly path: string;
  /** Of the text's tokens, in hexadecimal. */
  readonly sha256: string;
  readonly tokens: readonly Int32Array[];
  /** Whole chunks of the text behind these. */
  readonly chunksLeft: number;
  readonly file: GgufFile;
  readonly ops: Ops;
  readonly model: Model;
  readonly encoder: CompensatedEncoder;
  /** Inputs of a tensor's matrix, or of each expert's; undefined for what is looked up, not multiplied by. Cheap from layer to layer upwards. */
  inputsOf(tensor: string): Promise<readonly MatrixInputs[] | undefined>;
  /** Rounds a tensor's matrices in a type, errors compensated; by the strength of inputs where the type has no grid for it. */
  roundingOf(tensor: string, type: TensorType): Promise<CalibratedRounding | undefined>;
  readonly rounding: Rounding;
  close(): void;
  [Symbol.dispose](): void;
}

export interface CalibratedRounding extends MatrixRounding {
  /** As {@link MatrixRounding.encode}, with Σ E H Eᵀ of the rows' errors. */
  measured(matrix: number, rows: Float32Array): { readonly bytes: Uint8Array; readonly loss: number } | undefined;
}

/**
 * @throws GrokError `unsupported` without the native addon; `argument` for a text that fills no chunk; what opening and binding throw.
 */
export function openCalibration(path: string, text: string, options: CalibrationOptions = {}): Calibration {
  const { chunks: most = defaultCalibrationChunks, threads, memory = 2 ** 32, signal } = options;
  const state = loadAddon();
  if (state.addon === undefined) {
    throw new GrokError("unsupported", `calibration needs the native addon: ${state.reason}`, {});
  }
  const limit = threads === undefined ? {} : { threads };
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    throw new GrokError(
      "argument",
      `${path}: calibration runs the model, and a folder's is not run as it lies: convert it first, grok1 convert ${path} OUT.gguf --type keep, and begin from that file`,
      { path },
    );
  }
  const file = openGguf(path);
  const ops = createNative(state.addon, limit);
  const encoder = createCompensatedEncoder(limit);
  const plain = createRowEncoder(limit);
  const close = () => {
    plain.close();
    encoder.close();
    ops.close();
    file.close();
  };
  try {
    const tokenizer = tokenizerFromGguf(file.metadata, path);
    const ids = tokenizer.encode(text);
    const walk = createWalk(file, ops, encoder, { memory, signal });
    const context = Math.min(chunkTokens, walk.model.config.contextLength);
    const count = Math.min(most, Math.floor(ids.length / context));
    if (count < 1) {
      throw new GrokError(
        "argument",
        `calibration: the text has ${counted(ids.length, "token")}, expected at least ${context}, and better ${most * context}`,
        { tokens: ids.length, context },
      );
    }
    const tokens = Array.from({ length: count }, (_, i) => {
      const chunk = Int32Array.from(ids.subarray(i * context, (i + 1) * context));
      if (tokenizer.addBos && tokenizer.bos !== undefined) chunk[0] = tokenizer.bos;
      return chunk;
    });
    walk.begin(tokens);
    const sha256 = createHash("sha256")
      .update(Buffer.concat(tokens.map((chunk) => Buffer.from(chunk.buffer))))
      .digest("hex");
    // A factor takes as long as much rounding: types of one order, and matrices of the same inputs one after the other, share it.
    let last: { gram: Gram; share: number; by: Map<string, Compensation> } | undefined;
    const compensationOf = (gram: Gram, type: TensorType, share: number): Compensation => {
      if (last?.gram !== gram || last.share !== share) last = { gram, share, by: new Map() };
      const order = encoder.orderOf(type);
      const by = last.by.get(order) ?? encoder.compensationOf(gram, type, share);
      last.by.set(order, by);
      return by;
    };
    const roundingOf: Calibration["roundingOf"] = async (tensor, type) => {
      const inputs = await walk.inputsOf(tensor);
      if (inputs === undefined) return undefined;
      const compensates = encoder.canEncode(type);
      const measured: CalibratedRounding["measured"] = (matrix, rows) => {
        const { gram, columns, tokens: met } = inputs[inputs.length === 1 ? 0 : matrix]!;
        if (gram === undefined || !compensates || met === 0) return undefined;
        // Fewer inputs than columns say nothing of some directions: these are not to be trusted.
        const share = (tensor === "token_embd.weight" ? lookedUpDamping : damping) * (1 + columns / met);
        return encoder.encode(type, rows, columns, compensationOf(gram, type, share));
      };
      return {
        measured,
        encode(matrix, rows) {
          const { squares, columns, tokens: met } = inputs[inputs.length === 1 ? 0 : matrix]!;
          return measured(matrix, rows)?.bytes ?? plain.encode(type, rows, columns, met > 0 ? squares : undefined);
        },
      };
    };
    const chunksLeft = Math.floor(ids.length / context) - count;
    return {
      ...{ path, sha256, tokens, chunksLeft, file, ops, model: walk.model, encoder, roundingOf },
      inputsOf: walk.inputsOf,
      rounding: { id: `compensated 2 ${sha256} ${memory} ${damping} ${lookedUpDamping}`, of: roundingOf },
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

interface Walk {
  readonly model: Model;
  begin(chunks: readonly Int32Array[]): void;
  inputsOf(tensor: string): Promise<readonly MatrixInputs[] | undefined>;
}

/** Goes through the model once, from layer to layer, with all chunks; asked for an earlier layer it begins anew. */
function createWalk(
  file: GgufFile,
  ops: Ops,
  encoder: CompensatedEncoder,
  { memory, signal }: { memory: number; signal: AbortSignal | undefined },
): Walk {
  /** By the name of what a layer computes: matrices of the same inputs share. */
  const inputs = new Map<string, MatrixInputs>();
  const named = new Map<string, MatrixInputs[]>();
  const counted = new Set<string>();
  let held = 0;
  /** While only the inputs of the output matrix are wanted: its product is by far the largest. */
  let inputsOnly = false;
  const lean: Ops = {
    ...ops,
    matmul: (name, x, weight) => (inputsOnly ? ops.matrix(name, x.rows, 1) : ops.matmul(name, x, weight)),
  };
  const observed = observeInputs(lean, ({ name: tensor, shape }, expert, name, x) => {
    const experts = shape.length === 3 ? shape[0]! : 1;
    const columns = shape.at(-1)!;
    const make = (): MatrixInputs => {
      // Sums, and while one matrix is rounded its factor and two matrices of float64.
      const bytes = 4 * columns * columns;
      const fits = held + 6 * bytes <= memory;
      if (fits) held += bytes;
      const squares = new Float32Array(columns);
      return { columns, tokens: 0, squares, ...(fits ? { gram: emptyGram(columns) } : {}) };
    };
    const own = inputs.get(name) ?? make();
    inputs.set(name, own);
    const all = named.get(tensor) ?? Array.from({ length: experts }, () => emptyInputs(columns));
    all[expert] = own;
    named.set(tensor, all);
    if (counted.has(name)) return;
    counted.add(name);
    own.tokens += x.length / columns;
    addSquares(own.squares, x);
    if (own.gram !== undefined) encoder.add(own.gram, x as Float32Array);
  });
  const model = bindModel(observed, file);
  const { layers } = model.config;
  const tied = !file.tensors.has("output.weight");
  const cache = model.kvCache({ pages: Math.ceil(chunkTokens / pageTokens), pageTokens, type: "f32" });
  let tokens: readonly Int32Array[] = [];
  let states: Float32Array[] = [];
  /** The layer whose inputs are there; -1 before the first, `layers` for the head. */
  let layer = Number.POSITIVE_INFINITY;

  const advance = async () => {
    if (signal?.aborted) throw new GrokError("cancelled", "calibration was cancelled", {}, signal.reason);
    layer++;
    inputs.clear();
    named.clear();
    held = 0;
    for (const [i, chunk] of tokens.entries()) {
      counted.clear();
      const batch = wholeBatch([chunk]);
      if (layer < layers) states[i] = await runLayers(ops, model, states[i]!, batch, cache, layer, layer + 1);
      else {
        inputsOnly = true;
        model.head(writeStates(ops, model, states[i]!), batch);
        inputsOnly = false;
      }
    }
  };
  return {
    model,
    begin(chunks) {
      tokens = chunks;
    },
    async inputsOf(tensor) {
      const isHead = tensor === (tied ? "token_embd.weight" : "output.weight");
      const wanted = isHead ? layers : Number(/^blk\.(\d+)\./.exec(tensor)?.[1] ?? -1);
      if (wanted < 0 || wanted > layers) return undefined;
      if (wanted < layer) {
        states = tokens.map((chunk) => (ops.read(model.embed(wholeBatch([chunk]))) as Float32Array).slice());
        layer = -1;
      }
      while (layer < wanted) await advance();
      return named.get(tensor);
    },
  };
}

const emptyInputs = (columns: number): MatrixInputs => ({ columns, tokens: 0, squares: new Float32Array(columns) });

/** Sequences side by side, all of their rows wanted unless only those from `from` on. */
export function wholeBatch(sequences: readonly Int32Array[], from = 0): Batch {
  let start = 0;
  let page = 0;
  const parts = sequences.map((tokens) => {
    const pages = Int32Array.from({ length: Math.ceil(tokens.length / pageTokens) }, () => page++);
    const part = { start, count: tokens.length, pages };
    start += tokens.length;
    return part;
  });
  return {
    tokens: Int32Array.from(sequences.flatMap((tokens) => [...tokens])),
    positions: Int32Array.from(sequences.flatMap((tokens) => Array.from(tokens, (_, i) => i))),
    sequences: parts,
    outputs: Int32Array.from(parts.flatMap(({ start, count }) => range(start + from, start + count))),
  };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Hidden states after layers [from, to) of hidden states before them; a copy. The event loop has a turn before. */
export async function runLayers(
  ops: Ops,
  model: Model,
  states: Float32Array,
  batch: Batch,
  cache: KvCache,
  from: number,
  to: number,
): Promise<Float32Array> {
  await nextTurn();
  return (
    ops.read(await model.layers(writeStates(ops, model, states), batch, cache, from, to)) as Float32Array
  ).slice();
}

/** Hidden states as a matrix [n, width] of a backend. */
export function writeStates(ops: Ops, { config: { width } }: Model, states: Float32Array): Matrix {
  const h = ops.matrix("states", states.length / width, width);
  ops.write(h, states);
  return h;
}

function addSquares(to: Float32Array, x: Float32Array | Float64Array): void {
  const columns = to.length;
  for (let i = 0; i < x.length; ) {
    for (let col = 0; col < columns; col++, i++) to[col]! += x[i]! * x[i]!;
  }
}
