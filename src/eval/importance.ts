import type { MatrixImportance } from "../convert/importance.ts";
import { openBackend } from "../engine/backend.ts";
import { GrokError } from "../errors.ts";
import type { Matrix, Ops, Weight } from "../kernels/ops.ts";
import { checkNames } from "../options.ts";
import { placesOf, type Tensor } from "../tensor/tensor.ts";
import { cutChunks, defaultChunkTokens } from "./chunks.ts";
import { openChunkReader } from "./reader.ts";

export interface ImportanceOptions {
  /** Tokens a chunk. Default 512. */
  readonly context?: number | undefined;
  /** Most chunks to read. Default: all that the text fills. */
  readonly chunks?: number | undefined;
  readonly backend?: "auto" | "native" | "reference" | undefined;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told after each chunk. */
  readonly onChunk?: ((done: number, chunks: number) => void) | undefined;
}

export interface ImportanceResult {
  readonly matrices: ReadonlyMap<string, MatrixImportance>;
  readonly chunks: number;
  readonly chunkTokens: number;
  /** Experts that met so few tokens that their importance says little: by layer. */
  readonly hardlySeen: readonly SeldomSeen[];
}

export interface SeldomSeen {
  readonly tensor: string;
  readonly expert: number;
  readonly tokens: number;
}

/**
 * What a text says of the columns of a model's matrices: the sums of their squared inputs over all tokens, of experts over the tokens
 * that chose them, as llama.cpp's `imatrix` counts them.
 *
 * @throws GrokError `argument` for a text that fills no chunk, `capacity`, `cancelled`; what opening the model throws.
 */
export async function measureImportance(
  path: string,
  text: string,
  options: ImportanceOptions = {},
): Promise<ImportanceResult> {
  checkNames("measureImportance", options, optionNames);
  const { context = defaultChunkTokens, chunks: most, backend, threads, signal, onChunk } = options;
  const { ops } = await openBackend({
    ...(backend !== undefined && { backend }),
    ...(threads !== undefined && { threads }),
  });
  const sums = new Map<string, Sums>();
  const reader = openChunkReader(weigh(ops, sums), path, context);
  try {
    const cut = { context, least: 1, what: "importance", ...(most !== undefined && { most }) };
    const chunks = cutChunks(reader.encode(text), reader.tokenizer, cut);
    const all = Int32Array.from({ length: context }, (_, i) => i);
    for (const [index, tokens] of chunks.entries()) {
      if (signal?.aborted) throw new GrokError("cancelled", "importance: cancelled", {});
      await reader.read(tokens, all);
      onChunk?.(index + 1, chunks.length);
    }
    const matrices = new Map(
      [...sums].map(([name, { squares, counts }]) => [
        name,
        { squares: Float32Array.from(squares), counts: Float32Array.from(counts) },
      ]),
    );
    return { matrices, chunks: chunks.length, chunkTokens: context, hardlySeen: findSeldomSeen(matrices) };
  } finally {
    reader.close();
    ops.close();
  }
}

const optionNames = Object.keys({
  ...{ context: true, chunks: true, backend: true, threads: true, signal: true, onChunk: true },
} satisfies Record<keyof ImportanceOptions, true>);

/** Fewer tokens than this say nothing of a column, nor does a tiny part of what an expert meets on average. */
const leastTokens = 32;
const leastShare = 0.05;

function findSeldomSeen(matrices: ReadonlyMap<string, MatrixImportance>): SeldomSeen[] {
  return [...matrices].flatMap(([tensor, { counts }]) => {
    if (counts.length < 2 || !tensor.includes("ffn_gate_exps")) return [];
    const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
    return [...counts].flatMap((tokens, expert) =>
      tokens < Math.max(leastTokens, leastShare * mean) ? [{ tensor, expert, tokens }] : [],
    );
  });
}

/** In double precision: a float's sums would stop growing. */
interface Sums {
  readonly squares: Float64Array;
  readonly counts: Float64Array;
}

type Values = Float32Array | Float64Array;

/** `ops`, with the inputs of every product with a layer's matrix added up under the matrix's name. */
function weigh(ops: Ops, sums: Map<string, Sums>): Ops {
  const read = (matrix: Matrix): Values => {
    const values = ops.read(matrix);
    if (values instanceof Promise) throw new GrokError("unsupported", `${ops.backend}: a backend that waits`, {});
    return values;
  };
  const sumsOf = ({ name, shape }: Tensor): Sums => {
    const matrices = shape.length === 3 ? shape[0]! : 1;
    const found = sums.get(name) ?? {
      squares: new Float64Array(matrices * shape.at(-1)!),
      counts: new Float64Array(matrices),
    };
    sums.set(name, found);
    return found;
  };
  /** Of matrices with the same input: its squares are added up once a layer. */
  const seen = new Map<string, Float64Array>();
  const squaresOf = (x: Matrix): Float64Array => {
    const known = seen.get(x.name);
    if (known !== undefined) return known;
    const squares = new Float64Array(x.cols);
    addSquares(squares, 0, read(x), x.cols, 0, x.rows);
    seen.set(x.name, squares);
    return squares;
  };
  /** One expert's matrix of a stack. */
  const bound = new Map<string, Weight>();
  const expertOf = ({ tensor }: Weight, expert: number): Weight => {
    const name = `${tensor.name}.${expert}`;
    const places = () => placesOf(tensor, expert, expert + 1);
    const weight = bound.get(name) ?? ops.weight({ ...tensor, name, shape: tensor.shape.slice(1), places: places() });
    bound.set(name, weight);
    return weight;
  };
  return {
    ...ops,
    at(layer) {
      seen.clear();
      ops.at(layer);
    },
    matmul(name, x, weight) {
      if (weight.tensor.name.startsWith("blk.")) {
        const { squares, counts } = sumsOf(weight.tensor);
        const own = squaresOf(x);
        for (let col = 0; col < own.length; col++) squares[col]! += own[col]!;
        counts[0]! += x.rows;
      }
      return ops.matmul(name, x, weight);
    },
    experts(name, x, routing, stacks, activation, terms) {
      const [inputs, chosen] = [read(x).slice(), read(routing.chosen).slice()];
      const rows = Array.from({ length: stacks.gate.tensor.shape[0]! }, () => [] as number[]);
      for (let i = 0; i < chosen.length; i++) rows[chosen[i]!]!.push(Math.floor(i / routing.used));
      const { gate, up, down } = stacks;
      const [gateSums, upSums, downSums] = [sumsOf(gate.tensor), sumsOf(up.tensor), sumsOf(down.tensor)];
      for (const [expert, own] of rows.entries()) {
        if (own.length === 0) continue;
        const squares = new Float64Array(x.cols);
        for (const row of own) addSquares(squares, 0, inputs, x.cols, row, row + 1);
        for (const { squares: to, counts } of [gateSums, upSums]) {
          for (let col = 0; col < x.cols; col++) to[expert * x.cols + col]! += squares[col]!;
          counts[expert]! += own.length;
        }
        // What goes down is inside of the fused operation: it is computed again, to be seen.
        const part = ops.rows("importance_rows", x, Int32Array.from(own));
        const [g, u] = [
          ops.matmul("importance_gate", part, expertOf(gate, expert)),
          ops.matmul("importance_up", part, expertOf(up, expert)),
        ];
        const inner = ops.gated("importance_inner", activation, g, u);
        addSquares(downSums.squares, expert * inner.cols, read(inner), inner.cols, 0, inner.rows);
        downSums.counts[expert]! += own.length;
      }
      return ops.experts(name, x, routing, stacks, activation, terms);
    },
  };
}

function addSquares(to: Float64Array, at: number, values: Values, cols: number, from: number, end: number): void {
  for (let row = from; row < end; row++) {
    const start = row * cols;
    for (let col = 0; col < cols; col++) {
      const value = values[start + col]!;
      to[at + col]! += value * value;
    }
  }
}
