import { readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { writeAtomic } from "../bytes/atomic-write.ts";
import {
  type ConversionPlan,
  type ConvertProgress,
  type ConvertResult,
  planRecipe,
  writeConversion,
} from "../convert/convert.ts";
import { chooseOptions } from "../convert/fit.ts";
import { openSource } from "../convert/open-source.ts";
import { refuseQuantized } from "../convert/quantize.ts";
import { type Recipe, recipeOf } from "../convert/recipe.ts";
import type { ModelSource } from "../convert/source.ts";
import { describeValue, GrokError } from "../errors.ts";
import { checkNames, checkText } from "../options.ts";
import { elementCount } from "../tensor/tensor.ts";
import { encodedBytes, type TensorType } from "../tensor/types.ts";
import { type Calibration, type CalibrationOptions, openCalibration } from "./calibration.ts";
import { compareModels } from "./compare.ts";
import {
  candidateTypes,
  expectedDivergence,
  fitTypes,
  measureSensitivity,
  steadySensitivities,
  type TensorSensitivity,
} from "./sensitivity.ts";

export interface FitOptions extends CalibrationOptions {
  /** A model in numbers that are not rounded yet: a GGUF file. */
  readonly source: string;
  readonly out: string;
  /** Most bytes of the file. */
  readonly size: number;
  /** What the model is to be good at: it is calibrated and measured by this text. */
  readonly text: string;
  /** Where measurements are kept: a run that was interrupted goes on there, and other sizes need none. Default: `OUT.sensitivity.json`. */
  readonly sensitivity?: string | undefined;
  /** Types to choose from. Default: all that errors can be compensated in. */
  readonly types?: readonly TensorType[] | undefined;
  readonly requantize?: boolean | undefined;
  readonly onMeasured?: ((found: TensorSensitivity, done: number, of: number) => void) | undefined;
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
}

export interface FitResult extends ConvertResult {
  readonly bitsPerWeight: number;
  /** Mean KL divergence of a token from the source, in nats, as the sum of what each tensor is expected to cost. */
  readonly expectedDivergence: number;
  /** The same as measured of the file, on what of the text comes after what it was calibrated on. Absent where that fills no chunk. */
  readonly measuredDivergence?: { readonly mean: number; readonly error: number; readonly chunks: number };
  /** In the file's order, of the tensors that there was a choice for. */
  readonly choices: readonly FitChoice[];
}

export interface FitChoice {
  readonly tensor: string;
  readonly type: TensorType;
  readonly bytes: number;
  readonly expectedDivergence: number;
}

/** Chunks of the text, behind those of calibration, that the written file is measured on. */
const heldOutChunks = 8;

/**
 * Writes a model in at most `size` bytes, each tensor in the type that costs least there by what was measured of it, errors compensated.
 * @throws GrokError `argument` for a size that not even the smallest types meet; what calibration, reading and writing throw.
 */
export async function fitModel(options: FitOptions): Promise<FitResult> {
  checkNames("fitModel", options, optionNames);
  checkText("source", options.source);
  checkText("out", options.out);
  checkText("text", options.text);
  if (!(options.size > 0)) {
    const message = `size is ${describeValue(options.size)}, expected a number of bytes`;
    throw new GrokError("argument", message, { option: "size" });
  }
  for (const type of options.types ?? []) {
    if (!fitTypes.includes(type)) {
      const message = `types: ${describeValue(type)} is none to choose from: expected ${fitTypes.join(", ")}`;
      throw new GrokError("argument", message, { option: "types" });
    }
  }
  const { source: path, out, text, sensitivity = `${out}.sensitivity.json`, threads, signal, onProgress } = options;
  const source = openSource(path);
  try {
    if (!options.requantize) {
      refuseQuantized(
        source,
        planRecipe(
          source,
          fitRecipe(source, new Map(), () => "f32"),
        ),
      );
    }
    const calibration = openCalibration(path, text, options);
    try {
      const key = { source: basename(path), bytes: statSync(path).size, rounding: calibration.rounding.id };
      const known = readKnown(sensitivity, key);
      const found = await measureSensitivity(calibration, source, {
        ...{ threads, signal, known },
        async onTensor(each, done, of) {
          known.push(each);
          await writeAtomic(sensitivity, [Buffer.from(`${JSON.stringify({ ...key, tensors: known }, null, 1)}\n`)]);
          options.onMeasured?.(each, done, of);
        },
      });
      const isMixture = source.tensors.some(({ shape }) => shape.length === 3);
      const choices = chooseTypes(source, isMixture ? steadySensitivities(found) : found, isMixture, options);
      const types = new Map(choices.map(({ tensor, type }) => [tensor, type]));
      const recipe = fitRecipe(source, types);
      const write = { out, signal, threads, onProgress, rounding: calibration.rounding };
      const written = await writeConversion(source, recipe, write);
      const elements = source.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
      return {
        ...written,
        bitsPerWeight: (8 * written.tensors.reduce((sum, { bytes }) => sum + bytes, 0)) / elements,
        expectedDivergence: choices.reduce((sum, choice) => sum + choice.expectedDivergence, 0),
        ...(await measureHeldOut(calibration, out, text, { threads, signal })),
        choices,
      };
    } finally {
      calibration.close();
    }
  } finally {
    source.close();
  }
}

const optionNames = Object.keys({
  ...{ source: true, out: true, size: true, text: true, sensitivity: true, types: true, requantize: true },
  ...{ chunks: true, threads: true, memory: true, signal: true, onMeasured: true, onProgress: true },
} satisfies Record<keyof FitOptions, true>);

async function measureHeldOut(
  { path, tokens, chunksLeft }: Calibration,
  out: string,
  text: string,
  options: Pick<FitOptions, "threads" | "signal">,
): Promise<Pick<FitResult, "measuredDivergence">> {
  if (chunksLeft < 1) return {};
  const cut = { context: tokens[0]!.length, skip: tokens.length, chunks: heldOutChunks };
  const { divergence, chunks } = await compareModels(path, out, text, { ...options, ...cut });
  return { measuredDivergence: { mean: divergence.mean, error: divergence.error, chunks } };
}

/** A type for each tensor; those that there is no choice for stay f32, as gains and routers do in every file. */
function fitRecipe(
  source: ModelSource,
  types: ReadonlyMap<string, TensorType>,
  otherwise: (tensor: ModelSource["tensors"][number]) => TensorType = ({ exact, shape, name }) =>
    shape.length === 1 || name.endsWith("ffn_gate_inp.weight") ? "f32" : exact,
): Recipe {
  return recipeOf("fit", source.tensors, (tensor) => {
    const { name } = tensor;
    return types.get(name) ?? otherwise(tensor as ModelSource["tensors"][number]);
  });
}

function chooseTypes(
  source: ModelSource,
  found: readonly TensorSensitivity[],
  isMixture: boolean,
  { size, types, out }: Pick<FitOptions, "size" | "types" | "out">,
): FitChoice[] {
  const shapes = new Map(source.tensors.map(({ name, shape }) => [name, shape]));
  const items = found.map((each) => {
    const shape = shapes.get(each.tensor)!;
    const all = candidateTypes({ name: each.tensor, shape });
    const allowed = all.filter((type) => types === undefined || types.includes(type));
    return (allowed.length > 0 ? allowed : all).map((type) => ({
      type,
      bytes: encodedBytes(type, elementCount(shape)),
      cost: expectedDivergence(each, type, isMixture),
    }));
  });
  const recipeFor = (chosen: readonly number[]) =>
    fitRecipe(source, new Map(found.map(({ tensor }, i) => [tensor, items[i]![chosen[i]!]!.type])));
  const sizeOf = (chosen: readonly number[]): ConversionPlan["bytes"] => planRecipe(source, recipeFor(chosen)).bytes;
  const bytesOf = (chosen: readonly number[]) => chosen.reduce((sum, i, item) => sum + items[item]![i]!.bytes, 0);
  const smallest = items.map((options) => options.reduce((a, { bytes }, i) => (bytes < options[a]!.bytes ? i : a), 0));
  const least = sizeOf(smallest);
  // What is no choice, and padding, whose size hangs on the choice by less than a block each: what goes over is taken off.
  for (let room = size - (least - bytesOf(smallest)); ; ) {
    const chosen = chooseOptions(items, room);
    if (chosen === undefined) {
      throw new GrokError("argument", `${out}: not even the smallest types meet ${size} bytes: these take ${least}`, {
        ...{ path: out, size, least },
      });
    }
    const over = sizeOf(chosen) - size;
    if (over > 0) {
      room -= over;
      continue;
    }
    return chosen.map((option, i) => {
      const { type, bytes, cost } = items[i]![option]!;
      return { tensor: found[i]!.tensor, type, bytes, expectedDivergence: cost };
    });
  }
}

interface Key {
  readonly source: string;
  readonly bytes: number;
  readonly rounding: string;
}

/** What a file of measurements knows, where it is of the same source and calibration. */
function readKnown(path: string, key: Key): TensorSensitivity[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return [];
  }
  try {
    const { tensors, ...rest } = JSON.parse(text) as Key & { tensors: TensorSensitivity[] };
    return JSON.stringify(rest) === JSON.stringify(key) ? tensors : [];
  } catch (error) {
    throw new GrokError("format", `${path}: is no file of measurements`, { path }, error);
  }
}
