import { GrokError } from "../../errors.ts";
import { largest } from "../../sampling/logits.ts";
import type { Consumer } from "../run.ts";
import { type Settle, settleWith } from "./settle.ts";

export interface LogitsOptions {
  /** Also give every layer's output, and where there are experts their probabilities and choice. Default false. */
  readonly layers?: boolean;
  readonly signal?: AbortSignal;
}

/** Row-major values with their shape. */
export interface NamedArray {
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array;
}

export interface LogitsResult {
  /** [tokens, vocab] */
  readonly logits: NamedArray;
  /** `hidden.N` [tokens, width], `router.N` [tokens, experts], `experts.N` [tokens, used] (int32), when asked for. */
  readonly layers: ReadonlyMap<string, NamedArray>;
}

const layerNames = new Map([
  ["l_out", "hidden"],
  ["ffn_moe_probs", "router"],
  ["ffn_moe_probs.chosen", "experts"],
]);

/**
 * Keeps all rows of a sequence of `total` tokens, and on request what its layers computed.
 * @throws GrokError `capacity` where no array holds them.
 */
export function createLogitsRun(
  total: number,
  vocab: number,
  observed: boolean,
  settle: Settle<LogitsResult>,
): Consumer {
  const values = roomFor(total, vocab);
  const layers = new Map<string, NamedArray>();
  const observe: Consumer["observe"] = (layer, name, position, cols, rows) => {
    const kind = layerNames.get(name);
    if (kind === undefined) return;
    const key = `${kind}.${layer}`;
    let array = layers.get(key);
    if (array === undefined) {
      const size = total * cols;
      array = { shape: [total, cols], values: kind === "experts" ? new Int32Array(size) : new Float32Array(size) };
      layers.set(key, array);
    }
    array.values.set(rows, position * cols);
  };
  return {
    kind: "logits",
    take(_, __, position, row) {
      // Throws where they are no numbers.
      largest(row);
      values.set(row, position * vocab);
      return position === total - 1 ? "done" : undefined;
    },
    ...(observed && { observe }),
    ...settleWith(settle, () => ({ logits: { shape: [total, vocab], values }, layers })),
  };
}

function roomFor(tokens: number, vocab: number): Float32Array {
  try {
    return new Float32Array(tokens * vocab);
  } catch (error) {
    const message = `no memory for the logits of ${tokens} tokens by ${vocab}: ask for fewer tokens`;
    throw new GrokError("capacity", message, { tokens, vocab }, error);
  }
}
