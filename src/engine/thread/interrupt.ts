import { GrokError } from "../../errors.ts";
import type { Cancel } from "../../kernels/native/native.ts";
import type { Ops } from "../../kernels/ops.ts";
import type { Interrupt } from "../pass.ts";

/**
 * How a caller's thread ends a pass under way in another, which reads no messages while it computes. In memory that both see are two
 * numbers, of the runs that a pass serves how many are cancelled, and how many it goes on in spite of: it is left when the first
 * exceeds the second, so when all are cancelled, and never for a run that it does not serve. Behind them are marks, one for all
 * runs whose numbers are the same but for a multiple of their count: a run's number while a pass serves it, its negative once it is
 * cancelled. Where two that are under way share a mark, one may be left only at the end of its pass.
 */
const marks = 1024;

/** Memory for {@link createCancellations}. */
export const cancellationBytes = 4 * (2 + marks);

const markOf = (id: number) => 2 + (id % marks);

/** The caller's side: nobody wants this run any more. The message that says so comes after. */
export function cancelRun(shared: Int32Array, id: number): void {
  if (Atomics.exchange(shared, markOf(id), -id) === id) Atomics.add(shared, 0, 1);
}

const none = 2 ** 31 - 1;

export function createCancellations(memory: SharedArrayBuffer): Interrupt & Cancel {
  const shared = new Int32Array(memory);
  const numbers = shared.subarray(0, 2);
  let served: readonly number[] = [];
  let left: Promise<void> | undefined;
  let resolveLeft = () => {};
  Atomics.store(shared, 1, none);
  return {
    numbers,
    enter(runs) {
      Atomics.store(shared, 0, 0);
      const found = runs.map((id) => Atomics.compareExchange(shared, markOf(id), 0, id));
      served = runs.filter((_, i) => found[i] === 0);
      const cancelled = runs.filter((id, i) => found[i] === -id).length;
      Atomics.add(shared, 0, cancelled);
      // Of one that has no mark of its own nobody would know: the pass is not left.
      Atomics.store(shared, 1, served.length + cancelled < runs.length ? none : runs.length - 1);
    },
    leave() {
      Atomics.store(shared, 1, none);
      for (const id of served) Atomics.compareExchange(shared, markOf(id), id, 0);
      served = [];
      left = undefined;
    },
    cancelled(id) {
      if (Atomics.compareExchange(shared, markOf(id), id, 0) === id) Atomics.add(shared, 0, 1);
      Atomics.compareExchange(shared, markOf(id), -id, 0);
      if (isLeft(numbers)) resolveLeft();
    },
    left() {
      left ??= new Promise((resolve) => {
        resolveLeft = resolve;
      });
      return left;
    },
  };
}

/** `ops` whose `at` throws GrokError `cancelled` when a pass is to be left. */
export function makeInterruptible(ops: Ops, { numbers }: Cancel): Ops {
  return {
    ...ops,
    at(layer) {
      if (isLeft(numbers)) throw new GrokError("cancelled", "the pass was interrupted");
      ops.at(layer);
    },
  };
}

function isLeft(numbers: Int32Array): boolean {
  return Atomics.load(numbers, 0) > Atomics.load(numbers, 1);
}
