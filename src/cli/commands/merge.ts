import type { Command } from "commander";
import { mergeAdapters } from "../../convert/merge.ts";
import { GrokError } from "../../errors.ts";
import type { TensorType } from "../../tensor/types.ts";
import { catchInterrupt } from "../interrupt.ts";
import { type ModelOptions, requireModel } from "../model.ts";
import { addSettings } from "../settings.ts";
import { createProgress, formatBytes, jsonDocument } from "../terminal.ts";
import { adapterList, choice, path } from "../values.ts";

const types = ["keep", "f32", "f16", "bf16", "q8_0", "q6_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0"] as const;

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
      `type of the matrices that change: ${types.join(", ")}; keep: their own, or the nearest larger that can be written`,
      choice(...types),
      "keep",
    )
    .option("--json", "print one JSON document")
    .action(merge);
}

async function merge(options: MergeCommandOptions): Promise<void> {
  const path = requireModel(options);
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  try {
    const { lora: adapters, out, type } = options;
    const onTensor = (name: string) => progress.show(name);
    const result = await mergeAdapters(path, out, { adapters, type, onTensor, signal: interrupt.signal });
    progress.clear();
    const { changed, copied, bytes } = result;
    if (changed.length === 0) throw new GrokError("internal", `${out}: nothing was merged`);
    const raised = changed.filter(({ from, to }) => type === "keep" && from !== to).length;
    process.stdout.write(
      options.json
        ? `${jsonDocument({ out, changed, copied, bytes })}\n`
        : `${out}: ${changed.length} matrices merged${raised > 0 ? ` (${raised} in a larger type)` : ""}, ${copied} tensors copied, ${formatBytes(bytes)}\n`,
    );
  } finally {
    progress.clear();
  }
}
