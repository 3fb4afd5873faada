import type { GenerateOptions } from "../../generate/types.ts";
import { memoryLimit } from "../../machine/limits.ts";
import { inspectFile } from "../../model/inspect.ts";
import { defaultSamplingOptions } from "../../sampling/options.ts";
import type { Lookup } from "../dialect.ts";
import type { ModelHost } from "../models.ts";

/** `GET /grok1/status`: requests, memory, and the cache of each model that is loaded. */
export async function statusOf({ bases, loaded }: ModelHost, { running, waiting }: Lookup["load"]) {
  const held = new Map(loaded().map(({ name, model, users }) => [name, { model, users }]));
  return {
    ...{ running, waiting },
    memory: { used_bytes: process.memoryUsage.rss(), limit_bytes: memoryLimit() },
    models: await Promise.all(
      bases.map(async (name) => {
        const entry = held.get(name);
        if (entry === undefined) return { name, loaded: false };
        const { pages, freePages, pageTokens } = await entry.model.status();
        const cache = { tokens: pages * pageTokens, used_tokens: (pages - freePages) * pageTokens };
        return { ...{ name, loaded: true, requests: entry.users, cache } };
      }),
    ),
  };
}

/** `GET /grok1/models/:name`: what a model is, and where it is loaded, what it runs on. */
export function describe({ file, loaded }: ModelHost, name: string, preferred: GenerateOptions) {
  const path = file(name);
  const model = loaded().find((held) => held.name === name)?.model;
  const description = model?.description ?? inspectFile(path).model;
  const { config } = description ?? {};
  return {
    name,
    title: description?.name,
    sampling: samplingOf(preferred),
    architecture: description?.architecture,
    parameters: description?.parameters,
    parameters_used: description?.parametersUsed,
    bytes: description?.bytes,
    bytes_per_token: description?.bytesPerToken,
    types: description?.types.map(({ type, tensors, bytes }) => ({ type, tensors, bytes })),
    ...(config && {
      layers: config.layers,
      width: config.width,
      ...{ heads: config.heads, kv_heads: config.kvHeads },
      ...{ experts: config.experts, experts_used: config.used },
      vocab: config.vocab,
    }),
    ...(model && {
      context: model.info.contextLength,
      adapters: model.info.adapters,
      engine: {
        ...{ backend: model.info.backend, isa: model.info.isa, threads: model.info.threads },
        ...{ kv_type: model.info.kvType, kv_bytes: model.info.kvBytes, load_seconds: model.loadSeconds },
      },
    }),
  };
}

/** What suits a conversation where nobody wants anything else: `grok1 chat` takes the same. */
function samplingOf(preferred: GenerateOptions) {
  const { temperature, topP, topK, minP, repetitionPenalty } = { ...defaultSamplingOptions, ...preferred };
  return { temperature, top_p: topP, top_k: topK, min_p: minP, repetition_penalty: repetitionPenalty };
}
