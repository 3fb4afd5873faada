import type { Matrix, Ops } from "../kernels/ops.ts";

/** Called with each result as it is made: its layer (-1: none), its name, and the matrix, to be read at once or never. */
export type Observer = (layer: number, name: string, matrix: Matrix) => void;

/**
 * `ops`, with every result shown to `see`. What a backend would be told of experts to come is not computed: it is no model's result. A route shows its probabilities under its own name, and NAME.chosen and
 * NAME.weights. Results of a backend that waits are shown when they are there.
 */
export function observe({ expect: _, expecting: __, ...ops }: Ops, see: Observer): Ops {
  let layer = -1;
  const shown = (name: string, matrix: Matrix): Matrix => {
    see(layer, name, matrix);
    return matrix;
  };
  return {
    ...ops,
    at(index) {
      layer = index;
      ops.at(index);
    },
    embed: (name, ...rest) => shown(name, ops.embed(name, ...rest)),
    rows: (name, ...rest) => shown(name, ops.rows(name, ...rest)),
    rmsNorm: (name, ...rest) => shown(name, ops.rmsNorm(name, ...rest)),
    matmul: (name, ...rest) => shown(name, ops.matmul(name, ...rest)),
    rope: (name, ...rest) => shown(name, ops.rope(name, ...rest)),
    attention: (name, ...rest) => shown(name, ops.attention(name, ...rest)),
    add: (name, ...rest) => shown(name, ops.add(name, ...rest)),
    scale: (name, ...rest) => shown(name, ops.scale(name, ...rest)),
    softcap: (name, ...rest) => shown(name, ops.softcap(name, ...rest)),
    gated: (name, ...rest) => shown(name, ops.gated(name, ...rest)),
    route(name, ...rest) {
      const routing = ops.route(name, ...rest);
      shown(name, routing.probabilities);
      shown(`${name}.chosen`, routing.chosen);
      shown(`${name}.weights`, routing.weights);
      return routing;
    },
    experts(name, ...rest) {
      const result = ops.experts(name, ...rest);
      return result instanceof Promise ? result.then((matrix) => shown(name, matrix)) : shown(name, result);
    },
  };
}
