import { GrokError } from "../errors.ts";

/** Whether a pass was interrupted on purpose: it is then run again, without who cancelled. */
export const isInterruption = (error: unknown): boolean => error instanceof GrokError && error.code === "cancelled";

/** The model's own arithmetic went wrong, and not what a caller asked for. */
export function noNumbers(adapted: boolean, source = "the model"): GrokError {
  const why = adapted ? "a weight is damaged, or its adapters are too strong" : "a weight is damaged";
  return new GrokError("format", `${source}: computes what are no numbers: ${why}`, { source });
}
