import { basename } from "node:path";
import { type Command, Option } from "commander";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { checkDestination } from "../../bytes/destination.ts";
import { counted } from "../../errors.ts";
import { describePrecision, toSarif } from "../../scan/sarif.ts";
import { type ScanResult, scanSources } from "../../scan/scan.ts";
import { catchInterrupt } from "../interrupt.ts";
import { type ModelOptions, modelFiles, openModel, requireModel, warnOfModel } from "../open-model.ts";
import { addSettings, pick } from "../settings.ts";
import { createProgress, escapeLine, table } from "../terminal.ts";
import { adapterList, number, path } from "../values.ts";

interface ScanCommandOptions extends ModelOptions {
  readonly threshold?: number;
  readonly language?: "en" | "es";
  readonly records?: string;
  readonly sarif?: string;
  readonly failOnFindings?: true;
}

export function addScan(program: Command): void {
  const command = program
    .command("scan")
    .description(
      "Ask a model of every function of a source tree whether it is weak. Findings are suspicions: --records says how often they are right.",
    )
    .argument("<path>", "a source file, or a folder of C, C++, JavaScript, TypeScript or Python", path())
    .option(
      "--lora <file[:scale]>",
      "low-rank adapter to use: PEFT's folder or safetensors file; can be given several times",
      adapterList(),
    )
    .option("--threshold <share>", "least likelihood of yes beside no that is a finding (default: 0.5)", number(0, 1))
    .addOption(new Option("--language <language>", "of the questions: en, es (default: en)").choices(["en", "es"]))
    .option("--records <file>", "of grok1 eval sven --records with the same model: how right it is", path())
    .option("--sarif <file>", "write a SARIF 2.1.0 log", path())
    .option("--fail-on-findings", "end with status 1 where something was found");
  addSettings(command, ["model", "context", "backend", "threads", "isa", "kvType", "memory"]);
  command.action((source: string, options: ScanCommandOptions) => run(source, options, program.version() ?? ""));
}

async function run(source: string, options: ScanCommandOptions, version: string): Promise<void> {
  const file = requireModel(options);
  const { sarif, failOnFindings } = options;
  if (sarif !== undefined) {
    checkDestination(sarif, modelFiles(file, options.lora), "the model");
    checkDestination(sarif, [source, ...(options.records === undefined ? [] : [options.records])], "what is read");
  }
  using interrupt = catchInterrupt();
  await using model = await openModel(file, options);
  warnOfModel(model);
  const progress = createProgress(process.stderr, process.env);
  try {
    const result = await scanSources(model, source, {
      ...pick(options, ["threshold", "language", "records"]),
      signal: interrupt.signal,
      onProgress: ({ functions, files, of }) =>
        progress.show(`file ${files} of ${of}  ${counted(functions, "function")}`),
    });
    progress.clear();
    if (sarif !== undefined) {
      const asked = [file, ...(options.lora ?? []).map((adapter) => adapter.path)].map((path) => basename(path));
      const log = JSON.stringify(toSarif(result, version, asked.join(" + ")), null, 2);
      await writeAtomic(sarif, [Buffer.from(`${log}\n`)]);
    }
    process.stdout.write(render(result));
    if (failOnFindings && result.findings.length > 0) process.exitCode = 1;
  } finally {
    progress.clear();
  }
}

function render(result: ScanResult): string {
  const { findings, files, functions, leftOut } = result;
  const rows = findings.map(({ cwe, file, function: name, firstLine, share }) => [
    ...[share.toFixed(2), cwe, escapeLine(`${file}:${firstLine}`), escapeLine(name)],
  ]);
  return `${findings.length === 0 ? "" : table([["yes", "weakness", "where", "function"], ...rows], [0])}${leftOut
    .map(({ name, why }) => `left out: ${escapeLine(`${name}: ${why}`)}\n`)
    .join(
      "",
    )}${counted(functions, "function")} in ${counted(files, "file")}, ${counted(findings.length, "finding")}. ${describePrecision(result)}\n`;
}
