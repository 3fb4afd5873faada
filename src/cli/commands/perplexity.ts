import { type Command, Option } from "commander";
import { readTextFile } from "../../bytes/text-file.ts";
import { leastContext } from "../../engine/options.ts";
import { counted } from "../../errors.ts";
import { defaultChunkTokens } from "../../eval/chunks.ts";
import { measurePerplexity } from "../../eval/perplexity.ts";
import { readStandardInput } from "../files.ts";
import { catchInterrupt } from "../interrupt.ts";
import { addModel, type ModelOptions, openModel, requireModel, warnOfModel } from "../open-model.ts";
import { addSettings } from "../settings.ts";
import { createProgress, formatSeconds, jsonDocument } from "../terminal.ts";
import { integer, path } from "../values.ts";

interface PerplexityCommandOptions extends ModelOptions {
  readonly file: string;
  readonly context: number;
  readonly chunks?: number;
  readonly json?: true;
}

export function addPerplexity(program: Command): void {
  const command = program
    .command("perplexity")
    .description("How well a model predicts a text; figures compare with those of llama.cpp's perplexity tool.");
  addModel(command)
    .requiredOption("-f, --file <path>", "the text; - reads standard input", path())
    .addOption(
      new Option("-c, --context <tokens>", "tokens a chunk; the second half of each is scored")
        .argParser(integer(leastContext, 2 ** 24))
        .default(defaultChunkTokens),
    )
    .option("--chunks <n>", "read only the first n chunks", integer(1))
    .option("--json", "print one JSON document");
  addSettings(command, ["backend", "threads", "isa", "kvType", "memory"]);
  command.action((_, options: PerplexityCommandOptions) => perplexity(options));
}

async function perplexity(options: PerplexityCommandOptions): Promise<void> {
  const modelFile = requireModel(options);
  // One line break at the end is dropped, as the tool that figures are compared with does.
  const content = (options.file === "-" ? await readStandardInput() : readTextFile(options.file)).replace(/\n$/, "");
  using interrupt = catchInterrupt();
  await using model = await openModel(modelFile, options);
  warnOfModel(model);
  const progress = createProgress(process.stderr, process.env);
  const start = performance.now();
  try {
    const result = await measurePerplexity(model, content, {
      context: options.context,
      ...(options.chunks !== undefined && { chunks: options.chunks }),
      signal: interrupt.signal,
      onChunk({ perplexity, error, done, chunks }) {
        const left = ((performance.now() - start) / 1000 / done) * (chunks - done);
        progress.show(
          `chunk ${done} of ${chunks}  perplexity ${perplexity.toFixed(4)} ± ${error.toFixed(4)}  ${formatSeconds(left)} left`,
        );
      },
    });
    progress.clear();
    const seconds = (performance.now() - start) / 1000;
    if (options.json) {
      process.stdout.write(`${jsonDocument({ model: modelFile, file: options.file, ...result, seconds })}\n`);
    } else {
      process.stdout.write(
        `perplexity ${result.perplexity.toFixed(4)} ± ${result.error.toFixed(4)}  (${counted(result.scored, "token")} scored in ${counted(result.chunks, "chunk")} of ${result.context}, ${formatSeconds(seconds)})\n`,
      );
    }
  } finally {
    progress.clear();
  }
}
