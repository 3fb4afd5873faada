import { basename } from "node:path";
import { type Command, Option } from "commander";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { checkDestination } from "../../bytes/destination.ts";
import { readTextFile } from "../../bytes/text-file.ts";
import { leastContext } from "../../engine/options.ts";
import { counted } from "../../errors.ts";
import { defaultChunkTokens } from "../../eval/chunks.ts";
import { type Comparison, compareModels } from "../../eval/compare.ts";
import { drawComparison } from "../../eval/comparison-chart.ts";
import { catchInterrupt } from "../interrupt.ts";
import { modelFiles } from "../open-model.ts";
import { addSettings, pick } from "../settings.ts";
import { createProgress, escapeLine, formatSeconds, jsonDocument, table } from "../terminal.ts";
import { integer, path } from "../values.ts";

interface CompareCommandOptions {
  readonly file: string;
  readonly context: number;
  readonly chunks?: number;
  readonly chart?: string;
  readonly json?: true;
  readonly backend?: "auto" | "native" | "reference";
  readonly threads?: number;
  readonly memory?: number;
}

export function addCompare(program: Command): void {
  const command = program
    .command("compare")
    .description("What a model loses beside another: how far its predictions are, and where that comes from.")
    .argument("<a>", "the model that is right, such as the one in f16", path())
    .argument("<b>", "the model that is measured, such as the one in fewer bits", path())
    .requiredOption("-f, --file <path>", "the text that both read", path())
    .addOption(
      new Option("-c, --context <tokens>", "tokens a chunk; the second half of each is scored")
        .argParser(integer(leastContext, 2 ** 24))
        .default(defaultChunkTokens),
    )
    .option("--chunks <n>", "read only the first n chunks", integer(1))
    .option("--chart <path>", "draw it, as an SVG file", path())
    .option("--json", "print one JSON document");
  addSettings(command, ["backend", "threads", "memory"]);
  command.action(run);
}

async function run(a: string, b: string, options: CompareCommandOptions): Promise<void> {
  const { file, chart, json } = options;
  if (chart !== undefined) {
    checkDestination(chart, [...modelFiles(a), ...modelFiles(b)], "one of the models");
    checkDestination(chart, [file], "the text");
  }
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  const began = performance.now();
  try {
    const text = readTextFile(file).replace(/\n$/, "");
    const result = await compareModels(a, b, text, {
      ...pick(options, ["context", "chunks", "backend", "threads", "memory"]),
      signal: interrupt.signal,
      onChunk({ done, chunks, divergence }) {
        const left = ((performance.now() - began) / 1000 / done) * (chunks - done);
        progress.show(`chunk ${done} of ${chunks}  KL ${divergence.toFixed(5)}  ${formatSeconds(left)} left`);
      },
    });
    if (chart !== undefined) {
      const drawing = drawComparison(result, basename(a), basename(b));
      await writeAtomic(chart, [Buffer.from(drawing)]);
    }
    progress.clear();
    process.stdout.write(json ? `${jsonDocument({ a, b, file, ...result })}\n` : render(a, b, result));
  } finally {
    progress.clear();
  }
}

function render(a: string, b: string, result: Comparison): string {
  const { perplexity, divergence, sameTop, probability, layers, routers } = result;
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  const rows = [
    ["perplexity of A", perplexity.a.toFixed(4)],
    ["perplexity of B", `${perplexity.b.toFixed(4)}  (${perplexity.ratio.toFixed(4)} x)`],
    ["KL divergence, mean", `${divergence.mean.toFixed(6)} ± ${divergence.error.toFixed(6)}`],
    ["  median", divergence.median.toFixed(6)],
    ["  90, 99, 99.9 %", [divergence.q90, divergence.q99, divergence.q999].map((q) => q.toFixed(5)).join("  ")],
    ["  largest", divergence.max.toFixed(4)],
    ["same likeliest token", percent(sameTop)],
    ["change of p, root mean square", percent(probability.rms)],
    ["change of p, mean", percent(probability.mean)],
    ...(layers.length > 0 ? [["error of the last layer", percent(layers.at(-1)!)]] : []),
    ...(routers.length > 0 ? [["same experts, least of all layers", percent(Math.min(...routers))]] : []),
  ];
  const byLayer = layers.map((error, i) => [
    ...[String(i), percent(error)],
    ...(routers[i] === undefined ? [] : [percent(routers[i])]),
  ]);
  const heads = ["layer", "error", ...(routers.length > 0 ? ["same experts"] : [])];
  return `A  ${escapeLine(a)}
B  ${escapeLine(b)}
${counted(result.scored, "token")} in ${counted(result.chunks, "chunk")} of ${result.context}

${table(rows, [])}
${layers.length > 0 ? table([heads, ...byLayer], [0, 1, 2].slice(0, heads.length)) : ""}`;
}
