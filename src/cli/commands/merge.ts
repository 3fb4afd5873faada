import type { Command } from "commander";
import { type MergedTensor, merge, mergeTypes } from "../../convert/merge.ts";
import type { TensorType } from "../../tensor/types.ts";
import { catchInterrupt } from "../interrupt.ts";
import { type ModelOptions, requireModel } from "../open-model.ts";
import { addSettings } from "../settings.ts";
import { createProgress, escapeLine, formatBytes, jsonDocument } from "../terminal.ts";
import { adapterList, choice, path } from "../values.ts";

const types = ["keep", ...mergeTypes] as const;

interface MergeCommandOptions extends ModelOptions {
  readonly lora: readonly { readonly path: string; readonly scale: number }[];
  readonly out: string;
  readonly type: TensorType | "keep";
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
    .option("--json", "print one JSON document")
    .action(run);
}

async function run(options: MergeCommandOptions): Promise<void> {
  const path = requireModel(options);
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  try {
    const { lora: adapters, out, type } = options;
    const onTensor = (name: string) => progress.show(name);
    const result = await merge({ model: path, out, adapters, type, onTensor, signal: interrupt.signal });
    progress.clear();
    const { changed, copied, bytes } = result;
    for (const line of describeLosses(changed)) process.stderr.write(`grok1: warning: ${line}\n`);
    process.stdout.write(
      options.json
        ? `${jsonDocument({ out, changed, copied, bytes })}\n`
        : `${escapeLine(out)}: ${describeChanged(changed)}, ${copied} tensors copied, ${formatBytes(bytes)}\n`,
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
  return `${changed.length} matrices merged (${counts}; ${describeKept(changed)})`;
}

function describeKept(changed: readonly MergedTensor[]): string {
  const least = changed.reduce((a, b) => (b.kept.update < a.kept.update ? b : a));
  const all = changed.map(({ kept }) => kept.update).sort((a, b) => a - b);
  return `${percent(all[all.length >> 1]!)} of the update kept, at least ${percent(least.kept.update)}`;
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** A line for each type that loses of the update, or blurs it: what, and how much. */
function describeLosses(changed: readonly MergedTensor[]): string[] {
  return [...new Set(changed.map(({ to }) => to))].flatMap((type) => {
    const bad = changed.filter(({ to, good }) => to === type && !good);
    if (bad.length === 0) return [];
    const worst = bad.reduce((a, b) => (b.kept.update < a.kept.update ? b : a));
    const error = Math.max(...bad.map(({ kept }) => kept.error));
    return [
      `${type} does not hold the adapter in ${bad.length} of ${changed.length} matrices: rounding keeps as little as ${percent(worst.kept.update)} of the update (${escapeLine(worst.name)}) and moves weights by up to ${percent(error)}; without --type each matrix gets a type that holds it`,
    ];
  });
}
