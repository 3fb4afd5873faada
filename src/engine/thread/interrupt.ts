import { GrokError } from "../../errors.ts";
import type { Ops } from "../../kernels/ops.ts";
import type { Interrupt } from "../pass.ts";

export interface Cancellations extends Interrupt {
  /**
   * Two int32: cancellations ever asked for, which another thread counts, and how many of them a pass goes on in spite of. It is
   * left when the first exceeds the second.
   */
  readonly numbers: Int32Array<SharedArrayBuffer>;
  /** Of those asked for, one more message was read: it ends no pass that begins later. One that awaits data as it is read is left. */
  seen(): void;
}

/** Memory for {@link createCancellations}. */
export const cancellationBytes = 8;

const none = 2 ** 31 - 1;

export function createCancellations(shared: SharedArrayBuffer): Cancellations {
  const numbers = new Int32Array(shared);
  let read = 0;
  let armed = false;
  Atomics.store(numbers, 1, none);
  return {
    numbers,
    get armed() {
      return armed;
    },
    set armed(value) {
      armed = value;
      Atomics.store(numbers, 1, armed ? read : none);
    },
    seen() {
      read++;
    },
  };
}

/** `ops` whose `at` throws GrokError `cancelled` when a pass is to be left. */
export function makeInterruptible(ops: Ops, { numbers }: Cancellations): Ops {
  return {
    ...ops,
    at(layer) {
      if (Atomics.load(numbers, 0) > Atomics.load(numbers, 1)) {
        throw new GrokError("cancelled", "the pass was interrupted");
      }
      ops.at(layer);
    },
  };
}
