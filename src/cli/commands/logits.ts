import { type Command, Option } from "commander";
import { checkDestination } from "../../bytes/destination.ts";
import type { NamedArray } from "../../engine/consumers/logits.ts";
import { writeSafetensors } from "../../formats/safetensors/write.ts";
import { catchInterrupt } from "../interrupt.ts";
import { addModel, type ModelOptions, modelFiles, openModelOfIds, requireModel, warnOfModel } from "../open-model.ts";
import { addSettings } from "../settings.ts";
import { choice, path, tokenList } from "../values.ts";

interface LogitsCommandOptions extends ModelOptions {
  readonly tokens: readonly number[];
  readonly out: string;
  readonly layers?: true;
}

export function addLogits(program: Command): void {
  const command = program
    .command("logits")
    .description("Write a model's logits for a sequence of tokens, and on request what every layer computed.");
  addModel(command)
    .requiredOption("--tokens <ids>", "token ids with commas between them: 5,300,17", tokenList())
    .requiredOption("-o, --out <path>", "safetensors file to write: tokens [n], logits [n, vocab]", path())
    .option("--layers", "also write hidden.N, router.N and experts.N of every layer N");
  addSettings(command, ["backend", "threads", "memory"]).addOption(
    new Option("--kv-type <type>", "element type of the key/value cache: f32 rounds nothing; f16, q8_0, q4_0")
      .argParser(choice("f32", "f16", "q8_0", "q4_0"))
      .default("f32"),
  );
  command.action((_, options: LogitsCommandOptions) => logits(options));
}

async function logits(options: LogitsCommandOptions): Promise<void> {
  const path = requireModel(options);
  checkDestination(options.out, modelFiles(path), "the model itself");
  using interrupt = catchInterrupt();
  // The context is what these tokens take, whatever is usual.
  await using model = await openModelOfIds(path, {
    ...options,
    context: Math.max(8, options.tokens.length),
  });
  warnOfModel(model);
  const result = await model.logits(options.tokens, { layers: options.layers === true, signal: interrupt.signal });
  const arrays: [string, NamedArray][] = [
    ["tokens", { shape: [options.tokens.length], values: Int32Array.from(options.tokens) }],
    ["logits", result.logits],
    ...result.layers,
  ];
  await writeSafetensors(
    options.out,
    arrays.map(([name, { shape, values }]) => ({
      name,
      dtype: values instanceof Int32Array ? "I32" : "F32",
      shape,
      data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    })),
  );
}
