import type { Engine, EngineGenerateOptions } from "../engine/engine.ts";
import type { EngineRequest, EngineResult } from "../engine/request.ts";
import { createLanguageModel } from "./language-model.ts";
import { readParts } from "./parts.ts";
import type { LanguageModel } from "./types.ts";

/** A language model that says what it is told to: with a real file's tokenizer and any template, for tests. */
export interface ScriptedModel {
  readonly model: LanguageModel;
  /** The prompts that it was given, as text, control tokens shown. */
  readonly prompts: string[];
}

/** @param answer what to say to a prompt; names of control tokens in it are such tokens. */
export function createScriptedModel(
  file: string,
  chatTemplate: string | undefined,
  answer: (prompt: string) => string,
): ScriptedModel {
  const parts = readParts(file, chatTemplate);
  const { tokenizer } = parts;
  const prompts: string[] = [];
  const contextLength = 1_000_000;
  let sessions = 0;

  function generate({ tokens, options }: EngineRequest, { onTokens }: EngineGenerateOptions = {}) {
    let cancelled = false;
    const most = options?.maxTokens ?? Number.POSITIVE_INFINITY;
    const run = async (): Promise<EngineResult> => {
      const prompt = tokenizer.decode(tokens, { special: true });
      if (most > 0) prompts.push(prompt);
      const ids = most > 0 ? [...tokenizer.encode(answer(prompt), { special: true })] : [];
      let said = 0;
      for (const id of ids) {
        await new Promise((resolve) => setImmediate(resolve));
        if (cancelled || said >= most) break;
        said++;
        const top = Array.from({ length: options?.logprobs ?? 0 }, (_, i) => ({ token: id + i, logprob: -1 - i }));
        const logprobs = options?.logprobs === undefined ? undefined : [{ token: id, logprob: -1, top }];
        onTokens?.([id], logprobs);
      }
      return {
        finishReason: cancelled ? "cancelled" : said < ids.length ? "length" : "stop",
        ...{ promptTokens: tokens.length, cachedTokens: 0, generatedTokens: said, draftedTokens: 0, acceptedTokens: 0 },
        timings: { prefillSeconds: 0, decodeSeconds: 0, prefilledTokens: tokens.length },
      };
    };
    const cancel = () => {
      cancelled = true;
    };
    return { result: run(), cancel };
  }

  const engine = {
    info: { contextLength },
    openSession: () => sessions++,
    forkSession: () => sessions++,
    closeSession: async () => undefined,
    generate,
    close: async () => undefined,
  } as unknown as Engine;
  return { model: createLanguageModel({ ...parts, path: file, engine, loadSeconds: 0 }), prompts };
}
