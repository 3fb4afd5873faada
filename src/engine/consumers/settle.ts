import { GrokError } from "../../errors.ts";
import type { Consumer } from "../run.ts";

/** A promise's two ways out. */
export interface Settle<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** How a run ends that gives one value or nothing: cancelled, it rejects. */
export function settleWith<T>({ resolve, reject }: Settle<T>, value: () => T): Pick<Consumer, "end" | "fail"> {
  return {
    end(_, ending) {
      if (ending === "cancelled") reject(new GrokError("cancelled", "cancelled by the caller"));
      else resolve(value());
    },
    fail: reject,
  };
}
