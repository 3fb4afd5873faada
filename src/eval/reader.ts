import { statSync } from "node:fs";
import { openBackend } from "../engine/backend.ts";
import { streamingOf } from "../engine/memory.ts";
import { GrokError } from "../errors.ts";
import { openGguf } from "../formats/gguf/file.ts";
import type { Matrix, Ops } from "../kernels/ops.ts";
import { describeModel } from "../model/describe.ts";
import type { ModelConfig } from "../model/model.ts";
import { bindModel } from "../model/registry.ts";
import { withDefaults } from "../options.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** A model that reads chunks of a text, one after the other, for measures that look at what is computed on the way. */
export interface ChunkReader {
  readonly path: string;
  readonly tokenizer: Tokenizer;
  /** With the beginning-of-text token first where the model's file asks for one. */
  encode(text: string): Int32Array;
  readonly config: ModelConfig;
  /**
   * Reads a chunk from its beginning. What comes after the last layer's attention is computed for the rows `outputs`: their hidden states
   * [outputs, width], valid until the next pass. The event loop has a turn before and, where weights are not streamed, between layers: a chunk
   * of a large model takes minutes.
   * @throws GrokError `cancelled`
   */
  read(tokens: Int32Array, outputs: Int32Array, signal?: AbortSignal): Promise<Matrix>;
  /** Logits [outputs, vocab] of what was read last; a copy. */
  logits(): Promise<Float32Array | Float64Array>;
  close(): void;
}

const pageTokens = 64;

/**
 * A turn for the event loop, in which Ctrl-C and timers are told of: operations end before they return, so that a loop of passes has none
 * by itself.
 */
export const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

export interface ReaderBackendOptions {
  readonly backend?: "auto" | "native" | "reference" | undefined;
  readonly threads?: number | undefined;
  /** Bytes that the model may take: of a mixture that is larger, experts are read as they are needed. Absent: the system's page cache has it. */
  readonly memory?: number | undefined;
}

export interface ReaderBackend {
  readonly ops: Ops;
  /** Whether weights are read into memory that was decided on. */
  readonly streamed: boolean;
  /** When all that was bound and is always needed is there. */
  ready(): Promise<void>;
}

/** About what a model takes in memory: its files, keys and values of a chunk, and the program. */
export function neededBytes(path: string): number {
  const file = openGguf(path);
  file.close();
  return file.paths.reduce((sum, each) => sum + statSync(each).size, 2 ** 29);
}

/** A backend for a model that reads chunks of `context` tokens. @throws GrokError `capacity` for too little memory; what opening throws. */
export async function openReaderBackend(
  path: string,
  context: number,
  { memory, ...given }: ReaderBackendOptions,
): Promise<ReaderBackend> {
  const options = withDefaults(given, {});
  if (memory === undefined) return { ...(await openBackend(options)), streamed: false, ready: async () => {} };
  const file = openGguf(path);
  try {
    const most = describeModel(file).config?.contextLength ?? context;
    const reads = { contextLength: Math.min(context, most), cacheTokens: context, batchTokens: context };
    const { streaming } = streamingOf(file, { ...options, ...reads, memory });
    const { ops, slots } = await openBackend(options, undefined, streaming);
    return { ops, streamed: slots !== undefined, ready: async () => slots?.ready() };
  } finally {
    file.close();
  }
}

/**
 * Binds a model to `ops`, with room for one chunk; `ready` of its backend is awaited before it reads.
 * @throws GrokError what opening and binding throw; `capacity` for too long a chunk.
 */
export function openChunkReader(
  ops: Ops,
  path: string,
  context: number,
  { streamed = false, ready = async () => {} }: Partial<ReaderBackend> = {},
): ChunkReader {
  const file = openGguf(path);
  try {
    const tokenizer = tokenizerFromGguf(file.metadata, path);
    const model = bindModel(ops, file);
    const { contextLength } = model.config;
    if (context > contextLength) {
      const message = `${path}: chunks of ${context} tokens, and the model reads up to ${contextLength}`;
      throw new GrokError("capacity", message, { path, context, contextLength });
    }
    const pages = Int32Array.from({ length: Math.ceil(context / pageTokens) }, (_, i) => i);
    const cache = model.kvCache({ pages: pages.length, pageTokens, type: ops.kvType });
    let last: { hidden: Matrix; batch: Parameters<typeof model.forward>[0] } | undefined;
    return {
      ...{ path, tokenizer, config: model.config },
      encode: (text) => tokenizer.encode(text, { bos: tokenizer.addBos }),
      async read(tokens, outputs, signal) {
        const turn = async () => {
          await nextTurn();
          if (signal?.aborted) throw new GrokError("cancelled", `${path}: reading was cancelled`, { path });
        };
        await ready();
        await turn();
        const positions = Int32Array.from(tokens, (_, i) => i);
        const batch = { tokens, positions, sequences: [{ start: 0, count: tokens.length, pages }], outputs };
        // Who streams experts counts a call as a pass, and has turns while they come.
        const step = streamed ? model.config.layers : 1;
        let hidden = model.embed(batch);
        for (let layer = 0; layer < model.config.layers; layer += step) {
          if (layer > 0) await turn();
          hidden = await model.layers(hidden, batch, cache, layer, layer + step);
        }
        last = { hidden, batch };
        return hidden;
      },
      async logits() {
        return (await ops.read(model.head(last!.hidden, last!.batch))).slice();
      },
      close() {
        ops.freeKvCache(cache);
        file.close();
      },
    };
  } catch (error) {
    file.close();
    throw error;
  }
}
