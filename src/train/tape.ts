import { GrokError } from "../errors.ts";
import type { GradOps, RouterLosses, RouterLossOptions, TrainableWeight } from "../kernels/grad-ops.ts";
import type { Batch, Matrix, Ops, Routing, Weight } from "../kernels/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { createGradients, type Gradient } from "./gradients.ts";

export interface TapeOptions {
  /** What a tensor of the model is bound as: a parameter, an adapted weight, or, by default, a frozen weight. */
  readonly bind?: (tensor: Tensor) => Weight;
  /**
   * Keeps of each layer only its result `l_out`, and computes the layer's other activations a second time on the way back:
   * memory for one layer's activations instead of all layers', for a third more arithmetic. Chen et al., Training Deep Nets
   * with Sublinear Memory Cost (2016).
   */
  readonly recompute?: boolean;
}

export interface PassLosses extends RouterLosses {
  /** The cross-entropy; the router's losses beside it are means over layers, 0 in a model without experts. */
  readonly loss: number;
}

/** Records what a model's forward pass does, and walks it back. */
export interface Tape {
  /**
   * Operations to bind and run a model with, unchanged. Whole sequences pass through: a batch's own keys and values are what its
   * rows attend to, and a cache holds nothing. Recording starts with the first call after {@link Tape.backward} or
   * {@link Tape.forget}.
   */
  readonly ops: Ops;
  /**
   * The loss Σ_t weights_t · cross-entropy(logits_t, targets_t) + Σ_layers (balance · balance loss + zLoss · z-loss), and its
   * gradient added to every parameter that took part. `logits` is the recorded pass's result; it is overwritten where
   * nothing needs it. Forgets the pass.
   */
  backward(logits: Matrix, targets: Int32Array, weights: Float64Array, router?: RouterLossOptions): Promise<PassLosses>;
  /** Forgets a pass that is not to be walked back, an evaluation's. */
  forget(): void;
}

/** One recorded call. */
interface Step {
  readonly layer: number;
  /** The value whose gradient the rule takes. */
  readonly out: Matrix;
  /** Makes the call again, into the same slots. */
  readonly again: () => unknown;
  readonly back: (gradient: Gradient) => void;
}

const noRouterLosses: RouterLossOptions = { balance: 0, zLoss: 0 };

export function createTape(gradOps: GradOps, options: TapeOptions = {}): Tape {
  const { bind = gradOps.weight, recompute = false } = options;
  const gradients = createGradients(gradOps);
  const steps: Step[] = [];
  /** Values that depend on something trained. */
  const live = new Set<Matrix>();
  /** Slots in use, and how often their name was asked for; slots whose values a rule reads. */
  const versions = new Map<string, number>();
  const needed = new Set<string>();
  const stored = new Map<number, { readonly k: Matrix; readonly v: Matrix; readonly batch: Batch | undefined }>();
  let batch: Batch | undefined;
  let layer = -1;
  let router = noRouterLosses;
  let losses = { balance: 0, zLoss: 0, routers: 0 };

  const forget = () => {
    steps.length = 0;
    live.clear();
    versions.clear();
    needed.clear();
    stored.clear();
    gradients.clear();
  };

  /** The slot of a result: one a layer and name, so that results last; another when a name comes again. */
  const slot = (name: string, over: readonly Matrix[] = []): string => {
    const shared = recompute && name !== "l_out" && layer >= 0;
    const place = shared ? `${name}@layer` : `${name}@${layer}`;
    const key = `${place} in ${layer}`;
    const version = versions.get(key) ?? 0;
    const current = version < 2 ? place : `${place}#${version}`;
    if (version > 0 && over.some((operand) => operand.name === current) && !needed.has(`${current} in ${layer}`)) {
      return current;
    }
    versions.set(key, version + 1);
    return version === 0 ? place : `${place}#${version + 1}`;
  };
  const need = (...values: readonly Matrix[]) => {
    for (const value of values) needed.add(`${value.name} in ${layer}`);
  };
  const isTrained = (...weights: readonly Weight[]) =>
    weights.some((weight) => (weight as Partial<TrainableWeight>).trainable === true);
  const isLive = (...values: readonly Matrix[]) => values.some((value) => live.has(value));

  /** Records a call; `back` is left out where nothing trained went in. */
  const record = <T>(out: Matrix, result: T, again: () => unknown, back?: (gradient: Gradient) => void): T => {
    if (back !== undefined) live.add(out);
    if (back !== undefined || recompute) steps.push({ layer, out, again, back: back ?? gradients.release });
    return result;
  };
  /** Gives a rule's result to `value`, when it is live. */
  const flow = (value: Matrix, rule: (into: ReturnType<typeof gradients.into>) => Matrix) => {
    if (isLive(value)) gradients.put(value, rule(gradients.into(value)));
  };

  const ops: Ops = {
    ...gradOps,
    begin(next) {
      gradOps.begin(next);
      batch = next;
    },
    at(index) {
      layer = index;
      gradOps.at(index);
    },
    matrix: (name, rows, cols) => gradOps.matrix(slot(name), rows, cols),
    weight: bind,

    embed(name, table, scale) {
      const place = slot(name);
      const run = () => gradOps.embed(place, table, scale);
      const out = run();
      if (!isTrained(table)) return record(out, out, run);
      return record(out, out, run, (gradient) => {
        gradOps.embedBackward(table as Parameters<GradOps["embedBackward"]>[0], gradient.matrix, scale);
        gradients.release(gradient);
      });
    },
    rows(name, x, indices) {
      const place = slot(name);
      const run = () => gradOps.rows(place, x, indices);
      const out = run();
      if (!isLive(x)) return record(out, out, run);
      return record(out, out, run, (gradient) => {
        flow(x, (into) => gradOps.rowsBackward(into, gradient.matrix, indices, x.rows));
        gradients.release(gradient);
      });
    },
    rmsNorm(name, x, gain, eps) {
      const place = slot(name);
      const run = () => gradOps.rmsNorm(place, x, gain, eps);
      const out = run();
      if (!isLive(x) && !isTrained(gain)) return record(out, out, run);
      need(x);
      return record(out, out, run, (gradient) => {
        if (isLive(x)) flow(x, (into) => gradOps.rmsNormBackward(into, gradient.matrix, x, gain, eps)!);
        else gradOps.rmsNormBackward(undefined, gradient.matrix, x, gain, eps);
        gradients.release(gradient);
      });
    },
    matmul(name, x, weight) {
      const place = slot(name);
      const run = () => gradOps.matmul(place, x, weight);
      const out = run();
      if (!isLive(x) && !isTrained(weight)) return record(out, out, run);
      if (isTrained(weight)) need(x);
      return record(out, out, run, (gradient) => {
        if (isLive(x)) flow(x, (into) => gradOps.matmulBackward(into, gradient.matrix, x, weight)!);
        else gradOps.matmulBackward(undefined, gradient.matrix, x, weight);
        gradients.release(gradient);
      });
    },
    rope(name, x, rope) {
      const place = slot(name, [x]);
      const run = () => gradOps.rope(place, x, rope);
      const out = run();
      if (!isLive(x)) return record(out, out, run);
      return record(out, out, run, (gradient) => {
        gradients.map(x, gradient, (into, dOut) => gradOps.ropeBackward(into, dOut, rope));
      });
    },

    kvCache: (spec) => ({ spec }),
    freeKvCache() {},
    addLowRank() {
      throw new GrokError("unsupported", "adapters in training are parameters, not terms beside products");
    },
    ...{ copyPage: withoutPages, readPage: withoutPages, writePage: withoutPages },
    store(_cache, index, k, v) {
      stored.set(index, { k, v, batch });
    },
    attention(name, q, cache, index, attention) {
      const { k, v } = storedAt(stored.get(index), index, batch);
      const full = { ...attention, kvHeads: cache.spec.kvHeads };
      const place = slot(name);
      const run = () => gradOps.selfAttention(place, q, k, v, full);
      const attended = run();
      const { out } = attended;
      if (!isLive(q, k, v)) return record(out, out, run);
      need(q, k, v, out);
      return record(out, out, run, (gradient) => {
        const into = { q: gradients.into(q), k: gradients.into(k), v: gradients.into(v) };
        const found = gradOps.selfAttentionBackward(into, gradient.matrix, q, k, v, attended, full);
        gradients.put(q, found.q);
        gradients.put(k, found.k);
        gradients.put(v, found.v);
        gradients.release(gradient);
      });
    },

    add(name, a, b) {
      const place = slot(name, [a, b]);
      const run = () => gradOps.add(place, a, b);
      const out = run();
      if (!isLive(a, b)) return record(out, out, run);
      return record(out, out, run, (gradient) => {
        for (const operand of [a, b]) if (isLive(operand)) gradients.share(operand, gradient);
        gradients.release(gradient);
      });
    },
    scale(name, x, factor) {
      const place = slot(name, [x]);
      const run = () => gradOps.scale(place, x, factor);
      const out = run();
      if (!isLive(x)) return record(out, out, run);
      return record(out, out, run, (gradient) => {
        gradients.map(x, gradient, (into, dOut) => gradOps.scaleBackward(into, dOut, factor));
      });
    },
    softcap(name, x, cap) {
      const place = slot(name, [x]);
      const run = () => gradOps.softcap(place, x, cap);
      const out = run();
      if (!isLive(x)) return record(out, out, run);
      need(out);
      return record(out, out, run, (gradient) => {
        gradients.map(x, gradient, (into, dOut) => gradOps.softcapBackward(into, dOut, out, cap));
      });
    },
    gated(name, activation, gate, up) {
      need(gate, up);
      const place = slot(name);
      const run = () => gradOps.gated(place, activation, gate, up);
      const out = run();
      if (!isLive(gate, up)) return record(out, out, run);
      return record(out, out, run, (gradient) => {
        const into = { gate: gradients.into(gate), up: gradients.into(up) };
        const found = gradOps.gatedBackward(into, gradient.matrix, activation, gate, up);
        gradients.put(gate, found.gate);
        gradients.put(up, found.up);
        gradients.release(gradient);
      });
    },

    route(name, logits, route) {
      const place = slot(name);
      const run = () => gradOps.route(place, logits, route);
      const routing = run();
      const { weights } = routing;
      if (!isLive(logits)) return record(weights, routing, run);
      need(logits, routing.probabilities, routing.chosen, weights);
      return record(weights, routing, run, (gradient) => {
        const into = gradients.into(logits);
        const found = gradOps.routeBackward(into, gradient.matrix, logits, routing, { ...route, ...router });
        gradients.put(logits, found.dLogits);
        gradients.release(gradient);
        losses = {
          balance: losses.balance + found.balance,
          zLoss: losses.zLoss + found.zLoss,
          routers: losses.routers + 1,
        };
      });
    },
    experts(name, x, routing, stacks, activation) {
      const place = slot(name);
      const run = () => gradOps.experts(place, x, routing, stacks, activation);
      const keep = (out: Matrix): Matrix => {
        const trained = isTrained(stacks.gate, stacks.up, stacks.down);
        if (!isLive(x, routing.weights) && !trained) return record(out, out, run);
        need(x, routing.chosen, routing.weights);
        return record(out, out, run, (gradient) => {
          walkExperts(gradient, x, routing, (into) =>
            gradOps.expertsBackward(into, gradient.matrix, x, routing, stacks, activation),
          );
        });
      };
      const result = run();
      return result instanceof Promise ? result.then(keep) : keep(result);
    },
  };

  const walkExperts = (
    gradient: Gradient,
    x: Matrix,
    { weights }: Routing,
    rule: (into: Parameters<GradOps["expertsBackward"]>[0]) => ReturnType<GradOps["expertsBackward"]>,
  ) => {
    const intoWeights = gradients.into(weights);
    const name = typeof intoWeights === "string" ? intoWeights : `${weights.name} gradient`;
    const found = rule({ x: isLive(x) ? gradients.into(x) : undefined, weights: name });
    if (found.x !== undefined) gradients.put(x, found.x);
    if (isLive(weights)) gradients.put(weights, found.weights);
    else gradients.release({ matrix: found.weights, holders: 1 });
    gradients.release(gradient);
  };

  /** Runs a layer's calls again, so that the slots that layers share hold its values. */
  const replay = async (index: number) => {
    for (const step of steps) if (step.layer === index) await step.again();
  };

  return {
    ops,
    forget,
    async backward(logits, targets, weights, routerLosses = noRouterLosses) {
      const last = steps.at(-1);
      if (last === undefined || last.out !== logits || !isLive(logits)) {
        throw new GrokError(
          "argument",
          `tape: ${logits.name} is not the result of a recorded pass that trains anything`,
        );
      }
      // Another pass may have come between.
      if (batch !== undefined) gradOps.begin(batch);
      router = routerLosses;
      losses = { balance: 0, zLoss: 0, routers: 0 };
      const over = !needed.has(`${logits.name} in ${last.layer}`);
      const { loss, dLogits } = gradOps.crossEntropy(
        over ? logits.name : "gradient of logits",
        logits,
        targets,
        weights,
      );
      gradients.put(logits, dLogits!);
      const top = steps.reduce((most, step) => Math.max(most, step.layer), -1);
      let present = top;
      for (const step of [...steps].reverse()) {
        if (recompute && step.layer >= 0 && step.layer !== present) {
          present = step.layer;
          await replay(present);
        }
        const gradient = gradients.take(step.out);
        if (gradient !== undefined) step.back(gradient);
      }
      forget();
      const { balance, zLoss, routers } = losses;
      return { loss, balance: balance / Math.max(1, routers), zLoss: zLoss / Math.max(1, routers) };
    },
  };
}

function storedAt<T extends object>(
  found: (T & { readonly batch: Batch | undefined }) | undefined,
  layer: number,
  batch: Batch | undefined,
): T {
  if (batch === undefined || found?.batch !== batch) {
    throw new GrokError("argument", `tape: layer ${layer} attends to keys and values that this batch did not store`);
  }
  for (const { start, count } of batch.sequences) {
    if (count > 0 && batch.positions[start] !== 0) {
      throw new GrokError("argument", `tape: a sequence starts at position ${batch.positions[start]}, expected 0`, {
        row: start,
      });
    }
  }
  return found;
}

function withoutPages(): never {
  throw new GrokError("unsupported", "in training sequences have no pages");
}
