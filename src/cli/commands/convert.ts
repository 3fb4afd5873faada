import type { Command } from "commander";
import { type ConversionPlan, type ConvertProgress, convertModel, planConversion } from "../../convert/convert.ts";
import { recipeTypes } from "../../convert/recipe.ts";
import { catchInterrupt } from "../interrupt.ts";
import { createProgress, escapeLine, formatBytes, formatSeconds, jsonDocument, table } from "../terminal.ts";
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
    .argument("<source>", "a model: a .gguf file, or a folder with xAI's checkpoint (ckpt-0)")
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
  } finally {
    progress.clear();
  }
}

/** Name, share, rate of what this run reads, and time left by it; a few times a second. */
function describeProgress(show: (line: string) => void): (progress: ConvertProgress) => void {
  let shown = Number.NEGATIVE_INFINITY;
  let began: { time: number; done: number } | undefined;
  return ({ tensor, index, tensors, done, total, kept }) => {
    const now = performance.now();
    if (done === kept) began = undefined;
    else began ??= { time: now, done: kept };
    if (now - shown < 200) return;
    shown = now;
    const share = `${Math.floor((100 * done) / Math.max(1, total))} %`;
    if (began === undefined || now === began.time) {
      show(`${index + 1} of ${tensors}  ${share}  ${tensor}: checking what an earlier run wrote`);
      return;
    }
    const rate = (1000 * (done - began.done)) / (now - began.time);
    const left = rate > 0 ? `, ${formatSeconds((total - done) / rate)} left` : "";
    show(`${index + 1} of ${tensors}  ${share}  ${formatBytes(rate)}/s${left}  ${tensor}`);
  };
}

function renderPlan({ source, kind, tensors, storedBytes, bytes }: ConversionPlan): string {
  const rows = tensors.map(({ name, shape, stored, from, type, bytes: size }) => [
    ...[escapeLine(name), `[${shape.join(", ")}]`, type, formatBytes(size)],
    from === undefined ? stored : `${stored}, in ${escapeLine(from)}`,
  ]);
  return `${table([["tensor", "shape", "written as", "size", "stored as"], ...rows], [3])}
${escapeLine(source)} is ${kind}: ${tensors.length} tensors, ${formatBytes(storedBytes)} to read, a file of ${formatBytes(bytes)} to write
`;
}
