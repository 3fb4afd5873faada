import type { WeightOptions } from "../kernels/ops.ts";
import type { TensorSpec, TensorTable } from "./architecture.ts";
import type { ModelConfig } from "./model.ts";

/** What a module calls its three projections. */
interface PartNames {
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

/** A dense block of `hidden` inner values, in transformers' module `mlp`. */
export function denseTensors({ width, hidden }: ModelConfig, down: WeightOptions = {}) {
  return {
    gate: { name: "ffn_gate", module: "mlp.gate_proj", shape: [hidden, width] },
    up: { name: "ffn_up", module: "mlp.up_proj", shape: [hidden, width] },
    down: { name: "ffn_down", module: "mlp.down_proj", shape: [width, hidden], options: down },
  } satisfies TensorTable;
}

/** A router and its experts, in module `module`. */
export function expertTensors({ width, experts, expertHidden }: ModelConfig, module: string, names: PartNames) {
  const stack = (part: keyof PartNames, out: number, input: number): TensorSpec => ({
    ...{ name: `ffn_${part}_exps`, module: `${module}.experts.*.${names[part]}`, shape: [experts, out, input] },
  });
  return {
    router: { name: "ffn_gate_inp", module: `${module}.gate`, shape: [experts, width] },
    experts: {
      gate: stack("gate", expertHidden, width),
      up: stack("up", expertHidden, width),
      down: stack("down", width, expertHidden),
    },
  } satisfies TensorTable;
}
