import { type Command, InvalidArgumentError } from "commander";
import { readTextFile } from "../../bytes/text-file.ts";
import { counted, formatBytes } from "../../errors.ts";
import { loraTargets } from "../../model/lora/modules.ts";
import { type DataFormat, dataFormats, type OverlongPolicy } from "../../train/data/source.ts";
import { finetune } from "../../train/lora/finetune.ts";
import { defaultFinetuneOptions, type FinetuneEvent, type FinetuneResult } from "../../train/lora/options.ts";
import { interruptedStatus } from "../exit.ts";
import { catchInterrupt } from "../interrupt.ts";
import { type ModelOptions, requireModel } from "../open-model.ts";
import { addSettings } from "../settings.ts";
import {
  createProgress,
  describePassedOver,
  escapeLine,
  formatCount,
  formatSeconds,
  jsonDocument,
} from "../terminal.ts";
import { choice, expandHome, integer, number, path, type Reader, repeated, size, text } from "../values.ts";

interface FinetuneCommandOptions extends ModelOptions {
  readonly data: readonly string[];
  readonly out: string;
  readonly rank: number;
  readonly alpha?: number;
  readonly targets: readonly string[];
  readonly format?: DataFormat;
  readonly overlong?: OverlongPolicy;
  readonly heldOut: number | string;
  readonly batchTokens?: number;
  readonly accumulation: number;
  readonly steps?: number;
  readonly epochs: number;
  readonly rate: number;
  readonly weightDecay: number;
  readonly seed: number;
  readonly evaluationInterval: number;
  readonly checkpointInterval: number;
  readonly memory?: number;
  readonly resume?: true;
  readonly json?: true;
}

export function addFinetune(program: Command): void {
  const defaults = defaultFinetuneOptions;
  const command = program
    .command("finetune")
    .description("Train a low-rank adapter on a model, which stays as it is; written in the layout of Python's peft.");
  addSettings(command, ["model"]);
  command
    .requiredOption(
      "--data <file>",
      "texts, or JSON lines with prompt and answer or with messages; can be given several times",
      repeated(path()),
    )
    .requiredOption("--out <folder>", "where the adapter and the checkpoint go", path())
    .option("--rank <r>", "rank of the adapter; 8 to 64 is usual", integer(1, 65536), defaults.rank)
    .option("--alpha <a>", "the adapter counts alpha / rank times (default: twice the rank)", number(1e-6, 1e6))
    .option(
      "--targets <list>",
      `what is adapted, of ${loraTargets.join(", ")}, or module names such as q_proj`,
      targetList(),
      [...defaults.targets],
    )
    .option(
      "--format <format>",
      `how the data lies in its files: ${Object.keys(dataFormats).join(", ")} (default: by name and first line)`,
      choice(...(Object.keys(dataFormats) as DataFormat[])),
    )
    .option(
      "--overlong <what>",
      "documents past the context: error, truncate, skip",
      choice("error", "truncate", "skip"),
    )
    .option("--held-out <share|file>", "documents to evaluate on", shareOrFile(), defaults.heldOut)
    .option(
      "-c, --context <tokens>",
      "tokens of a sequence at most (default: the model's, at most 512 and --batch-tokens)",
      integer(2),
    )
    .option("--batch-tokens <n>", "rows of a pass, packed with sequences (default: 1024)", integer(1))
    .option("--accumulation <n>", "passes a step", integer(1, 65536), defaults.accumulation)
    .option("--steps <n>", "steps in all (default: by --epochs)", integer(1))
    .option("--epochs <n>", "times that the data is gone through", number(1e-3, 1e4), defaults.epochs)
    .option("--rate <x>", "highest learning rate", number(1e-9, 1), defaults.rate)
    .option("--weight-decay <x>", "weight decay of the adapter", number(0, 10), defaults.weightDecay)
    .option("--seed <n>", "same seed, same adapter", integer(0), defaults.seed)
    .option("--evaluation-interval <n>", "steps between evaluations", integer(1), defaults.evaluationInterval)
    .option("--checkpoint-interval <n>", "steps between checkpoints", integer(1), defaults.checkpointInterval)
    .option("--memory <size>", "memory to stay within, such as 2G (default: half of what may be used)", size())
    .option("--resume", "go on from the checkpoint in --out")
    .option("--json", "print one JSON document");
  addSettings(command, ["backend", "threads", "chatTemplate"]);
  command.action(run);
}

async function run(options: FinetuneCommandOptions): Promise<void> {
  const path = requireModel(options);
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  const { model: _, chatTemplate, json, lora: __, kvType: ___, ...rest } = options;
  const show = createDisplay(progress, json === true);
  let firstLoss: number | undefined;
  try {
    const result = await finetune({
      ...{ ...rest, model: path, signal: interrupt.signal },
      ...(chatTemplate !== undefined && { chatTemplate: readTextFile(chatTemplate) }),
      onEvent: (event) => {
        show(event);
        // Where a run goes on, its first loss was another's.
        if (event.type === "step" && !options.resume) firstLoss ??= event.loss;
      },
    });
    progress.clear();
    const warning = warnOfLittle(result, firstLoss);
    if (warning !== undefined) process.stderr.write(`grok1: warning: ${warning}\n`);
    process.stdout.write(json ? `${jsonDocument(result)}\n` : `${describe(result)}\n`);
    if (!result.finished) process.exitCode = interruptedStatus;
  } finally {
    progress.clear();
  }
}

function createDisplay(progress: ReturnType<typeof createProgress>, quiet: boolean) {
  let steps = 0;
  const say = (line: string) => {
    progress.clear();
    if (!quiet) process.stderr.write(`${line}\n`);
  };
  return (event: FinetuneEvent): void => {
    if (event.type === "file") progress.show(`reading ${escapeLine(event.path)}`);
    if (event.type === "start") {
      steps = event.steps;
      const { recompute, batchTokens, accumulation, estimate, bound } = event.memory;
      if (event.fallbackReason) say(`the reference backend computes, slowly: ${event.fallbackReason}`);
      say(
        `${formatCount(event.trainable)} parameters to train, ${(100 * event.frozenShare).toFixed(2)} % frozen; ${event.documents} documents, ${event.heldOut} held out${describePassedOver(event)}, ${formatCount(event.epochTokens)} tokens an epoch, ${counted(steps, "step")} of ${accumulation} x ${batchTokens}`,
      );
      say(
        `memory: about ${formatBytes(estimate)} of ${formatBytes(bound)}, activations ${recompute ? "computed again layer by layer" : "kept"}; the model file is mapped beside that`,
      );
    }
    if (event.type === "step") {
      const left = ((steps - event.step) * event.tokens) / event.step / event.tokensPerSecond;
      progress.show(
        `step ${event.step}/${steps}  loss ${event.loss.toFixed(4)}  ${event.tokensPerSecond.toFixed(0)} tokens/s  ${formatSeconds(left)} left`,
      );
    }
    if (event.type === "evaluation") {
      say(`step ${event.step}: held-out loss ${event.loss.toFixed(4)}, ${event.bitsPerByte.toFixed(4)} bits per byte`);
    }
  };
}

function describe(result: FinetuneResult): string {
  const { adapter, step, finished, loss, heldOutBefore, heldOutAfter, estimate, peakMemory, peakResident } = result;
  const lines = [
    `${escapeLine(adapter)}: ${finished ? "done" : "interrupted, to be resumed"} after ${counted(step, "step")}${loss === undefined ? "" : `, loss ${loss.toFixed(4)}`}`,
    ...(heldOutBefore !== undefined && heldOutAfter !== undefined
      ? [`held-out loss ${heldOutBefore.toFixed(4)} before, ${heldOutAfter.toFixed(4)} after`]
      : []),
    // Nothing was left to do where the run had ended before.
    ...(peakMemory > 0
      ? [
          `memory at its peak: ${formatBytes(peakMemory)} (estimated ${formatBytes(estimate)}); ${formatBytes(peakResident)} with mapped pages`,
        ]
      : []),
  ];
  return lines.join("\n");
}

/** Below this share of the loss the adapter has hardly changed what the model says. */
const hardly = 0.1;

function warnOfLittle(result: FinetuneResult, firstLoss: number | undefined): string | undefined {
  const { finished, step, heldOutBefore, heldOutAfter } = result;
  const isHeldOut = heldOutBefore !== undefined && heldOutAfter !== undefined;
  const [before, after] = isHeldOut ? [heldOutBefore, heldOutAfter] : [firstLoss, result.loss];
  if (!finished || before === undefined || after === undefined || after <= (1 - hardly) * before) return undefined;
  return `the adapter has hardly learned: the loss was ${before.toFixed(2)} at first and is ${after.toFixed(2)} after ${counted(step, "step")}; more data, more --epochs or a higher --rate teach more`;
}

function targetList(): Reader<string[]> {
  const one = text();
  return (list) => [...new Set(list.split(",").map((name) => one(name.trim())))];
}

/** A share from 0 to below 1, or a file's name. */
function shareOrFile(): Reader<number | string> {
  return (value) => {
    if (value === "") throw new InvalidArgumentError("Expected a share or a file.");
    const share = Number(value);
    if (Number.isNaN(share)) return expandHome(value);
    if (share >= 0 && share < 1) return share;
    throw new InvalidArgumentError("Expected a share of at least 0 and below 1, or a file.");
  };
}
