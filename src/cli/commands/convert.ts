import { existsSync } from "node:fs";
import type { Command } from "commander";
import { partialName } from "../../bytes/resumable-write.ts";
import { convertModel, planConversion } from "../../convert/convert.ts";
import { recipeTypes } from "../../convert/recipe.ts";
import { describeProgress, renderPlan } from "../conversion.ts";
import { catchInterrupt } from "../interrupt.ts";
import { createProgress, escapeLine, formatBytes, formatSeconds, jsonDocument } from "../terminal.ts";
import { choice, expandHome } from "../values.ts";

const types = ["keep", ...recipeTypes] as const;

interface ConvertCommandOptions {
  readonly type: string;
  readonly dryRun?: true;
  readonly json?: true;
}

export function addConvert(program: Command): void {
  program
    .command("convert")
    .description(
      "Write a model as one GGUF file, in another type. An interrupted run is continued by the same command.",
    )
    .argument(
      "<source>",
      "a model: a .gguf file, or a folder with xAI's checkpoint (ckpt-0) or in Hugging Face's layout",
    )
    .argument("<out>", "the .gguf file to write; its hashes stand beside it, in OUT.sha256 and OUT.manifest.json")
    .requiredOption(
      "--type <type>",
      `type of the matrices: ${types.join(", ")}; keep: for each the smallest that holds it as it is`,
      choice(...types),
    )
    .option("--dry-run", "print what would be written, and write nothing")
    .option("--json", "print one JSON document")
    .action(run);
}

async function run(sourcePath: string, outPath: string, { type, dryRun, json }: ConvertCommandOptions): Promise<void> {
  const [source, out] = [expandHome(sourcePath), expandHome(outPath)];
  if (dryRun) {
    const plan = planConversion({ source, type });
    process.stdout.write(json ? `${jsonDocument(plan)}\n` : renderPlan(plan));
    return;
  }
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  try {
    const onProgress = describeProgress((line) => progress.show(line));
    const began = performance.now();
    const result = await convertModel({ source, out, type, signal: interrupt.signal, onProgress });
    const seconds = (performance.now() - began) / 1000;
    progress.clear();
    const { tensors, bytes, kept } = result;
    const before = kept > 0 ? `, ${kept} of them by an earlier run` : "";
    process.stdout.write(
      json
        ? `${jsonDocument({ ...result, seconds })}\n`
        : `${escapeLine(out)}: ${tensors.length} tensors${before}, ${formatBytes(bytes)}, in ${formatSeconds(seconds)}\n`,
    );
  } catch (error) {
    progress.clear();
    if (interrupt.signal.aborted && existsSync(partialName(out))) {
      process.stderr.write("grok1: stopped; the same command goes on from here\n");
    }
    throw error;
  } finally {
    progress.clear();
  }
}
