import { GrokError } from "../errors.ts";
import { canChoose, type Logits } from "../sampling/logits.ts";

/** Whether a pass was interrupted on purpose: it is then run again, without who cancelled. */
export const isInterruption = (error: unknown): boolean => error instanceof GrokError && error.code === "cancelled";

/** The model's own arithmetic went wrong, and not what a caller asked for. */
export function noNumbers(adapted: boolean, source = "the model"): GrokError {
  const why = adapted ? "a weight is damaged, or its adapters are too strong" : "a weight is damaged";
  return new GrokError("format", `${source}: computes what are no numbers: ${why}`, { source });
}

/** @throws GrokError `format` when one of the rows of logits [rows, vocab] is none to choose a token by. */
export function requireNumbers(logits: Logits, vocab: number, adapted: boolean, source: string | undefined): void {
  for (let at = 0; at < logits.length; at += vocab) {
    if (!canChoose(logits.subarray(at, at + vocab))) throw noNumbers(adapted, source);
  }
}
