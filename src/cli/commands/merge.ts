import type { Command } from "commander";
import { readTextFile } from "../../bytes/text-file.ts";
import { type MergedTensor, mergeTypes } from "../../convert/merge.ts";
import { counted, formatBytes } from "../../errors.ts";
import type { TensorType } from "../../tensor/types.ts";
import { type DataFormat, dataFormats } from "../../train/data/source.ts";
import { type MergeLoss, merge } from "../../train/lora/measured-merge.ts";
import { usageError } from "../exit.ts";
import { catchInterrupt } from "../interrupt.ts";
import { type ModelOptions, requireModel } from "../open-model.ts";
import { addSettings, describeSource, isGiven, pick } from "../settings.ts";
import { createProgress, escapeLine, jsonDocument } from "../terminal.ts";
import { adapterList, choice, path, repeated } from "../values.ts";

const types = ["keep", ...mergeTypes] as const;

interface MergeCommandOptions extends ModelOptions {
  readonly lora: readonly { readonly path: string; readonly scale: number }[];
  readonly out: string;
  readonly type: TensorType | "keep";
  readonly data?: readonly string[];
  readonly format?: DataFormat;
  readonly json?: true;
}

export function addMerge(program: Command): void {
  const command = program.command("merge").description("Write a model with low-rank adapters added into its weights.");
  addSettings(command, ["model"]);
  command
    .requiredOption(
      "--lora <file[:scale]>",
      "adapter: PEFT's folder or safetensors file; can be given several times",
      adapterList(),
    )
    .requiredOption("--out <file>", "where the merged GGUF goes", path())
    .option(
      "--type <type>",
      `type of the matrices that change: ${types.join(", ")}; keep: for each its own, or the next larger one in which rounding keeps the update`,
      choice(...types),
      "keep",
    )
    .option(
      "--data <file>",
      "the task's data, as for finetune: measures its answers' loss with the adapter and merged; can be given several times",
      repeated(path()),
    )
    .option(
      "--format <format>",
      `how the data lies in its files: ${Object.keys(dataFormats).join(", ")} (default: by name and first line)`,
      choice(...(Object.keys(dataFormats) as DataFormat[])),
    )
    .option("--json", "print one JSON document");
  addSettings(command, ["backend", "threads", "chatTemplate"]);
  command.action(run);
}

/** What only measuring asks for. */
const measuring = ["format", "chatTemplate", "backend", "threads"] as const;

async function run(options: MergeCommandOptions, command: Command): Promise<void> {
  const path = requireModel(options);
  const idle = options.data === undefined ? measuring.find((name) => isGiven(command, name)) : undefined;
  if (idle !== undefined)
    throw usageError(`${describeSource(command, idle)} is for measuring, which needs --data FILE`);
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  try {
    const { lora: adapters, out, type, data, chatTemplate } = options;
    const result = await merge({
      ...{ model: path, out, adapters, type, signal: interrupt.signal },
      onTensor: (name) => progress.show(name),
      ...(data !== undefined && {
        ...pick(options, ["data", "format", "backend", "threads"]),
        chatTemplate: chatTemplate && readTextFile(chatTemplate),
        onScored: (done, texts) => progress.show(`measuring: ${done} of ${counted(texts, "text")}`),
      }),
    });
    progress.clear();
    const { changed, copied, bytes, loss } = result;
    const warnings = loss === undefined ? describeLosses(changed) : describeCost(loss, type);
    for (const line of warnings) process.stderr.write(`grok1: warning: ${line}\n`);
    const lines = [
      `${escapeLine(out)}: ${describeChanged(changed)}, ${counted(copied, "tensor")} copied, ${formatBytes(bytes)}`,
      ...(loss === undefined
        ? []
        : [
            `loss of the answers: ${nats(loss.adapter)} with the adapter, ${nats(loss.merged)} merged (nats a token, ${counted(loss.tokens, "token")})`,
          ]),
    ];
    process.stdout.write(
      options.json ? `${jsonDocument({ out, changed, copied, bytes, loss })}\n` : `${lines.join("\n")}\n`,
    );
  } finally {
    progress.clear();
  }
}

/** How many matrices, in which types, and what rounding keeps of the update. */
function describeChanged(changed: readonly MergedTensor[]): string {
  if (changed.length === 0) return "no matrix is changed by the adapters";
  const kinds = new Map<string, number>();
  for (const { from, to } of changed) {
    const kind = from === to ? to : `${from} to ${to}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  const counts = [...kinds].map(([kind, count]) => `${count} ${kind}`).join(", ");
  return `${counted(changed.length, "matrix", "matrices")} merged (${counts}; ${describeKept(changed)})`;
}

function describeKept(changed: readonly MergedTensor[]): string {
  const least = changed.reduce((a, b) => (b.kept.update < a.kept.update ? b : a));
  const all = changed.map(({ kept }) => kept.update).sort((a, b) => a - b);
  return `${percent(all[all.length >> 1]!)} of the update kept, at least ${percent(least.kept.update)}`;
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

const nats = (loss: number) => loss.toFixed(3);

/** More of a loss, in nats a token, is a different model. */
const mostCost = 0.05;

/** A warning where merging costs answers. */
function describeCost({ adapter, merged, tokens }: MergeLoss, type: TensorType | "keep"): string[] {
  if (merged - adapter <= mostCost) return [];
  const advice =
    type === "keep"
      ? "--type f32 keeps what can be kept"
      : "without --type each matrix gets a type that holds the adapter";
  return [
    `merging loses ${nats(merged - adapter)} nats a token: the loss of the answers is ${nats(merged)} merged and ${nats(adapter)} with the adapter (${counted(tokens, "token")}); ${advice}`,
  ];
}

/** A line for each type that loses of the update, or blurs it: what, and how much. */
function describeLosses(changed: readonly MergedTensor[]): string[] {
  return [...new Set(changed.map(({ to }) => to))].flatMap((type) => {
    const bad = changed.filter(({ to, good }) => to === type && !good);
    if (bad.length === 0) return [];
    const worst = bad.reduce((a, b) => (b.kept.update < a.kept.update ? b : a));
    const error = Math.max(...bad.map(({ kept }) => kept.error));
    return [
      `${type} does not hold the adapter in ${bad.length} of ${counted(changed.length, "matrix", "matrices")}: rounding keeps as little as ${percent(worst.kept.update)} of the update (${escapeLine(worst.name)}) and moves weights by up to ${percent(error)}; without --type each matrix gets a type that holds it; --data FILE measures what the answers in a file lose`,
    ];
  });
}
