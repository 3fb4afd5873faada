import { GrokError } from "../errors.ts";
import type { KvType, Ops } from "../kernels/ops.ts";
import type { ModelConfig } from "../model/model.ts";
import { encodedBytes } from "../tensor/types.ts";
import { checkWhole } from "./request.ts";
import { mostDraftTokens, type SpeculationOptions } from "./speculation.ts";
import { defaultContextLimit, type EngineOptions } from "./types.ts";

/** Options with every default filled in. */
export interface ResolvedOptions {
  readonly contextLength: number;
  readonly cacheTokens: number;
  readonly kvType: KvType;
  readonly batchTokens: number;
  readonly speculate: boolean | SpeculationOptions;
  /** Bytes that `elements` elements of the cache take. */
  bytesOf(elements: number): number;
}

/** @throws GrokError `argument` for a value out of its range. */
export function resolveOptions(options: EngineOptions, backend: Ops["backend"], config: ModelConfig): ResolvedOptions {
  const { contextLength = Math.min(config.contextLength, defaultContextLimit), batchTokens = 512 } = options;
  checkWhole("contextLength", contextLength, 1, config.contextLength);
  checkWhole("batchTokens", batchTokens, 1, 65_536);
  if (options.threads !== undefined) checkWhole("threads", options.threads, 1, 1024);
  const { cacheTokens = 2 * contextLength } = options;
  checkWhole("cacheTokens", cacheTokens, contextLength, 2 ** 40);
  const { speculate = true } = options;
  if (typeof speculate === "object" && speculate.draftTokens !== undefined) {
    checkWhole("draftTokens", speculate.draftTokens, 1, mostDraftTokens);
  }
  const { kvType = backend === "native" ? "f16" : "f32" } = options;
  if (!["f32", "f16", "q8_0", "q4_0"].includes(kvType)) {
    throw new GrokError("argument", `kvType is ${kvType}, expected f32, f16, q8_0 or q4_0`);
  }
  return {
    ...{ contextLength, cacheTokens, kvType, batchTokens, speculate },
    bytesOf: (elements) => encodedBytes(kvType, elements),
  };
}
