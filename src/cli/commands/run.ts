import { isUtf8 } from "node:buffer";
import { type Command, Option } from "commander";
import type { FinishReason } from "../../engine/request.ts";
import { counted } from "../../errors.ts";
import type { GenerateOptions, GenerateResult } from "../../generate/types.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { interruptedStatus } from "../exit.ts";
import { type PromptOptions, readPrompt } from "../files.ts";
import { addGrammar, type GrammarFlags, readGrammar } from "../grammar.ts";
import { catchInterrupt } from "../interrupt.ts";
import { messagesFor } from "../messages.ts";
import {
  addModel,
  addStreaming,
  addTrace,
  describeDefault,
  type ModelOptions,
  openModel,
  requireModel,
  warnOfModel,
  warnOfReads,
} from "../open-model.ts";
import { addSettings, engineSettings, pick, samplingSettings } from "../settings.ts";
import { createProgress, dim, escapeControl, hasColor, jsonDocument } from "../terminal.ts";
import { adapterList, integer, number, path, repeated, text, tokenBias } from "../values.ts";
import { createWrapper } from "../wrap.ts";

interface RunOptions extends ModelOptions, PromptOptions, GrammarFlags, Pick<GenerateOptions, (typeof shared)[number]> {
  readonly chat?: true;
  readonly system?: string;
  readonly json?: true;
}

/** Options that are the library's own. */
const shared = [
  ...samplingSettings,
  ...["maxTokens", "stop", "logitBias", "logprobs", "beams", "lengthPenalty", "ignoreEnd", "special"],
] as const;

export function addRun(program: Command): void {
  const command = program.command("run").description("Continue a text; what is generated streams to standard output.");
  addModel(command)
    .option("-p, --prompt <text>", "the text to continue; - reads it from standard input", text())
    .addOption(
      new Option("-f, --file <path>", "read the prompt from a file; one line break at its end is dropped")
        .argParser(path())
        .conflicts("prompt"),
    )
    .option("--chat", "put the prompt through the model's chat template, as a question to answer");
  addSettings(command, ["system", "maxTokens", ...samplingSettings])
    .option("--stop <text>", "end where this text would appear; can be given several times", repeated(text()))
    .option("--logit-bias <token=bias>", "add to a token's score; can be given several times", tokenBias())
    .option("--beams <n>", "beam search with n beams, in place of sampling", integer(1, 256))
    .option("--length-penalty <x>", "beam search: above 1 favours long texts, 0 short ones", number(-10, 10))
    .option("--logprobs <n>", "with --json: log-probabilities, and those of the n best alternatives", integer(0, 100))
    .option(
      "--lora <file[:scale]>",
      "low-rank adapter to use: PEFT's folder or safetensors file; can be given several times",
      adapterList(),
    )
    .option("--ignore-end", "go on past end-of-text tokens")
    .option("--special", "read control tokens such as <|im_start|> in the prompt as such")
    .option("--json", "print one JSON document: text, tokens, finish reason, usage, timings");
  addGrammar(command);
  addSettings(command, [...engineSettings, "speculation", "draft", "chatTemplate"]);
  addTrace(addStreaming(command));
  command.action(async (_, options: RunOptions) => {
    process.exitCode = await run(options);
  });
}

async function run(options: RunOptions): Promise<number> {
  const file = requireModel(options);
  const prompt = await readPrompt(options);
  const grammar = readGrammar(options);
  using interrupt = catchInterrupt();
  await using model = await openModel(file, options);
  warnOfModel(model);
  if (options.model === undefined && !options.json) {
    process.stderr.write(`${dim(describeDefault(file), hasColor(process.stderr, process.env))}\n`);
  }

  const progress = createProgress(process.stderr, process.env);
  const generate: GenerateOptions = {
    ...pick(options, shared),
    ...(grammar && { grammar }),
    signal: interrupt.signal,
    onProgress: ({ done, total }) => progress.show(`reading the prompt: ${done} of ${counted(total, "token")}`),
  };
  if (options.chat && options.system && model.foldsSystem) {
    process.stderr.write(`${messagesFor(undefined, process.env).systemFolded}\n`);
  }
  const generation = options.chat
    ? model.chat(
        [...(options.system ? [{ role: "system", content: options.system }] : []), { role: "user", content: prompt }],
        generate,
      )
    : model.generate(prompt, generate);

  // At a terminal the text is for eyes, and must not drive it; anywhere else it is passed on as it is.
  const terminal = process.stdout.isTTY === true;
  const wrapper = createWrapper(() => process.stdout.columns);
  let last = "";
  let result: GenerateResult;
  try {
    for await (const { text } of options.json ? [] : generation) {
      if (text === "") continue;
      progress.clear();
      process.stdout.write(terminal ? wrapper.push(escapeControl(text)) : text);
      last = text;
    }
    result = await generation.result;
  } finally {
    progress.clear();
    if (terminal) process.stdout.write(wrapper.end());
  }
  await warnOfReads(model);
  if (options.json) process.stdout.write(`${jsonDocument(documentOf(file, prompt, result, model.tokenizer))}\n`);
  else if (terminal && last !== "" && !last.endsWith("\n")) process.stdout.write("\n");
  if (process.stderr.isTTY && !options.json) process.stderr.write(`${summaryOf(result)}\n`);
  return statusOf(result.finishReason);
}

function documentOf(model: string, prompt: string, result: GenerateResult, tokenizer: Tokenizer) {
  const { text, tokens, finishReason, usage, timings, logprobs } = result;
  const named = ({ token, logprob }: { readonly token: number; readonly logprob: number }) => {
    const bytes = token < tokenizer.vocabSize ? Buffer.from(tokenizer.bytes(token)) : Buffer.alloc(0);
    const shown = bytes.toString("utf8");
    // Part of a character only: the text alone would not say which.
    return { token, text: shown, ...(!isUtf8(bytes) && { bytes: [...bytes] }), logprob };
  };
  const entries = logprobs?.map((entry) => ({ ...named(entry), top: entry.top.map(named) }));
  return { model, prompt, text, tokens, finishReason, usage, timings, ...(entries && { logprobs: entries }) };
}

function summaryOf({ usage, timings, finishReason }: GenerateResult): string {
  const line = [
    `${counted(usage.promptTokens, "token")} read at ${timings.prefillTokensPerSecond.toFixed(1)}/s`,
    `${usage.completionTokens} written at ${timings.decodeTokensPerSecond.toFixed(1)}/s`,
    finishReason,
  ].join(", ");
  return dim(`[${line}]`, hasColor(process.stderr, process.env));
}

function statusOf(reason: FinishReason): number {
  return reason === "cancelled" ? interruptedStatus : 0;
}
