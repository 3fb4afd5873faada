import type { Addon } from "../../addon.ts";
import { GrokError } from "../../errors.ts";
import { batchOf } from "../batch.ts";
import { checkApart, checkSize, checkStep } from "../checks.ts";
import type { GradOps, Into, SelfAttentionOptions, TrainableWeight } from "../grad-ops.ts";
import type { Batch, ExpertStacks, Matrix, Routing, Weight } from "../ops.ts";
import { checkSame, type NativeOptions, openNative } from "./native.ts";
import { adaptWeight, boundParameter, createParameter } from "./parameter.ts";
import { boundWeight, type NativeWeight } from "./weight.ts";

/**
 * The native backend with its gradient rules: float32 throughout, parameters and their moments too. As with
 * {@link createNative}, bits do not depend on the number of threads. Products with parameters and with what adapts a
 * weight are computed in float32; those with frozen weights as in inference, while their gradients read exact weights.
 *
 * @throws GrokError `argument` for a number of threads or an instruction set that cannot be had.
 */
export function createNativeGrad(addon: Addon, options: NativeOptions = {}): GradOps {
  const { ops, native, scratch, control, result, rotary } = openNative(addon, options);
  const idOf = scratch.id;
  const bound = (weight: Weight): NativeWeight => boundWeight(native, weight);

  /** The matrix that a gradient goes to; `add` when there is something to add to. */
  const target = (operation: string, into: Into, rows: number, cols: number) => {
    const add = typeof into !== "string";
    const matrix = add ? into : result(into, rows, cols);
    checkSize(operation, `rows of ${matrix.name}`, rows, matrix.rows);
    checkSize(operation, `columns of ${matrix.name}`, cols, matrix.cols);
    return { matrix, id: idOf(matrix), add };
  };
  /** The same, which must be none of the operands. */
  const apart = (operation: string, into: Into, rows: number, cols: number, operands: readonly Matrix[]) => {
    checkApart(operation, typeof into === "string" ? into : into.name, ...operands);
    return target(operation, into, rows, cols);
  };
  const unwanted = { matrix: undefined, id: -1, add: false };

  let batch: Batch | undefined;
  const attentionShape = (q: Matrix, k: Matrix, v: Matrix, { heads, kvHeads }: SelfAttentionOptions) => {
    for (const x of [q, k, v]) batchOf("selfAttention", batch, x);
    checkSize("selfAttention", `columns of ${q.name} beyond whole heads`, 0, q.cols % heads);
    const headSize = q.cols / heads;
    for (const x of [k, v]) checkSize("selfAttention", `columns of ${x.name}`, kvHeads * headSize, x.cols);
    return headSize;
  };

  const expertWeights = (operation: string, x: Matrix, routing: Routing, stacks: ExpertStacks) => {
    const [gate, up, down] = [bound(stacks.gate), bound(stacks.up), bound(stacks.down)];
    checkSize(operation, "rows of the routing", x.rows, routing.rows);
    checkSize(operation, `columns of ${x.name}`, gate.cols, x.cols);
    for (const stack of [gate, up, down]) {
      const { name } = stack.tensor;
      checkSize(operation, `experts of ${name}`, routing.probabilities.cols, stack.matrices);
      checkSize(operation, `rows of ${name}`, stack === down ? x.cols : gate.rows, stack.rows);
      checkSize(operation, `columns of ${name}`, stack === down ? gate.rows : x.cols, stack.cols);
    }
    return { gate, up, down };
  };

  const trained = (weight: Weight) => (weight as Partial<TrainableWeight>).trainable === true;
  const checkIndices = (operation: string, what: string, indices: Int32Array, end: number) => {
    const wrong = indices.find((index) => !(index >= 0 && index < end));
    if (wrong === undefined) return;
    throw new GrokError("argument", `${operation}: ${what} ${wrong} is not in 0 to ${end - 1}`, { operation, wrong });
  };

  return {
    ...ops,
    begin(next) {
      ops.begin(next);
      batch = next;
    },

    parameter: (name, shape, values) => createParameter(native, name, shape, values),
    readParameter: (parameter, part) => boundParameter(native, parameter).values(part),
    writeParameter(parameter, part, values) {
      const to = boundParameter(native, parameter).values(part);
      checkSize("writeParameter", `values of ${parameter.name}`, to.length, values.length);
      to.set(values);
    },
    freeParameters(parameters) {
      for (const parameter of parameters) boundParameter(native, parameter).free();
    },
    lowRank: (base, a, b, scale) =>
      adaptWeight(bound(base), boundParameter(native, a), boundParameter(native, b), scale),

    matmul(name, x, weight) {
      if (!trained(weight)) return ops.matmul(name, x, weight);
      checkApart("matmul", name, x);
      const { id, rows, cols } = bound(weight);
      checkSize("matmul", `columns of ${x.name} by ${weight.tensor.name}`, cols, x.cols);
      const out = result(name, x.rows, rows);
      native.product(out.id, idOf(x), x.rows, id);
      return out;
    },
    matmulBackward(into, dOut, x, weight) {
      const { id, rows, cols } = bound(weight);
      checkSize("matmulBackward", `rows of ${dOut.name}`, x.rows, dOut.rows);
      checkSize("matmulBackward", `columns of ${x.name}`, cols, x.cols);
      checkSize("matmulBackward", `columns of ${dOut.name}`, rows, dOut.cols);
      const to = into === undefined ? unwanted : apart("matmulBackward", into, x.rows, x.cols, [dOut, x]);
      native.matmulBackward(to.id, to.add, idOf(dOut), idOf(x), x.rows, id);
      return to.matrix;
    },

    embedBackward(table, dOut, scale) {
      const { id, rows, cols } = boundParameter(native, table);
      const { tokens } = batchOf("embedBackward", batch, dOut);
      checkSize("embedBackward", `columns of ${dOut.name}`, cols, dOut.cols);
      checkIndices("embedBackward", "token", tokens, rows);
      native.embedBackward(id, idOf(dOut), tokens.length, scale);
    },
    rowsBackward(into, dOut, indices, rows) {
      checkSize("rowsBackward", `rows of ${dOut.name}`, indices.length, dOut.rows);
      checkIndices("rowsBackward", "row", indices, rows);
      const to = apart("rowsBackward", into, rows, dOut.cols, [dOut]);
      control.list(indices);
      native.rowsBackward(to.id, to.add, idOf(dOut), indices.length, rows, dOut.cols);
      return to.matrix;
    },
    rmsNormBackward(into, dOut, x, gain, eps) {
      checkSame("rmsNormBackward", x, dOut);
      const weight = bound(gain);
      checkSize("rmsNormBackward", `columns of ${x.name} beyond whole gains`, 0, x.cols % weight.cols);
      const runs = (x.rows * x.cols) / weight.cols;
      const to = into === undefined ? unwanted : apart("rmsNormBackward", into, x.rows, x.cols, [dOut, x]);
      native.rmsNormBackward(to.id, to.add, idOf(dOut), idOf(x), runs, weight.id, eps);
      return to.matrix;
    },
    ropeBackward(into, dOut, rope) {
      batchOf("ropeBackward", batch, dOut);
      checkSize("ropeBackward", `columns of ${dOut.name} beyond whole heads`, 0, dOut.cols % rope.headSize);
      const to = target("ropeBackward", into, dOut.rows, dOut.cols);
      const tables = rotary(rope);
      native.ropeBackward(to.id, to.add, idOf(dOut), dOut.rows, dOut.cols / rope.headSize, tables);
      return to.matrix;
    },

    selfAttention(name, q, k, v, attention) {
      checkApart("selfAttention", name, q, k, v);
      const headSize = attentionShape(q, k, v, attention);
      const { heads, kvHeads, scale, softcap = 0, temperatureLength = 0 } = attention;
      const out = result(name, q.rows, q.cols);
      const logSumExp = result(`${name}.lse`, q.rows, heads);
      const operands = [idOf(q), idOf(k), idOf(v)] as const;
      const cap = softcap;
      const length = temperatureLength;
      native.selfAttention(out.id, logSumExp.id, ...operands, q.rows, heads, kvHeads, headSize, scale, cap, length);
      return { out, logSumExp };
    },
    selfAttentionBackward(into, dOut, q, k, v, { out, logSumExp }, attention) {
      checkSame("selfAttentionBackward", q, dOut);
      checkSame("selfAttentionBackward", q, out);
      const headSize = attentionShape(q, k, v, attention);
      const { heads, kvHeads, scale, softcap = 0, temperatureLength = 0 } = attention;
      checkSize("selfAttentionBackward", `columns of ${logSumExp.name}`, heads, logSumExp.cols);
      const read = [dOut, q, k, v, out, logSumExp];
      const dq = apart("selfAttentionBackward", into.q, q.rows, q.cols, read);
      const dk = apart("selfAttentionBackward", into.k, k.rows, k.cols, read);
      const dv = apart("selfAttentionBackward", into.v, v.rows, v.cols, read);
      native.selfAttentionBackward(
        ...([dq.id, dq.add, dk.id, dk.add, dv.id, dv.add] as const),
        ...([idOf(dOut), idOf(q), idOf(k), idOf(v), idOf(out), idOf(logSumExp)] as const),
        ...([q.rows, heads, kvHeads, headSize, scale, softcap, temperatureLength] as const),
      );
      return { q: dq.matrix, k: dk.matrix, v: dv.matrix };
    },

    addBackward(into, dOut) {
      const to = target("addBackward", into, dOut.rows, dOut.cols);
      native.scaleBackward(to.id, to.add, idOf(dOut), dOut.rows * dOut.cols, 1);
      return to.matrix;
    },
    scaleBackward(into, dOut, factor) {
      const to = target("scaleBackward", into, dOut.rows, dOut.cols);
      native.scaleBackward(to.id, to.add, idOf(dOut), dOut.rows * dOut.cols, factor);
      return to.matrix;
    },
    softcapBackward(into, dOut, y, cap) {
      checkSame("softcapBackward", y, dOut);
      const to = target("softcapBackward", into, dOut.rows, dOut.cols);
      native.softcapBackward(to.id, to.add, idOf(dOut), idOf(y), dOut.rows * dOut.cols, cap);
      return to.matrix;
    },
    gatedBackward(into, dOut, activation, gate, up) {
      checkSame("gatedBackward", gate, up);
      checkSame("gatedBackward", gate, dOut);
      const dGate = target("gatedBackward", into.gate, gate.rows, gate.cols);
      const dUp = target("gatedBackward", into.up, gate.rows, gate.cols);
      const operands = [idOf(dOut), activation === "gelu" ? 0 : 1, idOf(gate), idOf(up)] as const;
      native.gatedBackward(dGate.id, dGate.add, dUp.id, dUp.add, ...operands, gate.rows * gate.cols);
      return { gate: dGate.matrix, up: dUp.matrix };
    },

    routeBackward(into, dWeights, logits, routing, { used, renormalize, balance, zLoss }) {
      const { probabilities, chosen, weights } = routing;
      checkSame("routeBackward", probabilities, logits);
      checkSame("routeBackward", weights, dWeights);
      checkSize("routeBackward", `columns of ${weights.name}`, used, weights.cols);
      const read = [dWeights, logits, probabilities, chosen, weights];
      const to = apart("routeBackward", into, logits.rows, logits.cols, read);
      const losses = result(`${logits.name}.losses`, 1, 2);
      const operands = [idOf(dWeights), idOf(logits), idOf(probabilities), idOf(chosen), idOf(weights)] as const;
      const shape = [logits.rows, logits.cols, used, renormalize] as const;
      native.routeBackward(to.id, to.add, losses.id, ...operands, ...shape, balance, zLoss);
      const [balanced, squared] = scratch.values(losses) as unknown as [number, number];
      return { balance: balanced, zLoss: squared, dLogits: to.matrix };
    },
    experts(name, x, routing, stacks, activation, terms) {
      if (!(trained(stacks.gate) || trained(stacks.up) || trained(stacks.down))) {
        return ops.experts(name, x, routing, stacks, activation, terms);
      }
      if (terms !== undefined) throw new GrokError("unsupported", "experts: terms beside parameters");
      checkApart("experts", name, x);
      const { gate, up, down } = expertWeights("experts", x, routing, stacks);
      const out = result(name, x.rows, x.cols);
      const operands = [idOf(x), x.rows, idOf(routing.chosen), idOf(routing.weights), routing.used] as const;
      native.productExperts(out.id, ...operands, gate.id, up.id, down.id, activation === "gelu" ? 0 : 1);
      return out;
    },
    expertsBackward(into, dOut, x, routing, stacks, activation) {
      checkSame("expertsBackward", x, dOut);
      const { gate, up, down } = expertWeights("expertsBackward", x, routing, stacks);
      const { chosen, weights, used } = routing;
      const read = [dOut, x, chosen, weights];
      const to = into.x === undefined ? unwanted : apart("expertsBackward", into.x, x.rows, x.cols, read);
      const dWeights = apart("expertsBackward", into.weights, x.rows, used, read);
      const operands = [idOf(dOut), idOf(x), x.rows, idOf(chosen), idOf(weights), used] as const;
      const kind = activation === "gelu" ? 0 : 1;
      native.expertsBackward(to.id, to.add, dWeights.id, ...operands, gate.id, up.id, down.id, kind);
      return { x: to.matrix, weights: dWeights.matrix };
    },

    crossEntropy(name, logits, targets, weights) {
      checkSize("crossEntropy", `targets of ${logits.name}`, logits.rows, targets.length);
      checkSize("crossEntropy", `weights of ${logits.name}`, logits.rows, weights.length);
      targets.forEach((target, row) => {
        if (weights[row] === 0 || (target >= 0 && target < logits.cols)) return;
        const expected = `0 to ${logits.cols - 1}`;
        throw new GrokError("argument", `crossEntropy: target ${target} of row ${row} is not in ${expected}`, {
          row,
          target,
        });
      });
      const id = idOf(logits);
      const dLogits = name === undefined ? undefined : result(name, logits.rows, logits.cols);
      control.targets(weights, targets);
      return { loss: native.crossEntropy(dLogits?.id ?? -1, id, logits.rows, logits.cols), dLogits };
    },

    zeroGradients(parameters) {
      for (const parameter of parameters) native.zeroGradient(boundParameter(native, parameter).id);
    },
    gradientNorm(parameters) {
      let sum = 0;
      for (const parameter of parameters) sum += native.gradientSquares(boundParameter(native, parameter).id);
      return Math.sqrt(sum);
    },
    adamw(parameters, { rate, beta1, beta2, epsilon, decay, step, factor }) {
      checkStep(step);
      for (const parameter of parameters) {
        native.adamw(boundParameter(native, parameter).id, rate, beta1, beta2, epsilon, decay, step, factor);
      }
    },
  };
}
