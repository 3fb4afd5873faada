import type { Command } from "commander";
import { convertModel, planConversion } from "../../convert/convert.ts";
import { recipeTypes } from "../../convert/recipe.ts";
import { renderPlan, renderWritten, runConversion } from "../conversion.ts";
import { jsonDocument } from "../terminal.ts";
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
  await runConversion(
    out,
    json,
    ({ signal, onProgress }) => convertModel({ source, out, type, signal, onProgress }),
    (result, seconds) => `${renderWritten(result)}, in ${seconds}\n`,
  );
}
