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
export {
  type ConversionChoice,
  type ConversionPlan,
  type ConvertOptions,
  type ConvertProgress,
  type ConvertResult,
  convertModel,
  type PlannedTensor,
  planConversion,
} from "./convert/convert.ts";
export type { ExportType } from "./convert/export.ts";
export { type Importance, type MatrixImportance, readImportance, writeImportance } from "./convert/importance.ts";
export type { Kept } from "./convert/kept.ts";
export type { MergedTensor } from "./convert/merge.ts";
export type { TypeOverride } from "./convert/mixtures.ts";
export {
  planQuantization,
  type QuantizeChoice,
  type QuantizeOptions,
  type QuantizePlan,
  quantizeModel,
} from "./convert/quantize.ts";
export type { AdapterChoice, AdapterSource } from "./engine/adapters.ts";
export type { BenchOptions, BenchResult } from "./engine/consumers/bench.ts";
export type { LogitsOptions, LogitsResult, NamedArray } from "./engine/consumers/logits.ts";
export type { LogprobsOptions, ScoreOptions, ScoreText } from "./engine/consumers/score.ts";
export type { EngineInfo, EngineStatus } from "./engine/engine.ts";
export type { BackendChoice, EngineOptions, PromptCacheOptions } from "./engine/options.ts";
export type { ExpertChoice, FinishReason, TokenLogprob } from "./engine/request.ts";
export { type ErrorCode, type ErrorDetails, GrokError } from "./errors.ts";
export { type Calibration, type CalibrationOptions, openCalibration } from "./eval/calibration.ts";
export { type CompareOptions, type Comparison, compareModels } from "./eval/compare.ts";
export { type FitChoice, type FitOptions, type FitResult, fitModel } from "./eval/fit.ts";
export {
  type ImportanceOptions,
  type ImportanceResult,
  measureImportance,
  type SeldomSeen,
} from "./eval/importance.ts";
export { type LossyOptions, type LossyResult, type LossyRow, measureLossy } from "./eval/lossy.ts";
export { measurePerplexity, type PerplexityOptions, type PerplexityResult } from "./eval/perplexity.ts";
export { measureSpeed, type SpeedResult } from "./eval/speed.ts";
export {
  type ExplainedLayer,
  type ExplainedToken,
  type ExplainOptions,
  type ExplainProgress,
  type Explanation,
  explain,
  type NamedLikely,
  type NamedToken,
} from "./explain/explain.ts";
export { renderExplanation } from "./explain/page/page.ts";
export type { AnswerMessage, AnswerPart, ToolCall } from "./generate/answer/parts.ts";
export { createChat } from "./generate/chat.ts";
export { loadModel } from "./generate/load.ts";
export type {
  Chat,
  ChatMessage,
  ChatNotice,
  ChatOptions,
  ContentPart,
  CreateChatOptions,
  GenerateChunk,
  GenerateOptions,
  GenerateResult,
  Generation,
  LanguageModel,
  LoadOptions,
  PromptProgress,
  Session,
  Timings,
  ToolChoice,
  ToolDefinition,
  Usage,
} from "./generate/types.ts";
export type { Grammar } from "./grammar/grammar.ts";
export { type Pulled, type PulledFile, type PullOptions, type PullProgress, pull } from "./hub/pull.ts";
export type { KvType } from "./kernels/ops.ts";
export type { ModelDescription } from "./model/describe.ts";
export {
  type Inspection,
  inspectFile,
  type MetadataValue,
  type TensorEntry,
  type TokenizerSummary,
} from "./model/inspect.ts";
export type { ModelConfig } from "./model/model.ts";
export type { PlanMachine } from "./plan/machine.ts";
export type { Change, PlanRow } from "./plan/plan.ts";
export { type ModelPlan, type PlanModelOptions, planModel } from "./plan/plan-model.ts";
export type { SamplingOptions } from "./sampling/options.ts";
export { defaultSamplingOptions } from "./sampling/options.ts";
export type { Listening } from "./server/listen.ts";
export type { LogEntry } from "./server/log-entry.ts";
export { createServer, type ModelServer, type ModelToServe, type ServerOptions } from "./server/server.ts";
export type { Origin } from "./tasks/data/manifest.ts";
export { type PullDataOptions, pullData, type TaskDataFile } from "./tasks/data/pull-data.ts";
export type { Doubt } from "./tasks/doubts.ts";
export { type EvaluateOptions, type EvaluateProgress, evaluate } from "./tasks/evaluate.ts";
export { renderEvaluation, type TaskReport } from "./tasks/page/page.ts";
export type { TaskResult } from "./tasks/prepared.ts";
export { openTokenizer } from "./tokenizer/open.ts";
export type { DecodeOptions, EncodeOptions, Tokenizer, TokenizerInfo, TokenStream } from "./tokenizer/tokenizer.ts";
export {
  createTokenizerTrainer,
  type TokenizerTrainer,
  type TokenizerTrainingOptions,
  type TrainedTokenizer,
} from "./tokenizer/train.ts";
export { readTrainConfig, type TrainConfig } from "./train/config.ts";
export type { EvaluationReport, StepReport } from "./train/log.ts";
export { finetune } from "./train/lora/finetune.ts";
export { type MergeLoss, type MergeOptions, type MergeResult, merge } from "./train/lora/measured-merge.ts";
export {
  defaultFinetuneOptions,
  type FinetuneEvent,
  type FinetuneOptions,
  type FinetuneResult,
} from "./train/lora/options.ts";
export type { TrainEvent, TrainOptions } from "./train/options.ts";
export { type TrainResult, train } from "./train/run.ts";
export type { Check, Report } from "./verify/report.ts";
export { type VerifyOptions, verify, writeSums } from "./verify/verify.ts";
