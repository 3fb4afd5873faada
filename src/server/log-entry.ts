import { randomBytes } from "node:crypto";
import type { GenerateResult } from "../generate/types.ts";

/** A request as a log has it: nothing of what was said, unless `said` was asked for. */
export interface LogEntry {
  /** Of the answer. */
  readonly id: string;
  /** What its client calls it, where it does. */
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  /** The address as the server knows it, `/v1/models/:name`; undefined where there is none. */
  readonly route: string | undefined;
  readonly status: number;
  /** When it came: milliseconds since 1970. */
  readonly began: number;
  readonly seconds: number;
  readonly key: string | undefined;
  readonly model: string | undefined;
  readonly promptTokens: number;
  /** Tokens of the prompt that were not computed again. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** Of all answers: those that speculation drafted, and that were right. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
  /** Until its turn came, and the model was there. */
  readonly waitSeconds: number;
  /** From then to the first token. */
  readonly prefillSeconds: number;
  /** From first to last token, of all answers together; `decodeSteps` times from one to the next. */
  readonly decodeSeconds: number;
  readonly decodeSteps: number;
  /** Where the request belongs in somebody's trace (W3C Trace Context). */
  readonly traceparent: string | undefined;
  /** What went wrong; of a defect its stack. */
  readonly error: string | undefined;
  /** A file of the page, or its look at how the server does: of no interest where all is well. */
  readonly routine: boolean;
  /** Which rule of the moderation refused it, where one did. */
  readonly rule: string | undefined;
  /** What was asked and answered, where the log is to have it. */
  readonly said?: { readonly asked: readonly unknown[]; readonly answered: readonly string[] };
}

/** An entry that is being written. */
export type Draft = { -readonly [K in keyof LogEntry]: LogEntry[K] };

export function draftEntry({ headers, method, url }: Request): Draft {
  const id = randomBytes(12).toString("hex");
  const requestId = headers.get("x-request-id") ?? "";
  return {
    id,
    // What can stand in a header and a log.
    requestId: /^[\w.:/+=-]{1,128}$/.test(requestId) ? requestId : id,
    ...{ method, path: new URL(url).pathname, route: undefined, status: 0, began: Date.now(), seconds: 0 },
    ...{ key: undefined, model: undefined, promptTokens: 0, cachedTokens: 0, completionTokens: 0 },
    ...{ draftedTokens: 0, acceptedTokens: 0, waitSeconds: 0, prefillSeconds: 0, decodeSeconds: 0, decodeSteps: 0 },
    ...{ traceparent: headers.get("traceparent") ?? undefined, error: undefined, rule: undefined },
    routine: false,
  };
}

/** Adds the answers to one prompt. */
export function addResults(entry: Draft, results: readonly GenerateResult[]): void {
  entry.promptTokens += results[0]?.usage.promptTokens ?? 0;
  entry.cachedTokens += results[0]?.usage.cachedTokens ?? 0;
  entry.prefillSeconds = Math.max(entry.prefillSeconds, ...results.map(({ timings }) => timings.prefillSeconds));
  for (const { usage, timings } of results) {
    entry.completionTokens += usage.completionTokens;
    entry.draftedTokens += usage.draftedTokens;
    entry.acceptedTokens += usage.acceptedTokens;
    entry.decodeSeconds += timings.decodeSeconds;
    entry.decodeSteps += Math.max(0, usage.completionTokens - 1);
  }
}
