import type { MatrixImportance } from "../convert/importance.ts";
import type { Ops } from "../kernels/ops.ts";
import { checkNames } from "../options.ts";
import { cutChunks, defaultChunkTokens } from "./chunks.ts";
import { type InputsSeen, observeInputs } from "./matrix-inputs.ts";
import { type ChunkReader, openChunkReader, openReaderBackend, type ReaderBackendOptions } from "./reader.ts";

export interface ImportanceOptions extends ReaderBackendOptions {
  /** Tokens a chunk. Default 512. */
  readonly context?: number | undefined;
  /** Most chunks to read. Default: all that the text fills. */
  readonly chunks?: number | undefined;
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
  const { context = defaultChunkTokens, chunks: most, backend, threads, memory, signal, onChunk } = options;
  const { ops, streamed, ready } = await openReaderBackend(path, context, { backend, threads, memory });
  const sums = new Map<string, Sums>();
  let within = ops;
  let reader: ChunkReader | undefined;
  try {
    // Streamed experts lie in slots, for the one operation that they are needed in; what is computed once more has them from the page cache.
    if (streamed) within = (await openReaderBackend(path, context, { backend, threads })).ops;
    reader = openChunkReader(weigh(ops, sums, within), path, context, { streamed, ready });
    const cut = { context, least: 1, what: "importance", ...(most !== undefined && { most }) };
    const chunks = cutChunks(reader.encode(text), reader.tokenizer, cut);
    const all = Int32Array.from({ length: context }, (_, i) => i);
    for (const [index, tokens] of chunks.entries()) {
      await reader.read(tokens, all, signal);
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
    reader?.close();
    if (within !== ops) within.close();
    ops.close();
  }
}

const optionNames = Object.keys({
  ...{ context: true, chunks: true, backend: true, threads: true, memory: true, signal: true, onChunk: true },
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

/** `ops`, with the inputs of every product with a layer's matrix added up under the matrix's name. */
function weigh(ops: Ops, sums: Map<string, Sums>, within: Ops): Ops {
  const see: InputsSeen = ({ name, shape }, expert, _, x) => {
    if (!name.startsWith("blk.")) return;
    const matrices = shape.length === 3 ? shape[0]! : 1;
    const columns = shape.at(-1)!;
    const { squares, counts } = sums.get(name) ?? {
      squares: new Float64Array(matrices * columns),
      counts: new Float64Array(matrices),
    };
    sums.set(name, { squares, counts });
    counts[expert]! += x.length / columns;
    for (let i = 0; i < x.length; ) {
      for (let to = expert * columns; to < (expert + 1) * columns; to++, i++) squares[to]! += x[i]! * x[i]!;
    }
  };
  return observeInputs(ops, see, within);
}
