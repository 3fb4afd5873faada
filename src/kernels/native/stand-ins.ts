import type { GrokError } from "../../errors.ts";
import { attempt, type ExpertSlots } from "./expert-slots.ts";
import type { SlotCounters } from "./slot-counters.ts";
import type { NativeWeight } from "./weight.ts";

/** Experts in whose place copies are computed, so that nobody waits for them. */
export interface StandIns {
  /** Of experts that are not there, those that have a copy to compute with. What is worth a place in memory is on its way from now on. */
  take(stacks: readonly NativeWeight[], absent: readonly number[]): number[];
}

/** Bytes on their way that keep a drive busy until somebody looks again: with so many no other expert is begun. A prompt waits behind them. */
const mostReading = 2 ** 25;

/** @param numberOf An expert's number. */
export function createStandIns(
  experts: ExpertSlots,
  counters: SlotCounters,
  numberOf: (stacks: readonly NativeWeight[], matrix: number) => number,
): StandIns {
  /** What could not be read: it is waited for the next time, so that whoever needs it is told. */
  const failed = new Set<number>();
  let reading = 0;

  const bring = (stacks: readonly NativeWeight[], matrix: number) => {
    const number = numberOf(stacks, matrix);
    if (experts.get(number) !== undefined || reading >= mostReading) return;
    const begun = attempt(() => experts.begin(number, stacks, matrix, "likely"));
    if (begun === undefined) return;
    reading += begun.bytes;
    const settled = () => {
      reading -= begun.bytes;
    };
    begun.loaded.then(
      () => {
        settled();
        experts.letGo(number);
      },
      (error: GrokError) => {
        settled();
        if (error.code !== "cancelled") failed.add(number);
      },
    );
  };

  return {
    take(stacks, absent) {
      if (stacks.some(({ standIn }) => standIn === undefined)) return [];
      const taken = absent.filter((matrix) => !failed.delete(numberOf(stacks, matrix)));
      for (const matrix of taken) bring(stacks, matrix);
      counters.stoodIn += taken.length;
      return taken;
    },
  };
}
