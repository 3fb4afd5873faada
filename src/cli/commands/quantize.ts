import type { Command } from "commander";
import { checkDestination } from "../../bytes/destination.ts";
import { readTextFile } from "../../bytes/text-file.ts";
import { type Mixture, mixtureNames, type TypeOverride } from "../../convert/mixtures.ts";
import { planQuantization, type QuantizeChoice, type QuantizePlan, quantizeModel } from "../../convert/quantize.ts";
import { formatBytes } from "../../errors.ts";
import { defaultCalibrationChunks, openCalibration } from "../../eval/calibration.ts";
import { type FitResult, fitModel } from "../../eval/fit.ts";
import { fitTypes } from "../../eval/sensitivity.ts";
import { canEncode } from "../../tensor/decode.ts";
import { type TensorType, tensorTypes } from "../../tensor/types.ts";
import { renderPlan, renderWritten, runConversion } from "../conversion.ts";
import { usageError } from "../exit.ts";
import { pick } from "../settings.ts";
import { escapeLine, jsonDocument, table } from "../terminal.ts";
import { choice, expandHome, integer, size } from "../values.ts";

interface QuantizeCommandOptions {
  readonly type?: string;
  readonly fit?: number;
  readonly calibrate?: string;
  readonly chunks?: number;
  readonly memory?: number;
  readonly sensitivity?: string;
  readonly types?: readonly TensorType[];
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
    .option("--type <mixture>", `one of ${mixtureNames.join(", ")}, in any case`, (text) =>
      choice(...mixtureNames)(text.toUpperCase() as Mixture),
    )
    .option(
      "--fit <size>",
      "in place of a mixture: at most so much, such as 96G, each tensor in the type that is measured to cost least",
      size(),
    )
    .option(
      "--calibrate <text>",
      "a text that the model is to be good at: errors of rounding are made up for where it says how",
    )
    .option(
      "--chunks <n>",
      `read only the first n chunks of 512 tokens of it (default: ${defaultCalibrationChunks})`,
      integer(1),
    )
    .option("--memory <size>", "most of memory for what calibration keeps of a layer (default: 4G)", size())
    .option("--sensitivity <file>", "what --fit measured, kept for other sizes (default: OUT.sensitivity.json)")
    .option("--types <types>", "what --fit chooses from, such as q4_k,q6_k (default: all that there are)", readTypes)
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

function readTypes(text: string): TensorType[] {
  return text.split(",").map((name) => {
    const type = name.trim().toLowerCase() as TensorType;
    if (fitTypes.includes(type)) return type;
    throw usageError(`--types ${text}: ${name} is none of ${fitTypes.join(", ")}`);
  });
}

async function run(sourcePath: string, outPath: string, options: QuantizeCommandOptions): Promise<void> {
  const [source, out] = [expandHome(sourcePath), expandHome(outPath)];
  checkTogether(options);
  for (const read of [options.importance, options.calibrate]) {
    if (read !== undefined) checkDestination(out, [expandHome(read)], "what it is quantized by");
  }
  if (options.fit !== undefined) return runFit(source, out, options);
  const { pure, requantize, threads, dryRun, json, tensor: overrides, chunks, memory } = options;
  const type = options.type!;
  const importance = options.importance === undefined ? undefined : expandHome(options.importance);
  const calibrated = options.calibrate !== undefined;
  const chosen: QuantizeChoice = { source, type, importance, calibrated, pure, requantize, overrides };
  const plan = planQuantization(chosen);
  for (const warning of plan.warnings) process.stderr.write(`warning: ${escapeLine(warning)}\n`);
  if (dryRun) {
    process.stdout.write(json ? `${jsonDocument(plan)}\n` : `${renderPlan(plan)}${bitsOf(plan)} bits a weight\n`);
    return;
  }
  const text = options.calibrate === undefined ? undefined : readTextFile(expandHome(options.calibrate));
  await runConversion(
    out,
    json,
    async ({ signal, onProgress }) => {
      using calibration =
        text === undefined ? undefined : openCalibration(source, text, { chunks, memory, threads, signal });
      return await quantizeModel({ ...chosen, out, threads, rounding: calibration?.rounding, signal, onProgress });
    },
    (result, seconds) => `${renderWritten(result)}, ${bitsOf(result)} bits a weight, in ${seconds}\n`,
  );
}

function checkTogether({ type, fit, calibrate, importance, ...rest }: QuantizeCommandOptions): void {
  if ((type === undefined) === (fit === undefined)) throw usageError("expected one of --type and --fit");
  if (fit !== undefined && calibrate === undefined) throw usageError("--fit needs a text to measure by: --calibrate");
  if (calibrate !== undefined && importance !== undefined) {
    throw usageError("--calibrate finds out for itself what --importance would say: expected one of them");
  }
  const only = (names: readonly (keyof typeof rest)[], what: string, there: boolean) => {
    const given = names.find((name) => rest[name] !== undefined);
    if (given !== undefined && !there) throw usageError(`--${given} goes with ${what}`);
  };
  only(["chunks", "memory"], "--calibrate", calibrate !== undefined);
  only(["sensitivity", "types"], "--fit", fit !== undefined);
  const plain = rest.tensor ?? rest.pure ?? rest.dryRun;
  if (fit !== undefined && plain !== undefined) throw usageError("--tensor, --pure and --dry-run go with --type");
}

async function runFit(source: string, out: string, options: QuantizeCommandOptions): Promise<void> {
  const { calibrate, fit: size, sensitivity, json, type: _, ...rest } = options;
  const text = readTextFile(expandHome(calibrate!));
  await runConversion(
    out,
    json,
    ({ signal, onProgress, show }) =>
      fitModel({
        ...{ source, out, size: size!, text, signal, onProgress },
        ...pick(rest, ["chunks", "memory", "threads", "types", "requantize"]),
        sensitivity: sensitivity === undefined ? undefined : expandHome(sensitivity),
        onMeasured: ({ tensor }, done, of) =>
          show(`measured ${done} of ${of}  ${Math.floor((100 * done) / of)} %  ${tensor}`),
      }),
    renderFit,
  );
}

function renderFit(result: FitResult, seconds: string): string {
  const { out, choices, bytes, bitsPerWeight, expectedDivergence, measuredDivergence } = result;
  const rows = choices.map((each) => [
    ...[escapeLine(each.tensor), each.type, formatBytes(each.bytes), each.expectedDivergence.toExponential(2)],
  ]);
  const expected = `${expectedDivergence.toFixed(4)} nats of KL divergence expected`;
  const measured =
    measuredDivergence === undefined
      ? "of the text nothing is left to measure it on: grok1 compare does, on another"
      : `${measuredDivergence.mean.toFixed(4)} ± ${measuredDivergence.error.toFixed(4)} measured on ${measuredDivergence.chunks} chunks of the text that come after`;
  return `${table([["tensor", "written as", "size", "costs"], ...rows], [2, 3])}
${escapeLine(out)}: ${formatBytes(bytes)}, ${bitsPerWeight.toFixed(2)} bits a weight, in ${seconds}
${expected}; ${measured}
`;
}

const bitsOf = ({ bitsPerWeight }: QuantizePlan): string => bitsPerWeight.toFixed(2);
