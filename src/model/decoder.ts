import { GrokError } from "../errors.ts";
import type { Batch, KvCache, Matrix, Ops } from "../kernels/ops.ts";
import type { Architecture, DecoderArguments, LayerPass, TensorTable } from "./architecture.ts";
import type { Model, ModelFile, ModelPart } from "./model.ts";
import { expectTensors, listTensors, type ModelTensor } from "./tensors.ts";
import { recordReads, refuseUnread } from "./unread.ts";
import { createBinder, fine, hasTensor } from "./weights.ts";

/** An architecture that files can be bound as. */
export interface Decoder {
  readonly name: string;
  /** Binds a file's weights, or a part of them. @throws GrokError `format`, `shape` or `unsupported` naming the file and the place. */
  bind(ops: Ops, file: ModelFile, part?: ModelPart): Model;
  /** The tensors of a whole model, by their names in both layouts. @throws GrokError as {@link Decoder.bind}. */
  tensors(file: ModelFile): ModelTensor[];
  /** Those that a file of this metadata is to have. @throws GrokError `format` or `unsupported`. */
  expected(file: ModelFile): ModelTensor[];
}

export function createDecoder<A extends DecoderArguments, T extends TensorTable>(
  architecture: Architecture<A, T>,
): Decoder {
  return {
    name: architecture.name,
    bind: (ops, file, part = {}) => bindDecoder(architecture, ops, file, part),
    tensors(file) {
      const args = architecture.readArguments(file);
      return listTensors(file, args, architecture.tensors(args));
    },
    expected(file) {
      const args = architecture.readArguments(file);
      return expectTensors(file, args, architecture.tensors(args));
    },
  };
}

/** What decoders have in common: an embedding, layers one after another, a norm, and an output matrix, which may be the embedding. */
function bindDecoder<A extends DecoderArguments, T extends TensorTable>(
  architecture: Architecture<A, T>,
  ops: Ops,
  file: ModelFile,
  part: ModelPart,
): Model {
  const read = recordReads(file);
  const args = architecture.readArguments(read.file);
  const { width, vocab, kvHeads, headSize, embeddingScale = 1, logitScale = 1, logitCap = 0 } = args;
  const bound = part.layers ?? { from: 0, to: args.layers };
  checkRange(file.path, bound, { from: 0, to: args.layers });
  const bind = createBinder(ops, file);
  const table = () => bind.weight("token_embd.weight", [vocab, width], fine);
  const embedding = (part.embed ?? bound.from === 0) ? table() : undefined;
  const bindHead = () => ({
    norm: bind.weight("output_norm.weight", [width]),
    output: hasTensor(file, "output.weight")
      ? bind.weight("output.weight", [vocab, width], fine)
      : (embedding ?? table()),
  });
  const head = (part.head ?? bound.to === args.layers) ? bindHead() : undefined;
  const tensors = architecture.tensors(args);
  const layers = Array.from({ length: bound.to - bound.from }, (_, i) => bind.layer(bound.from + i, tensors));
  refuseUnread(file, {
    ...{ architecture: architecture.name, layers: args.layers, table: tensors, keys: read.keys },
    tensors: ["token_embd.weight", "output_norm.weight", "output.weight", ...(architecture.otherTensors ?? [])],
    harmless: architecture.harmlessKeys ?? [],
  });

  const missing = (what: string) =>
    new GrokError("argument", `${file.path}: ${what} is not in this part of the model`, { path: file.path });

  const embed = () => {
    if (embedding === undefined) throw missing("the embedding");
    ops.at(-1);
    return ops.embed("inp_embd", embedding, embeddingScale);
  };
  const { foresee } = architecture;
  const { expect, expecting = () => true } = ops;
  const foretelling = expect && { ...ops, expect };
  const foresight = (index: number) => {
    const next = layers[index - bound.from];
    return (h: Matrix) => {
      if (next === undefined || foretelling === undefined || foresee === undefined || !expecting()) return;
      foresee(foretelling, h, next, args);
    };
  };
  const runLayers = async (h: Matrix, batch: Batch, cache: KvCache, from: number, to: number) => {
    for (let index = from; index < to; index++) {
      ops.at(index);
      const last = index === args.layers - 1;
      const pass = { ...passOf(ops, batch, cache, index - bound.from, last), foresee: foresight(index + 1) };
      h = await architecture.layer(pass, h, layers[index - bound.from]!, args);
    }
    return h;
  };
  const normOf = (h: Matrix) => {
    if (head === undefined) throw missing("the head");
    ops.at(-1);
    return h.rows === 0 ? ops.matrix("result_norm", 0, width) : ops.rmsNorm("result_norm", h, head.norm, args.epsilon);
  };
  const logitsOf = (x: Matrix) => {
    if (head === undefined) throw missing("the head");
    if (x.rows === 0) return ops.matrix("result_output", 0, vocab);
    let logits = ops.matmul("result_output", x, head.output);
    if (logitScale !== 1) logits = ops.scale("result_output", logits, logitScale);
    return logitCap > 0 ? ops.softcap("result_output", logits, logitCap) : logits;
  };

  return {
    config: args,
    bound,
    kvCache: (options) => ops.kvCache({ layers: layers.length, kvHeads, headSize, ...options }),
    async forward(batch, cache) {
      ops.begin(batch);
      return logitsOf(normOf(await runLayers(embed(), batch, cache, bound.from, bound.to)));
    },
    async hidden(batch, cache) {
      ops.begin(batch);
      return normOf(await runLayers(embed(), batch, cache, bound.from, bound.to));
    },
    logits(x) {
      checkHidden(file.path, x, width, [x.rows]);
      return logitsOf(x);
    },
    embed(batch) {
      ops.begin(batch);
      return embed();
    },
    async layers(h, batch, cache, from = bound.from, to = bound.to) {
      checkRange(file.path, { from, to }, bound);
      if (from < to) checkHidden(file.path, h, width, [batch.tokens.length]);
      ops.begin(batch);
      return runLayers(h, batch, cache, from, to);
    },
    head(h, batch) {
      checkHidden(file.path, h, width, [batch.outputs.length, batch.tokens.length]);
      ops.begin(batch);
      return logitsOf(normOf(h));
    },
  };
}

/** Layer `layer` of a cache. After attention, rows that nobody wants logits of leave the last layer of a model. */
function passOf(
  ops: Ops,
  { tokens, outputs }: Batch,
  cache: KvCache,
  layer: number,
  last: boolean,
): Omit<LayerPass, "foresee"> {
  const gathers = last && outputs.length < tokens.length;
  return {
    ops,
    attend(q, k, v, options) {
      ops.store(cache, layer, k, v);
      if (gathers && outputs.length === 0) return ops.rows("kqv_out_rows", q, outputs);
      const values = ops.attention("kqv_out", q, cache, layer, options);
      return gathers ? ops.rows("kqv_out_rows", values, outputs) : values;
    },
    keep: (h) => (gathers ? ops.rows("inp_rows", h, outputs) : h),
  };
}

function checkRange(path: string, { from, to }: { from: number; to: number }, within: { from: number; to: number }) {
  if (Number.isInteger(from) && Number.isInteger(to) && within.from <= from && from <= to && to <= within.to) return;
  throw new GrokError("argument", `${path}: layers ${from} to ${to} are not among ${within.from} to ${within.to}`, {
    ...{ path, from, to },
  });
}

/** Whose rows are none of the batch's would be multiplied by what else is in memory, or by another row's adapters. */
function checkHidden(path: string, { name, rows, cols }: Matrix, width: number, counts: readonly number[]) {
  if (cols === width && counts.includes(rows)) return;
  const expected = [...new Set(counts)].map((count) => `[${count}, ${width}]`).join(" or ");
  throw new GrokError("argument", `${path}: the hidden state ${name} is [${rows}, ${cols}], expected ${expected}`, {
    ...{ path, rows, cols, width },
  });
}
