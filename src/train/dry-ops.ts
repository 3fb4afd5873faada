import { GrokError } from "../errors.ts";
import type { GradOps, Into, Parameter } from "../kernels/grad-ops.ts";
import type { Matrix } from "../kernels/ops.ts";
import { elementCount, type Tensor } from "../tensor/tensor.ts";

/** Operations that compute nothing and remember how much memory their results would take. */
export interface DryOps {
  readonly ops: GradOps;
  /** Elements of all results' slots, each at its largest. */
  elements(): number;
  /** Elements of all parameters. */
  parameterElements(): number;
}

/** A model bound to these, and passed through a tape on them, uses the slots that a real pass does, whatever its architecture. */
export function createDryOps(): DryOps {
  const slots = new Map<string, number>();
  let parameters = 0;
  let rows = 0;
  const make = (name: string, rows: number, cols: number): Matrix => {
    slots.set(name, Math.max(slots.get(name) ?? 0, rows * cols));
    return { name, rows, cols };
  };
  const put = (into: Into, rows: number, cols: number) => (typeof into === "string" ? make(into, rows, cols) : into);
  const outOf = (tensor: Tensor) => tensor.shape.at(-2)!;
  const alike = (name: string, x: Matrix) => make(name, x.rows, x.cols);
  const refuse = (): never => {
    throw new GrokError("internal", "a dry run has no values");
  };
  const parameter = (name: string, shape: readonly number[]): Parameter => {
    parameters += elementCount(shape);
    const tensor: Tensor = { name, type: "f32", shape, source: "memory", places: [] };
    return { name, shape, tensor, trainable: true };
  };
  const inner = (x: Matrix, used: number, stack: Tensor) => make("inner", x.rows * used, 3 * outOf(stack));

  const ops: GradOps = {
    ...{ backend: "dry", elementBytes: 8, kvType: "f32", threads: 1 },
    begin(batch) {
      rows = batch.tokens.length;
    },
    at() {},
    matrix: make,
    write() {},
    read: refuse,
    weight: (tensor) => ({ tensor }),
    embed: (name, table) => make(name, rows, table.tensor.shape.at(-1)!),
    rows: (name, x, indices) => make(name, indices.length, x.cols),
    rmsNorm: alike,
    matmul: (name, x, weight) => make(name, x.rows, outOf(weight.tensor)),
    addLowRank: (y) => y,
    rope: alike,
    kvCache: (spec) => ({ spec }),
    freeKvCache() {},
    copyPage() {},
    readPage: refuse,
    writePage() {},
    store() {},
    attention: alike,
    add: alike,
    scale: alike,
    softcap: alike,
    gated: (name, _, gate) => alike(name, gate),
    route(name, logits, { used, renormalize }) {
      return {
        rows: logits.rows,
        used,
        renormalize,
        probabilities: alike(name, logits),
        chosen: make(`${name}.chosen`, logits.rows, used),
        weights: make(`${name}.weights`, logits.rows, used),
      };
    },
    experts(name, x, routing, stacks) {
      inner(x, routing.used, stacks.gate.tensor);
      return alike(name, x);
    },
    topK: (name, x, k) => ({
      values: make(name, x.rows, k),
      indices: make(`${name}.indices`, x.rows, k),
      logSumExp: make(`${name}.lse`, x.rows, 1),
    }),
    logprobs: (name, _, { rows }) => make(name, rows.length, 2),
    close() {},

    parameter,
    readParameter: refuse,
    writeParameter() {},
    freeParameters() {},
    lowRank: (base) => ({ tensor: base.tensor, trainable: true }),
    embedBackward() {},
    rowsBackward: (into, dOut, _, rows) => put(into, rows, dOut.cols),
    rmsNormBackward: (into, dOut) => (into === undefined ? undefined : put(into, dOut.rows, dOut.cols)),
    matmulBackward: (into, _, x) => (into === undefined ? undefined : put(into, x.rows, x.cols)),
    ropeBackward: (into, dOut) => put(into, dOut.rows, dOut.cols),
    selfAttention: (name, q, _k, _v, { heads }) => ({
      out: alike(name, q),
      logSumExp: make(`${name}.lse`, q.rows, heads),
    }),
    selfAttentionBackward: (into, _, q, k, v) => ({
      q: put(into.q, q.rows, q.cols),
      k: put(into.k, k.rows, k.cols),
      v: put(into.v, v.rows, v.cols),
    }),
    addBackward: (into, dOut) => put(into, dOut.rows, dOut.cols),
    scaleBackward: (into, dOut) => put(into, dOut.rows, dOut.cols),
    softcapBackward: (into, dOut) => put(into, dOut.rows, dOut.cols),
    gatedBackward: (into, _, _activation, gate, up) => ({
      gate: put(into.gate, gate.rows, gate.cols),
      up: put(into.up, up.rows, up.cols),
    }),
    routeBackward: (into, _, logits) => ({ dLogits: put(into, logits.rows, logits.cols), balance: 0, zLoss: 0 }),
    expertsBackward(into, _, x, routing, stacks) {
      inner(x, 2 * routing.used, stacks.gate.tensor);
      return {
        x: into.x === undefined ? undefined : put(into.x, x.rows, x.cols),
        weights: make(into.weights, routing.rows, routing.used),
      };
    },
    crossEntropy: (name, logits) => ({ loss: 0, dLogits: name === undefined ? undefined : alike(name, logits) }),
    zeroGradients() {},
    gradientNorm: () => 0,
    adamw() {},
  };
  return {
    ops,
    elements: () => [...slots.values()].reduce((sum, size) => sum + size, 0),
    parameterElements: () => parameters,
  };
}
