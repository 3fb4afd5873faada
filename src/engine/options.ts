import { GrokError } from "../errors.ts";
import type { KvType, Ops } from "../kernels/ops.ts";
import type { ModelConfig } from "../model/model.ts";
import { encodedBytes } from "../tensor/types.ts";
import { checkNames } from "./names.ts";
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
  const { cacheTokens = 2 * contextLength } = options;
  checkWhole("cacheTokens", cacheTokens, contextLength, 2 ** 40);
  const { speculate = true } = options;
  checkSpeculation(speculate);
  const { kvType = backend === "native" ? "f16" : "f32" } = options;
  if (!["f32", "f16", "q8_0", "q4_0"].includes(kvType)) {
    throw new GrokError("argument", `kvType is ${kvType}, expected f32, f16, q8_0 or q4_0`);
  }
  return {
    ...{ contextLength, cacheTokens, kvType, batchTokens, speculate },
    bytesOf: (elements) => encodedBytes(kvType, elements),
  };
}

function checkSpeculation(speculate: unknown): void {
  if (typeof speculate === "boolean") return;
  if (typeof speculate !== "object" || speculate === null || Array.isArray(speculate)) {
    throw new GrokError("argument", `speculate is ${String(speculate)}, expected true, false or an object`, {
      option: "speculate",
    });
  }
  checkNames("speculate", speculate, speculationNames);
  const { draftTokens = 1, always = false } = speculate as SpeculationOptions;
  checkWhole("draftTokens", draftTokens, 1, mostDraftTokens);
  if (typeof always !== "boolean") {
    throw new GrokError("argument", `always is ${String(always)}, expected true or false`, { option: "always" });
  }
}

const speculationNames = Object.keys({
  draftTokens: true,
  always: true,
} satisfies Record<keyof SpeculationOptions, true>);
