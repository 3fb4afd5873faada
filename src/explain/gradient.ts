import { GrokError } from "../errors.ts";
import type { GradOps, Parameter } from "../kernels/grad-ops.ts";
import type { Ops } from "../kernels/ops.ts";
import type { ModelFile } from "../model/model.ts";
import { bindModel } from "../model/registry.ts";
import { createTape } from "../train/tape.ts";
import { batchOf } from "./observed-pass.ts";

/**
 * Gradient times input of each token: e_t · d log p(target) / d e_t, with e_t the token's embedding (Shrikumar, Greenside and Kundaje, 2017;
 * Simonyan, Vedaldi and Zisserman, 2013). It is how log p would change, to first order, if the embedding grew: [tokens].
 * All weights are frozen, of whatever type; which experts are chosen has no gradient, with which weights has.
 * @throws GrokError `unsupported` naming the tensor or operation that has no gradient.
 */
export async function gradientTimesInput(
  ops: GradOps,
  file: ModelFile,
  tokens: Int32Array,
  target: number,
): Promise<Float64Array> {
  const tape = createTape(ops, { recompute: true });
  const rows = Int32Array.from(tokens.keys());
  let inputs: Parameter | undefined;
  let values = new Float64Array(0);
  // The embeddings of these tokens alone are what is differentiated by: a table of a row each, in the order of the positions.
  const onInputs: Ops = {
    ...tape.ops,
    embed(name, table, scale) {
      const found = ops.read(ops.embed("explained", table, 1));
      if (found instanceof Promise) throw new GrokError("unsupported", `${ops.backend}: a backend that waits`, {});
      values = Float64Array.from(found);
      inputs = ops.parameter("explained inputs", [tokens.length, values.length / tokens.length], values);
      tape.ops.begin({ ...batch, tokens: rows });
      return tape.ops.embed(name, inputs, scale);
    },
  };
  const batch = { ...batchOf(tokens), outputs: Int32Array.of(tokens.length - 1) };
  try {
    const model = bindModel(onInputs, file);
    const logits = await model.forward(batch, model.kvCache({ pages: 0, pageTokens: 1, type: "f32" }));
    // Of cross-entropy times -1, which is log p.
    await tape.backward(logits, Int32Array.of(target), Float64Array.of(-1));
    const gradient = ops.readParameter(inputs!, "gradient");
    const width = values.length / tokens.length;
    return Float64Array.from(tokens, (_, t) => {
      let sum = 0;
      for (let i = t * width; i < (t + 1) * width; i++) sum += values[i]! * gradient[i]!;
      return sum;
    });
  } finally {
    if (inputs !== undefined) ops.freeParameters([inputs]);
  }
}
