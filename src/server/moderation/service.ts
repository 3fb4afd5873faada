import { z } from "zod";
import { GrokError } from "../../errors.ts";
import type { Moderator } from "./moderator.ts";

export interface ServiceOptions {
  /** Perspective's `...:analyze`, or an address that OpenAI's moderation is asked at, such as `http://host/v1/moderations`. */
  readonly url: string;
  readonly key?: string | undefined;
  /** From this score on Perspective refuses, 0 to 1. Default 0.8. */
  readonly threshold?: number | undefined;
}

const openAiAnswer = z.object({
  results: z.array(z.object({ flagged: z.boolean(), categories: z.record(z.string(), z.boolean().nullable()) })).min(1),
});
const perspectiveAnswer = z.object({
  attributeScores: z.record(z.string(), z.object({ summaryScore: z.object({ value: z.number() }) })),
});

const attributes = ["TOXICITY", "SEVERE_TOXICITY", "IDENTITY_ATTACK", "THREAT", "SEXUALLY_EXPLICIT"];
const patience = 10_000;

/** A service that is asked over HTTP. Where it does not answer, nothing is let through. */
export function createService({ url, key, threshold = 0.8 }: ServiceOptions): Moderator {
  const isPerspective = /:analyze(\?|$)/.test(url);

  async function ask(text: string, signal: AbortSignal | undefined): Promise<string | undefined> {
    const body = isPerspective
      ? {
          ...{ comment: { text }, doNotStore: true },
          requestedAttributes: Object.fromEntries(attributes.map((name) => [name, {}])),
        }
      : { input: text };
    const limit = AbortSignal.timeout(patience);
    const response = await fetch(url, {
      ...{ method: "POST", body: JSON.stringify(body), redirect: "error" },
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
      headers: {
        "content-type": "application/json",
        ...(key !== undefined && (isPerspective ? { "x-goog-api-key": key } : { authorization: `Bearer ${key}` })),
      },
    });
    if (!response.ok) throw new Error(`it answers ${response.status}`);
    const answer: unknown = await response.json();
    if (isPerspective) {
      const { attributeScores } = perspectiveAnswer.parse(answer);
      const found = Object.entries(attributeScores).filter(([, { summaryScore }]) => summaryScore.value >= threshold);
      return found.length === 0 ? undefined : `service.${found.map(([name]) => name).join("+")}`;
    }
    const [{ flagged, categories }] = openAiAnswer.parse(answer).results as [
      z.infer<typeof openAiAnswer>["results"][0],
    ];
    const named = Object.entries(categories).flatMap(([name, is]) => (is ? [name] : []));
    return flagged ? `service.${named.join("+") || "flagged"}` : undefined;
  }

  return {
    ...{ window: 400, overlap: 2000, held: 0 },
    async check(text, _, { signal } = {}) {
      try {
        return await ask(text, signal);
      } catch (error) {
        if (signal?.aborted) throw new GrokError("cancelled", "the client is gone");
        throw new GrokError("busy", `moderation cannot be asked at ${new URL(url).host}: ${(error as Error).message}`);
      }
    },
    async close() {},
  };
}
