import { batchOf } from "../batch.ts";
import { checkApart, checkSize, checkStep } from "../checks.ts";
import type { GradOps, Into } from "../grad-ops.ts";
import type { Batch, Matrix } from "../ops.ts";
import { stepParameter } from "./adamw.ts";
import { weighCrossEntropy } from "./cross-entropy.ts";
import { addExpertsGradient } from "./experts-gradient.ts";
import { eachGateGradient } from "./gate-gradient.ts";
import { adaptWeight } from "./low-rank.ts";
import { addProduct, addWeightGradient } from "./matmul-gradient.ts";
import { valuesOf } from "./matrix.ts";
import { addNormGradient } from "./norm-gradient.ts";
import { boundParameter, createParameter, parameterOf } from "./parameter.ts";
import { checkIndex, checkSame, createReference, type ReferenceOptions } from "./reference.ts";
import { rotate } from "./rope.ts";
import { addRouteGradient } from "./route-gradient.ts";
import { addSelfAttentionGradient, attendSelf } from "./self-attention.ts";
import { boundWeight } from "./weight.ts";

/** The reference backend with its gradient rules: float64 throughout, parameters too. */
export function createGradReference(options: ReferenceOptions = {}): GradOps {
  const ops = createReference(options);

  /** The matrix that a gradient goes to, and its values, to be added to: zero when it is fresh. */
  const sumInto = (operation: string, into: Into, rows: number, cols: number, operands: readonly Matrix[]) => {
    const matrix = typeof into === "string" ? ops.matrix(into, rows, cols) : into;
    checkApart(operation, matrix.name, ...operands);
    checkSize(operation, `rows of ${matrix.name}`, rows, matrix.rows);
    checkSize(operation, `columns of ${matrix.name}`, cols, matrix.cols);
    const data = valuesOf(matrix);
    if (typeof into === "string") data.fill(0);
    return { matrix, data };
  };

  /** The matrix that an elementwise gradient goes to, and how to put a value there; a name may be an operand's own. */
  const putInto = (operation: string, into: Into, like: Matrix) => {
    const matrix = typeof into === "string" ? ops.matrix(into, like.rows, like.cols) : into;
    checkSame(operation, like, matrix);
    const data = valuesOf(matrix);
    const put =
      typeof into === "string"
        ? (i: number, value: number) => {
            data[i] = value;
          }
        : (i: number, value: number) => {
            data[i]! += value;
          };
    return { matrix, put };
  };

  const mapInto = (operation: string, into: Into, dOut: Matrix, f: (gradient: number, i: number) => number): Matrix => {
    const { matrix, put } = putInto(operation, into, dOut);
    valuesOf(dOut).forEach((gradient, i) => {
      put(i, f(gradient, i));
    });
    return matrix;
  };

  let batch: Batch | undefined;
  const attentionOperands = (q: Matrix, k: Matrix, v: Matrix, heads: number, kvHeads: number) => {
    for (const x of [q, k, v]) batchOf("selfAttention", batch, x);
    const headSize = q.cols / heads;
    for (const x of [k, v]) checkSize("selfAttention", `columns of ${x.name}`, kvHeads * headSize, x.cols);
    return { q: valuesOf(q), k: valuesOf(k), v: valuesOf(v), headSize };
  };

  return {
    ...ops,
    begin(next) {
      ops.begin(next);
      batch = next;
    },

    parameter: createParameter,
    readParameter: (parameter, part) => boundParameter(parameter).parts[part],
    writeParameter(parameter, part, values) {
      const target = boundParameter(parameter).parts[part];
      checkSize("writeParameter", `values of ${parameter.name}`, target.length, values.length);
      target.set(values);
    },
    freeParameters(parameters) {
      for (const parameter of parameters) {
        const { parts } = boundParameter(parameter);
        for (const part of ["values", "gradient", "mean", "variance"] as const) parts[part] = new Float64Array(0);
      }
    },
    lowRank: (base, a, b, scale) => adaptWeight(boundWeight(base), boundParameter(a), boundParameter(b), scale),

    embedBackward(table, dOut, scale) {
      const { parts, rows, cols } = boundParameter(table);
      const { tokens } = batchOf("embedBackward", batch, dOut);
      checkSize("embedBackward", `columns of ${dOut.name}`, cols, dOut.cols);
      const gradient = valuesOf(dOut);
      tokens.forEach((token, t) => {
        checkIndex("embedBackward", "token", token, rows);
        for (let i = 0; i < cols; i++) parts.gradient[token * cols + i]! += scale * gradient[t * cols + i]!;
      });
    },

    rowsBackward(into, dOut, indices, rows) {
      checkSize("rowsBackward", `rows of ${dOut.name}`, indices.length, dOut.rows);
      const { cols } = dOut;
      const { matrix, data } = sumInto("rowsBackward", into, rows, cols, [dOut]);
      const gradient = valuesOf(dOut);
      indices.forEach((row, i) => {
        checkIndex("rowsBackward", "row", row, rows);
        for (let j = 0; j < cols; j++) data[row * cols + j]! += gradient[i * cols + j]!;
      });
      return matrix;
    },

    rmsNormBackward(into, dOut, x, gain, eps) {
      checkSame("rmsNormBackward", x, dOut);
      const weight = boundWeight(gain);
      checkSize("rmsNormBackward", `columns of ${x.name} beyond whole gains`, 0, x.cols % weight.cols);
      const runs = (x.rows * x.cols) / weight.cols;
      const target = into === undefined ? undefined : sumInto("rmsNormBackward", into, x.rows, x.cols, [dOut, x]);
      const trained = parameterOf(gain)?.parts.gradient;
      addNormGradient(target?.data, trained, valuesOf(dOut), valuesOf(x), weight.row(0), runs, eps);
      return target?.matrix;
    },

    matmulBackward(into, dOut, x, weight) {
      const bound = boundWeight(weight);
      checkSize("matmulBackward", `rows of ${dOut.name}`, x.rows, dOut.rows);
      checkSize("matmulBackward", `columns of ${x.name}`, bound.cols, x.cols);
      checkSize("matmulBackward", `columns of ${dOut.name}`, bound.rows, dOut.cols);
      const target = into === undefined ? undefined : sumInto("matmulBackward", into, x.rows, x.cols, [dOut, x]);
      if (target !== undefined) addProduct(target.data, valuesOf(dOut), x.rows, bound, 0);
      addWeightGradient(bound, 0, valuesOf(dOut), valuesOf(x), x.rows);
      return target?.matrix;
    },

    ropeBackward(into, dOut, rope) {
      const { positions } = batchOf("ropeBackward", batch, dOut);
      checkSize("ropeBackward", `columns of ${dOut.name} beyond whole heads`, 0, dOut.cols % rope.headSize);
      const turned = Float64Array.from(valuesOf(dOut));
      const back = { ...rope, frequencies: rope.frequencies.map((frequency) => -frequency) };
      rotate(turned, dOut.rows, positions, back);
      return mapInto("ropeBackward", into, dOut, (_, i) => turned[i]!);
    },

    selfAttention(name, q, k, v, attention) {
      checkApart("selfAttention", name, q, k, v);
      const operands = attentionOperands(q, k, v, attention.heads, attention.kvHeads);
      const out = ops.matrix(name, q.rows, q.cols);
      const logSumExp = ops.matrix(`${name}.lse`, q.rows, attention.heads);
      attendSelf(valuesOf(out), valuesOf(logSumExp), operands, batchOf("selfAttention", batch, q), attention);
      return { out, logSumExp };
    },
    selfAttentionBackward(into, dOut, q, k, v, { out, logSumExp }, attention) {
      checkSame("selfAttentionBackward", q, dOut);
      const operands = attentionOperands(q, k, v, attention.heads, attention.kvHeads);
      const read = [dOut, q, k, v, out, logSumExp];
      const dq = sumInto("selfAttentionBackward", into.q, q.rows, q.cols, read);
      const dk = sumInto("selfAttentionBackward", into.k, k.rows, k.cols, read);
      const dv = sumInto("selfAttentionBackward", into.v, v.rows, v.cols, read);
      const gradients = { q: dq.data, k: dk.data, v: dv.data };
      const lse = valuesOf(logSumExp);
      const rows = batchOf("selfAttention", batch, q);
      addSelfAttentionGradient(gradients, valuesOf(dOut), operands, valuesOf(out), lse, rows, attention);
      return { q: dq.matrix, k: dk.matrix, v: dv.matrix };
    },

    addBackward: (into, dOut) => mapInto("addBackward", into, dOut, (gradient) => gradient),
    scaleBackward: (into, dOut, factor) => mapInto("scaleBackward", into, dOut, (gradient) => gradient * factor),
    softcapBackward(into, dOut, y, cap) {
      checkSame("softcapBackward", y, dOut);
      const results = valuesOf(y);
      return mapInto("softcapBackward", into, dOut, (gradient, i) => gradient * (1 - (results[i]! / cap) ** 2));
    },
    gatedBackward(into, dOut, activation, gate, up) {
      checkSame("gatedBackward", gate, up);
      checkSame("gatedBackward", gate, dOut);
      const dGate = putInto("gatedBackward", into.gate, gate);
      const dUp = putInto("gatedBackward", into.up, up);
      eachGateGradient(valuesOf(dOut), activation, valuesOf(gate), valuesOf(up), (i, forGate, forUp) => {
        dGate.put(i, forGate);
        dUp.put(i, forUp);
      });
      return { gate: dGate.matrix, up: dUp.matrix };
    },

    routeBackward(into, dWeights, logits, routing, route) {
      const { probabilities, chosen, weights } = routing;
      checkSame("routeBackward", probabilities, logits);
      checkSame("routeBackward", weights, dWeights);
      const read = [dWeights, logits, probabilities, chosen, weights];
      const target = sumInto("routeBackward", into, logits.rows, logits.cols, read);
      const losses = addRouteGradient(
        target.data,
        valuesOf(dWeights),
        valuesOf(logits),
        { probabilities: valuesOf(probabilities), chosen: valuesOf(chosen), weights: valuesOf(weights) },
        logits.rows,
        route,
      );
      return { ...losses, dLogits: target.matrix };
    },
    expertsBackward(into, dOut, x, routing, stacks, activation) {
      checkSame("expertsBackward", x, dOut);
      checkSize("expertsBackward", "rows of the routing", x.rows, routing.rows);
      const { chosen, weights, used } = routing;
      const read = [dOut, x, chosen, weights];
      const dx = into.x === undefined ? undefined : sumInto("expertsBackward", into.x, x.rows, x.cols, read);
      const dWeights = sumInto("expertsBackward", into.weights, x.rows, used, read);
      const routed = { chosen: valuesOf(chosen), weights: valuesOf(weights), used };
      const bound = { gate: boundWeight(stacks.gate), up: boundWeight(stacks.up), down: boundWeight(stacks.down) };
      addExpertsGradient(dx?.data, dWeights.data, valuesOf(dOut), valuesOf(x), routed, bound, activation);
      return { x: dx?.matrix, weights: dWeights.matrix };
    },

    crossEntropy(name, logits, targets, weights) {
      checkSize("crossEntropy", `targets of ${logits.name}`, logits.rows, targets.length);
      checkSize("crossEntropy", `weights of ${logits.name}`, logits.rows, weights.length);
      const dLogits = name === undefined ? undefined : ops.matrix(name, logits.rows, logits.cols);
      const out = dLogits === undefined ? undefined : valuesOf(dLogits);
      const loss = weighCrossEntropy(out, valuesOf(logits), logits.cols, targets, weights);
      return { loss, dLogits };
    },

    zeroGradients(parameters) {
      for (const parameter of parameters) boundParameter(parameter).parts.gradient.fill(0);
    },
    gradientNorm(parameters) {
      let sum = 0;
      for (const parameter of parameters) {
        for (const value of boundParameter(parameter).parts.gradient) sum += value * value;
      }
      return Math.sqrt(sum);
    },
    adamw(parameters, step) {
      checkStep(step.step);
      for (const parameter of parameters) stepParameter(boundParameter(parameter), step);
    },
  };
}
