import type { ModelFile } from "../model.ts";
import { modelTensors } from "../registry.ts";
import type { ModelTensor } from "../tensors.ts";

/** What an adapter may be trained on. */
export const loraTargets = ["attention", "experts", "router"] as const;
export type LoraTarget = (typeof loraTargets)[number];

/** A matrix of a model, by the name that a model file has for it and by the one that Python's libraries have. */
export interface LoraModule extends Omit<ModelTensor, "shape" | "parameter"> {
  /** "experts" is also the feed-forward block of a dense model; "output": the head, which is read but not trained here. */
  readonly target: LoraTarget | "output";
  readonly out: number;
  readonly in: number;
}

/** All matrices of a model that low-rank adapters can belong to. @throws GrokError as {@link modelTensors}. */
export function listModules(file: ModelFile): LoraModule[] {
  return modelTensors(file).flatMap(({ shape, parameter, ...names }): LoraModule[] => {
    if (shape.length !== 2 || names.tensor === "token_embd.weight") return [];
    return [{ ...names, target: targetOf(names.tensor), out: shape[0]!, in: shape[1]! }];
  });
}

function targetOf(tensor: string): LoraModule["target"] {
  if (tensor === "output.weight") return "output";
  if (tensor.includes(".attn_")) return "attention";
  return tensor.includes(".ffn_gate_inp.") ? "router" : "experts";
}
