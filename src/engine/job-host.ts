import { GrokError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { isInterruption, requireNumbers } from "./failures.ts";
import type { JobHost } from "./jobs.ts";
import { type KvMemory, makeRoom } from "./kv-memory.ts";
import { createTimeline, truncate } from "./pages.ts";
import type { Passes } from "./pass.ts";
import type { Run, SessionState } from "./runs.ts";

export interface JobHostParts {
  readonly model: Model;
  readonly memory: KvMemory;
  readonly passes: Passes;
  /** Whose memory a job may take. */
  readonly sessions: ReadonlyMap<number, SessionState>;
  readonly runs: Run[];
  readonly contextLength: number;
  readonly batchTokens: number;
  /** Whether passes use adapters, and what the model was read from, for messages. */
  readonly adapted: boolean;
  readonly source: string | undefined;
  /** Lets messages in. */
  pause(): Promise<void>;
  isCancelled(): boolean;
}

/** What one job works with: a timeline of its own over the engine's memory. */
export function createJobHost(parts: JobHostParts): JobHost {
  const { model, memory, passes, sessions, runs, contextLength, batchTokens, adapted, source } = parts;
  const { pool } = memory;
  const { vocab } = model.config;
  const timeline = createTimeline();
  return {
    ...{ contextLength, batchTokens, vocab, chunk: () => passes.chunkFor(1) },
    clear: () => truncate(pool, timeline, 0),
    requireNumbers: (logits) => requireNumbers(logits, vocab, adapted, source),
    async forward(tokens, outputs, bound = model) {
      for (;;) {
        await parts.pause();
        if (parts.isCancelled()) throw new GrokError("cancelled", "cancelled by the caller");
        while (memory.extend(timeline, tokens.length) < tokens.length) {
          if (makeRoom(pool, sessions.values(), runs, undefined)) continue;
          throw new GrokError("capacity", "the cache has too few pages", { pages: pool.pages, free: pool.free });
        }
        const positions = tokens.map((_, i) => timeline.length + i);
        const sequences = [{ start: 0, count: tokens.length, pages: Int32Array.from(timeline.pages) }];
        try {
          const values = await passes.forward({ tokens, positions, sequences, outputs }, true, bound);
          timeline.length += tokens.length;
          return values;
        } catch (error) {
          // Whose cancellation it was is known once messages were let in: a pass is run again for a job that goes on.
          if (!isInterruption(error)) throw error;
        }
      }
    },
  };
}
