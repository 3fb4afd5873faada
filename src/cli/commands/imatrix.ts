import { basename } from "node:path";
import { type Command, Option } from "commander";
import { checkDestination } from "../../bytes/destination.ts";
import { readTextFile } from "../../bytes/text-file.ts";
import { writeImportance } from "../../convert/importance.ts";
import { leastContext } from "../../engine/options.ts";
import { counted } from "../../errors.ts";
import { defaultChunkTokens } from "../../eval/chunks.ts";
import { measureImportance, type SeldomSeen } from "../../eval/importance.ts";
import { catchInterrupt } from "../interrupt.ts";
import { addModel, type ModelOptions, modelFiles, requireModel } from "../open-model.ts";
import { addSettings, pick } from "../settings.ts";
import { createProgress, escapeLine, formatSeconds, jsonDocument } from "../terminal.ts";
import { integer, path } from "../values.ts";

interface ImatrixCommandOptions extends ModelOptions {
  readonly file: string;
  readonly out: string;
  readonly context: number;
  readonly chunks?: number;
  readonly json?: true;
}

export function addImatrix(program: Command): void {
  const command = program
    .command("imatrix")
    .description("What a text says of how much each column of a model's matrices matters: for quantize --importance.");
  addModel(command)
    .requiredOption("-f, --file <path>", "a text of the kind that the model is for", path())
    .requiredOption("-o, --out <path>", "the file to write, in llama.cpp's GGUF layout", path())
    .addOption(
      new Option("-c, --context <tokens>", "tokens a chunk")
        .argParser(integer(leastContext, 2 ** 24))
        .default(defaultChunkTokens),
    )
    .option("--chunks <n>", "read only the first n chunks", integer(1))
    .option("--json", "print one JSON document");
  addSettings(command, ["backend", "threads", "memory"]);
  command.action((_, options: ImatrixCommandOptions) => run(options));
}

async function run(options: ImatrixCommandOptions): Promise<void> {
  const model = requireModel(options);
  const { file, out, context, json } = options;
  checkDestination(out, modelFiles(model), "the model itself");
  checkDestination(out, [file], "the text");
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  const began = performance.now();
  try {
    const { matrices, chunks, chunkTokens, hardlySeen } = await measureImportance(model, readTextFile(file), {
      ...pick(options, ["context", "chunks", "backend", "threads", "memory"]),
      signal: interrupt.signal,
      onChunk(done, all) {
        const left = ((performance.now() - began) / 1000 / done) * (all - done);
        progress.show(`chunk ${done} of ${all}  ${formatSeconds(left)} left`);
      },
    });
    await writeImportance(out, { matrices, chunks, chunkTokens, datasets: [basename(file)] }, interrupt.signal);
    progress.clear();
    const seconds = (performance.now() - began) / 1000;
    for (const line of warnings(hardlySeen)) process.stderr.write(`grok1: warning: ${line}\n`);
    process.stdout.write(
      json
        ? `${jsonDocument({ model, file, out, matrices: matrices.size, chunks, context, hardlySeen, seconds })}\n`
        : `${escapeLine(out)}: ${counted(matrices.size, "matrix", "matrices")}, ${counted(chunks, "chunk")} of ${counted(context, "token")}, in ${formatSeconds(seconds)}\n`,
    );
  } finally {
    progress.clear();
  }
}

/** By layer, a line each; of many, the first. */
function warnings(hardlySeen: readonly SeldomSeen[]): string[] {
  const layers = [...new Set(hardlySeen.map(({ tensor }) => tensor.split(".")[1]!))];
  const lines = layers.map((layer) => {
    const experts = hardlySeen.filter(({ tensor }) => tensor.startsWith(`blk.${layer}.`));
    const said = experts.map(({ expert, tokens }) => `${expert} (${counted(tokens, "token")})`).join(", ");
    return `layer ${layer}: experts hardly seen: ${said}; more text, or of more kinds, would show what they need`;
  });
  const shown = 8;
  return lines.length <= shown
    ? lines
    : [...lines.slice(0, shown), `${counted(lines.length - shown, "more layer")} like these`];
}
