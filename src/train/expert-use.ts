import type { Matrix, Ops } from "../kernels/ops.ts";

/** Counts how often the router chose each expert. */
export interface ChoiceCount {
  /** Operations that count, for a model to be bound to. */
  observe(ops: Ops): Ops;
  reset(): void;
  /** [layers, experts] since the last reset. */
  counts(): Promise<readonly number[]>;
}

export function createChoiceCount(layers: number, experts: number): ChoiceCount {
  let counts = new Array<number>(layers * experts).fill(0);
  let waiting: Promise<void>[] = [];
  let layer = -1;
  const add = (values: ArrayLike<number>, at: number) => {
    for (let i = 0; i < values.length; i++) counts[at * experts + values[i]!]!++;
  };
  const observe = (ops: Ops): Ops => ({
    ...ops,
    at(index) {
      layer = index;
      ops.at(index);
    },
    route(name, logits: Matrix, options) {
      const routing = ops.route(name, logits, options);
      const at = layer;
      const values = ops.read(routing.chosen);
      if (values instanceof Promise) waiting.push(values.then((read) => add(read, at)));
      else add(values, at);
      return routing;
    },
  });
  return {
    observe,
    reset() {
      counts = new Array<number>(layers * experts).fill(0);
      waiting = [];
    },
    async counts(): Promise<readonly number[]> {
      await Promise.all(waiting);
      return counts;
    },
  };
}

export interface ExpertUse {
  /** Of the busiest expert of any layer, its share of the choices, times the experts: 1 is even use. */
  readonly imbalance: number;
  /** Experts, of all layers, that nothing chose. */
  readonly unused: number;
  /** [layers][experts] shares of a layer's choices. */
  readonly shares: readonly (readonly number[])[];
}

export function describeUse(chosen: readonly number[], layers: number): ExpertUse {
  const experts = chosen.length / layers;
  const shares = Array.from({ length: layers }, (_, layer) => {
    const counts = chosen.slice(layer * experts, (layer + 1) * experts);
    const total = counts.reduce((sum, count) => sum + count, 0);
    return counts.map((count) => (total === 0 ? 0 : count / total));
  });
  return {
    imbalance: Math.max(...shares.flat()) * experts,
    unused: chosen.filter((count) => count === 0).length,
    shares,
  };
}
