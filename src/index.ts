/**
 * grok1 as a library: text in, text out, in a few lines.
 *
 * ```ts
 * import { loadModel } from "grok1";
 *
 * const model = await loadModel("model.gguf");
 * for await (const { text } of model.generate("Once upon a time", { maxTokens: 64 })) process.stdout.write(text);
 * await model.close();
 * ```
 *
 * Everything that can go wrong is a {@link GrokError} with a `code`. Nothing here prints, exits or reads the environment.
 */
export type {
  AdapterChoice,
  AdapterSource,
  BackendChoice,
  BenchOptions,
  BenchResult,
  EngineInfo,
  EngineOptions,
  EngineStatus,
  FinishReason,
  LogitsOptions,
  LogitsResult,
  LogprobsOptions,
  NamedArray,
  TokenLogprob,
} from "./engine/types.ts";
export { type ErrorCode, type ErrorDetails, GrokError } from "./errors.ts";
export { createChat } from "./generate/chat.ts";
export { loadModel } from "./generate/load.ts";
export type {
  Chat,
  ChatMessage,
  ChatOptions,
  GenerateChunk,
  GenerateOptions,
  GenerateResult,
  Generation,
  LanguageModel,
  LoadOptions,
  Session,
  Timings,
  Usage,
} from "./generate/types.ts";
export type { KvType } from "./kernels/ops.ts";
export type { ModelDescription } from "./model/describe.ts";
export type { ModelConfig } from "./model/model.ts";
export type { SamplingOptions } from "./sampling/options.ts";
export { defaultSamplingOptions } from "./sampling/options.ts";
export type { Tokenizer } from "./tokenizer/tokenizer.ts";
