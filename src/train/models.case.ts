import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { batchOf } from "../kernels/grad-bench.case.ts";
import type { GradOps, Parameter } from "../kernels/grad-ops.ts";
import type { Batch } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import { bindModel } from "../model/registry.ts";
import { decodeRow } from "../tensor/decode.ts";
import { elementCount, readTensor, type Tensor } from "../tensor/tensor.ts";
import { createTape, type Tape, type TapeOptions } from "./tape.ts";

const vectors = join(import.meta.dirname, "../../test/vectors");

/** A committed model's loss and gradients by PyTorch in float64. */
export interface TrainVectors {
  readonly counts: number[];
  readonly tokens: number[];
  readonly outputs: number[];
  readonly targets: number[];
  readonly weights: number[];
  readonly balance: number;
  readonly zLoss: number;
  readonly loss: number;
  readonly balanceLoss: number;
  readonly zLossValue: number;
  readonly gradients: Record<string, { norm: number; product: number; places: number[]; values: number[] }>;
}

export function readVectors<T>(name: string): T {
  return JSON.parse(readFileSync(join(vectors, "train", `${name}.json`), "utf8"));
}

export const openModel = (name: string): GgufFile => openGguf(join(vectors, "models", `${name}.gguf`));

export function decode(tensor: Tensor): Float32Array {
  const values = new Float32Array(elementCount(tensor.shape));
  decodeRow(tensor.type, readTensor(tensor, 0, tensor.shape[0]!), values);
  return values;
}

export interface TrainedModel {
  readonly tape: Tape;
  readonly model: Model;
  readonly parameters: ReadonlyMap<string, Parameter>;
}

/** A model all of whose weights are parameters. */
export function trainAll(ops: GradOps, file: GgufFile, options: Omit<TapeOptions, "bind"> = {}): TrainedModel {
  const parameters = new Map<string, Parameter>();
  const bind = (tensor: Tensor) => {
    const parameter = ops.parameter(tensor.name, tensor.shape, decode(tensor));
    parameters.set(tensor.name, parameter);
    return parameter;
  };
  const tape = createTape(ops, { ...options, bind });
  return { tape, model: bindModel(tape.ops, file), parameters };
}

export function batchFor({ counts, tokens, outputs }: TrainVectors): Batch {
  return { ...batchOf(counts), tokens: Int32Array.from(tokens), outputs: Int32Array.from(outputs) };
}

/** A recorded forward pass's logits. */
export const forward = (model: Model, batch: Batch) =>
  model.forward(batch, model.kvCache({ pages: 0, pageTokens: 1, type: "f32" }));
