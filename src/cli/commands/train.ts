import type { Command } from "commander";
import { type ExportType, exportTypes } from "../../convert/export.ts";
import type { BackendChoice } from "../../engine/options.ts";
import { counted, formatBytes } from "../../errors.ts";
import type { Budget } from "../../train/budget.ts";
import type { TrainConfig } from "../../train/config.ts";
import type { EvaluationReport, StepReport } from "../../train/log.ts";
import { defaultTrainOptions, type TrainEvent, type TrainOptions } from "../../train/options.ts";
import type { TrainResult } from "../../train/run.ts";
import { interruptedStatus } from "../exit.ts";
import { catchInterrupt } from "../interrupt.ts";
import { addSettings, pick } from "../settings.ts";
import {
  createProgress,
  describePassedOver,
  escapeLine,
  formatCount,
  formatSeconds,
  jsonDocument,
  table,
} from "../terminal.ts";
import { choice, duration, integer, path, size } from "../values.ts";

interface TrainCommandOptions {
  readonly resume?: true;
  readonly out?: string;
  readonly budget?: number;
  readonly processes: number;
  readonly memory?: number;
  readonly type: ExportType;
  readonly backend?: BackendChoice;
  readonly threads?: number;
  readonly json?: true;
}

export function addTrain(program: Command): void {
  const command = program
    .command("train")
    .description("Train a model from a configuration file: checkpoints, log, loss plot, and at the end a GGUF file.")
    .argument("<config>", "training configuration (JSON)")
    .option("--resume", "go on from the last checkpoint")
    .option("--out <folder>", "folder of the run, in place of the configuration's", path())
    .option(
      "--budget <time>",
      "train nothing: measure a few steps, say how long the configuration takes and what fits a time such as 2h",
      duration(),
    )
    .option(
      "--processes <n>",
      "processes that share a step's replicas; the result is the same",
      integer(1, 1024),
      defaultTrainOptions.processes,
    )
    .option(
      "--type <type>",
      `tensor type of the model written: ${exportTypes.join(", ")}`,
      choice(...exportTypes),
      defaultTrainOptions.type,
    )
    .option(
      "--memory <size>",
      "memory to stay within, such as 2G (default: what may be used, less a tenth and at least 256 MiB): layers are computed twice where that is needed, to the same result",
      size(),
    )
    .option("--json", "print one JSON document");
  addSettings(command, ["backend", "threads"]);
  command.action(runTrain);
}

async function runTrain(path: string, options: TrainCommandOptions): Promise<void> {
  const { readTrainConfig, train, measureBudget } = await loadTraining();
  const read = readTrainConfig(path);
  const config: TrainConfig = options.out === undefined ? read : { ...read, out: options.out };
  using interrupt = catchInterrupt();
  const show = createDisplay(config, path);
  const trainOptions: TrainOptions = {
    ...pick(options, ["backend", "threads", "resume", "memory", "processes", "type"]),
    signal: interrupt.signal,
    onEvent: show.event,
  };
  try {
    if (options.budget !== undefined) {
      const budget = await measureBudget(config, options.budget, trainOptions);
      show.clear();
      process.stdout.write(
        options.json ? `${jsonDocument(budget)}\n` : describeBudget(budget, options.budget, config.model.experts),
      );
      return;
    }
    const result = await train(config, trainOptions);
    show.clear();
    if (!result.finished) process.exitCode = interruptedStatus;
    process.stdout.write(options.json ? `${jsonDocument(result)}\n` : describeResult(result, config, path));
  } finally {
    show.clear();
  }
}

/** Only when it is asked for: other commands start without it. */
async function loadTraining() {
  const [config, run, budget] = await Promise.all([
    import("../../train/config.ts"),
    import("../../train/run.ts"),
    import("../../train/budget.ts"),
  ]);
  return { ...config, ...run, ...budget };
}

/** What goes to standard error: a line that is rewritten at a terminal, and a line for each evaluation. */
function createDisplay(config: TrainConfig, path: string) {
  const progress = createProgress(process.stderr, process.env);
  const say = (line: string) => {
    progress.clear();
    process.stderr.write(`${line}\n`);
  };
  return {
    clear: progress.clear,
    event(event: TrainEvent) {
      if (event.type === "file") progress.show(`tokenizing ${escapeLine(event.path)}`);
      else if (event.type === "start") {
        const { all, used } = event.parameters;
        if (event.fallbackReason !== undefined) {
          say(
            `grok1: warning: the compiled addon is missing (${event.fallbackReason}); the reference backend is slow. See grok1 doctor.`,
          );
        }
        const from = event.step > 0 ? `from step ${event.step} on` : `${counted(config.steps, "step")}`;
        say(
          `${escapeLine(path)}: ${formatCount(all)} parameters, ${formatCount(used)} used by a token; ${from}${describePassedOver(event)}, into ${escapeLine(config.out)}`,
        );
        const { estimate, bound, recompute } = event.memory;
        say(
          `memory: about ${formatBytes(estimate)} of ${formatBytes(bound)}, activations ${recompute ? "computed again layer by layer" : "kept"}`,
        );
      } else if (event.type === "step") progress.show(describeStep(event.report, config.steps, event.secondsLeft));
      else if (event.type === "evaluation") say(describeEvaluation(event.report));
      else if (event.type === "warning") say(`grok1: warning: ${escapeLine(event.message)}`);
    },
  };
}

function describeStep(report: StepReport, steps: number, secondsLeft: number): string {
  const { step, loss, bitsPerByte, tokensPerSecond, rate, norm, imbalance, unused } = report;
  return [
    `step ${step}/${steps}`,
    `loss ${loss.toFixed(3)}`,
    `${bitsPerByte.toFixed(3)} bits/byte`,
    `${tokensPerSecond.toFixed(0)} tokens/s`,
    `rate ${rate.toExponential(1)}`,
    `norm ${norm.toFixed(2)}`,
    `experts ${imbalance.toFixed(2)}x${unused > 0 ? ` (${unused} unused)` : ""}`,
    `${formatSeconds(secondsLeft)} left`,
  ].join("  ");
}

function describeEvaluation({ step, heldOut, experts }: EvaluationReport): string {
  const scores = heldOut.map(({ name, bitsPerByte }) => `${escapeLine(name)} ${bitsPerByte.toFixed(4)} bits/byte`);
  const shares = experts.flat();
  const use =
    shares.length === 0
      ? ""
      : `experts' shares ${(100 * Math.min(...shares)).toFixed(1)} to ${(100 * Math.max(...shares)).toFixed(1)} %`;
  return [`step ${step}`, ...scores, use].filter(Boolean).join("  ");
}

function describeResult(result: TrainResult, config: TrainConfig, path: string): string {
  const { step, tokens, seconds } = result;
  const done = `${formatCount(tokens)} tokens in ${formatSeconds(seconds)}`;
  if (!result.finished) {
    return `stopped after step ${step} of ${config.steps}, saved in ${escapeLine(result.checkpoint)}; grok1 train ${escapeLine(path)} --resume goes on\n`;
  }
  const scores = (result.heldOut ?? []).map(
    ({ name, bitsPerByte }) => `${escapeLine(name)}: ${bitsPerByte.toFixed(4)} bits per byte, held out\n`,
  );
  return `${escapeLine(result.model!)}: ${counted(step, "step")}, ${done}\n${scores.join("")}`;
}

function describeBudget(budget: Budget, seconds: number, experts: number): string {
  const { parameters, optimal } = budget;
  const size = ({ used, all }: { used: number; all: number }) =>
    `${formatCount(Math.round(used))} used by a token, ${formatCount(Math.round(all))} in all`;
  return table([
    ["parameters", size(parameters)],
    ["speed here", `${budget.tokensPerSecond.toFixed(0)} tokens/s, ${budget.secondsAStep.toFixed(2)} s a step`],
    [
      "this configuration",
      `${counted(budget.steps, "step")}, ${formatCount(Math.round(budget.tokens))} tokens: ${formatSeconds(budget.seconds)}`,
    ],
    [`in ${formatSeconds(seconds)}`, `${budget.stepsInBudget} of its steps`],
    [
      "compute-optimal",
      `${size(optimal)} (at ${counted(experts, "expert")}, as here), on ${formatCount(Math.round(optimal.tokens))} tokens: 20 a used parameter`,
    ],
  ]);
}
