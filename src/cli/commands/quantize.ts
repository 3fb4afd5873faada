import type { Command } from "commander";
import { type Mixture, mixtureNames, type TypeOverride } from "../../convert/mixtures.ts";
import { planQuantization, type QuantizeChoice, type QuantizePlan, quantizeModel } from "../../convert/quantize.ts";
import { canEncode } from "../../tensor/decode.ts";
import { type TensorType, tensorTypes } from "../../tensor/types.ts";
import { describeProgress, renderPlan } from "../conversion.ts";
import { usageError } from "../exit.ts";
import { catchInterrupt } from "../interrupt.ts";
import { createProgress, escapeLine, formatBytes, formatSeconds, jsonDocument } from "../terminal.ts";
import { choice, expandHome, integer } from "../values.ts";

interface QuantizeCommandOptions {
  readonly type: string;
  readonly importance?: string;
  readonly tensor?: readonly TypeOverride[];
  readonly pure?: true;
  readonly requantize?: true;
  readonly threads?: number;
  readonly dryRun?: true;
  readonly json?: true;
}

export function addQuantize(program: Command): void {
  program
    .command("quantize")
    .description(
      "Write a model in fewer bits, by the usual mixtures of types. An interrupted run is continued by the same command.",
    )
    .argument("<source>", "a model in f32, f16 or bf16: a .gguf file, or a folder that convert takes")
    .argument("<out>", "the .gguf file to write; its hashes stand beside it, in OUT.sha256 and OUT.manifest.json")
    .requiredOption("--type <mixture>", `one of ${mixtureNames.join(", ")}, in any case`, (text) =>
      choice(...mixtureNames)(text.toUpperCase() as Mixture),
    )
    .option("--importance <file>", "what calibration says of columns: a file of grok1 imatrix, or of llama.cpp's")
    .option(
      "--tensor <pattern=type>",
      "type of tensors in whose names the regular expression is found; can be given several times, the first that fits counts",
      readOverride,
    )
    .option("--pure", "every matrix in the mixture's main type")
    .option("--requantize", "also where the source is quantized already, which adds its error to the new one")
    .option("--threads <n>", "threads that encode (default: one a core)", integer(1, 1024))
    .option("--dry-run", "print what would be written, and write nothing")
    .option("--json", "print one JSON document")
    .action(run);
}

function readOverride(text: string, before: readonly TypeOverride[] = []): TypeOverride[] {
  const at = text.lastIndexOf("=");
  const type = text.slice(at + 1).toLowerCase() as TensorType;
  if (at < 1) throw usageError(`--tensor ${text}: expected PATTERN=TYPE, such as ffn_down=q6_k`);
  if (!Object.hasOwn(tensorTypes, type) || !canEncode(type)) {
    const known = (Object.keys(tensorTypes) as TensorType[]).filter(canEncode);
    throw usageError(`--tensor ${text}: type is ${type}, expected one of ${known.join(", ")}`);
  }
  try {
    return [...before, { pattern: new RegExp(text.slice(0, at)), type }];
  } catch {
    throw usageError(`--tensor ${text}: ${text.slice(0, at)} is no regular expression`);
  }
}

async function run(sourcePath: string, outPath: string, options: QuantizeCommandOptions): Promise<void> {
  const [source, out] = [expandHome(sourcePath), expandHome(outPath)];
  const { type, pure, requantize, threads, dryRun, json, tensor: overrides } = options;
  const importance = options.importance === undefined ? undefined : expandHome(options.importance);
  const chosen: QuantizeChoice = { source, type, importance, pure, requantize, overrides };
  const plan = planQuantization(chosen);
  for (const warning of plan.warnings) process.stderr.write(`warning: ${escapeLine(warning)}\n`);
  if (dryRun) {
    process.stdout.write(json ? `${jsonDocument(plan)}\n` : `${renderPlan(plan)}${bitsOf(plan)} bits a weight\n`);
    return;
  }
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  try {
    const onProgress = describeProgress((line) => progress.show(line));
    const began = performance.now();
    const result = await quantizeModel({ ...chosen, out, threads, signal: interrupt.signal, onProgress });
    const seconds = (performance.now() - began) / 1000;
    progress.clear();
    const { tensors, bytes, kept } = result;
    const before = kept > 0 ? `, ${kept} of them by an earlier run` : "";
    process.stdout.write(
      json
        ? `${jsonDocument({ ...result, seconds })}\n`
        : `${escapeLine(out)}: ${tensors.length} tensors${before}, ${formatBytes(bytes)}, ${bitsOf(result)} bits a weight, in ${formatSeconds(seconds)}\n`,
    );
  } finally {
    progress.clear();
  }
}

const bitsOf = ({ bitsPerWeight }: QuantizePlan): string => bitsPerWeight.toFixed(2);
