import { expect } from "vitest";
import { type Core, type CoreParts, createCore } from "./core.ts";
import { createFakeModel, type FakeOptions } from "./fake-model.case.ts";
import type { SettledEngineOptions } from "./options.ts";
import type { EngineRequest, GenerationOptions } from "./request.ts";

export const greedy = { temperature: 0 } as const;

export function start(options: Partial<SettledEngineOptions & CoreParts> = {}, fakeOptions: FakeOptions = {}) {
  const fake = createFakeModel(fakeOptions);
  const { contextLength } = fake.model.config;
  const settled = {
    contextLength,
    cacheTokens: 2 * contextLength,
    kvType: "f32",
    batchTokens: 16,
    speculate: true,
  } as const;
  const core = createCore(fake.ops, fake.model, { ...settled, ...options }, { pageTokens: 4, ...options });
  return { fake, core };
}

let ids = 0;
/** A request id that no other has. */
export const nextId = () => ++ids;

export type FlatRequest = GenerationOptions & Omit<EngineRequest, "options">;

/** A request, written flat. */
export function requestOf({ tokens, endTokens, ...options }: FlatRequest): EngineRequest {
  return { tokens, endTokens, options };
}

export async function collect(core: Core, request: FlatRequest, session?: number, id = nextId()) {
  const tokens: number[] = [];
  const logprobs: { token: number; logprob: number }[] = [];
  const result = await core.generate(id, session, requestOf(request), (more, probabilities) => {
    tokens.push(...more);
    logprobs.push(...(probabilities ?? []));
  });
  return { tokens, logprobs, ...result };
}

export function expectAllFree(core: Core) {
  const { pages, freePages } = core.status();
  expect(freePages).toBe(pages);
}

/** A prompt after which the fake model does not end by itself for a while. */
export const prompt = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6];
