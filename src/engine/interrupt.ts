import { GrokError } from "../errors.ts";
import type { Ops } from "../kernels/ops.ts";

/**
 * A way out of a pass between two layers. A thread that computes reads no messages; it can look at one shared number.
 * Armed only while a pass serves a single request: others should not pay for a neighbour's cancellation.
 */
export interface Interrupt {
  armed: boolean;
}

/** `ops` whose `at` throws GrokError `cancelled` when the interrupt is armed and requested. */
export function makeInterruptible(ops: Ops, requested: () => boolean): { ops: Ops; interrupt: Interrupt } {
  const interrupt: Interrupt = { armed: false };
  return {
    interrupt,
    ops: {
      ...ops,
      at(layer) {
        if (interrupt.armed && requested()) throw new GrokError("cancelled", "the pass was interrupted");
        ops.at(layer);
      },
    },
  };
}
