import { counted, GrokError } from "../errors.ts";
import { checkNames, checkText } from "../options.ts";
import { type TensorType, tensorTypes } from "../tensor/types.ts";
import {
  type ConversionPlan,
  type ConvertProgress,
  type ConvertResult,
  planRecipe,
  type Rounding,
  writeConversion,
} from "./convert.ts";
import { type Importance, meanSquares, readImportance } from "./importance.ts";
import { mixtureNamed, type TypeOverride } from "./mixtures.ts";
import { openSource } from "./open-source.ts";
import type { Recipe } from "./recipe.ts";
import type { ModelSource, SourceTensor } from "./source.ts";

/** What to quantize, and how. */
export interface QuantizeChoice {
  /** A model: a GGUF file, or a folder that can be converted. */
  readonly source: string;
  /** A mixture by its name, such as `Q4_K_M`. */
  readonly type: string;
  /** A file of importance, as `grok1 imatrix` or llama.cpp writes it. */
  readonly importance?: string | undefined;
  /** Rounded by calibration, which knows what importance does and more. Default: whether there is a `rounding`. */
  readonly calibrated?: boolean | undefined;
  /** Every matrix in the mixture's main type. */
  readonly pure?: boolean | undefined;
  /** Types of tensors whose names a pattern is found in; the first that fits counts. */
  readonly overrides?: readonly TypeOverride[] | undefined;
  /** Also where the source is quantized already. */
  readonly requantize?: boolean | undefined;
}

export interface QuantizeOptions extends QuantizeChoice {
  readonly out: string;
  readonly threads?: number | undefined;
  /** What rounds in place of the encoder: errors compensated (`openCalibration`). */
  readonly rounding?: Rounding | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
}

export interface QuantizePlan extends ConversionPlan {
  /** Bits of all tensors, by the number of their elements. */
  readonly bitsPerWeight: number;
  /** What will cost more than it must. */
  readonly warnings: readonly string[];
}

/** What {@link quantizeModel} would write. Reads headers, and importance. @throws GrokError as {@link quantizeModel}. */
export function planQuantization(choice: QuantizeChoice): QuantizePlan {
  checkNames("planQuantization", choice, choiceNames);
  const { source, plan } = prepare(choice);
  source.close();
  return plan;
}

/**
 * Writes a model with its matrices in the types of a mixture; errors weigh by importance where that is known. As `convertModel` in all
 * else: a run that was interrupted is continued, memory does not grow with the model, two runs write the same bytes.
 *
 * @throws GrokError `argument` for a mixture or importance that does not go with the model, for a source that is quantized already, and for a
 * value that its type cannot hold; what reading and writing throw.
 */
export async function quantizeModel(options: QuantizeOptions): Promise<ConvertResult & QuantizePlan> {
  checkNames("quantizeModel", options, [...choiceNames, "out", "threads", "rounding", "signal", "onProgress"]);
  const { out, threads, rounding, signal, onProgress, ...choice } = options;
  checkText("out", out);
  const { source, recipe, importance, plan } = prepare({ calibrated: rounding !== undefined, ...choice });
  try {
    const known = importance && {
      sha256: importance.sha256,
      of: (name: string) => {
        const matrix = importance.matrices.get(name);
        return matrix && meanSquares(matrix);
      },
    };
    const written = await writeConversion(source, recipe, {
      ...{ out, signal, onProgress, threads, rounding },
      importance: known,
    });
    return { ...plan, ...written };
  } finally {
    source.close();
  }
}

const choiceNames = Object.keys({
  ...{ source: true, type: true, importance: true, calibrated: true, pure: true, overrides: true, requantize: true },
} satisfies Record<keyof QuantizeChoice, true>);

interface Prepared {
  readonly source: ModelSource;
  readonly recipe: Recipe;
  readonly importance: Importance | undefined;
  readonly plan: QuantizePlan;
}

function prepare(choice: QuantizeChoice): Prepared {
  checkText("source", choice.source);
  checkText("type", choice.type);
  const importance = choice.importance === undefined ? undefined : readImportance(choice.importance);
  const source = openSource(choice.source);
  try {
    const { calibrated = false, pure = false, overrides = [] } = choice;
    const informed = importance !== undefined || calibrated;
    const recipe = mixtureNamed(choice.type, source, { informed, pure, overrides });
    const planned = planRecipe(source, recipe);
    if (!choice.requantize) refuseQuantized(source, planned);
    const missing = importance === undefined ? [] : checkImportance(source, planned, importance);
    const elements = planned.tensors.reduce((sum, { shape }) => sum + count(shape), 0);
    const bits = planned.tensors.reduce((sum, { bytes }) => sum + 8 * bytes, 0);
    const plan = {
      ...planned,
      bitsPerWeight: bits / elements,
      warnings: warningsOf(planned, informed, missing, importance),
    };
    return { source, recipe, importance, plan };
  } catch (error) {
    source.close();
    throw error;
  }
}

const count = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);
const isMatrix = (shape: readonly number[]): boolean => shape.length > 1;

/**
 * Rounding what is rounded already adds both errors, and no search knows the numbers that were there first. Checkpoints in int8, such as
 * Grok-1's, are taken: nothing better was published, and their error is a small part of what fewer bits add.
 */
export function refuseQuantized(source: ModelSource, { tensors }: ConversionPlan): void {
  const isRounded = ({ exact, stored }: SourceTensor): boolean =>
    tensorTypes[exact].blockSize > 1 && !(exact === "q8_0" && stored.startsWith("int8"));
  const found = source.tensors.find((tensor, i) => isRounded(tensor) && tensors[i]!.type !== tensor.exact);
  if (found === undefined) return;
  throw new GrokError(
    "argument",
    `${source.path}: tensor ${found.name} is quantized already (${found.stored}): rounding it again keeps that error and adds the new one. Begin from f16, bf16 or f32, or allow it: --requantize`,
    { path: source.path, tensor: found.name, type: found.exact },
  );
}

/** Names of matrices that importance is not known of. @throws GrokError `argument` where it is of other columns. */
function checkImportance({ path }: ModelSource, { tensors }: ConversionPlan, importance: Importance): string[] {
  const missing: string[] = [];
  for (const { name, shape, type } of tensors) {
    if (!isMatrix(shape) || tensorTypes[type].blockSize === 1) continue;
    const matrix = importance.matrices.get(name);
    if (matrix === undefined) {
      if (name !== "token_embd.weight" && name !== "output.weight") missing.push(name);
      continue;
    }
    const expected = shape.at(-1)! * (shape.length === 3 ? shape[0]! : 1);
    if (matrix.squares.length === expected) continue;
    throw new GrokError(
      "argument",
      `${importance.path}: has ${matrix.squares.length} columns of ${name}, ${path} has ${expected}: it is another model's`,
      { path: importance.path, tensor: name, found: matrix.squares.length, expected },
    );
  }
  return missing;
}

/** Types that lose much where all columns weigh the same. */
const needy: readonly TensorType[] = ["iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "q2_k"];

function warningsOf(
  { tensors }: ConversionPlan,
  informed: boolean,
  missing: string[],
  importance: Importance | undefined,
): string[] {
  const low = tensors.find(({ type }) => needy.includes(type));
  const warnings: string[] = [];
  if (!informed && low !== undefined) {
    warnings.push(`${low.type} without importance loses much: make some with grok1 imatrix, or --calibrate by a text`);
  }
  if (missing.length > 0) {
    warnings.push(
      `${importance!.path} says nothing of ${counted(missing.length, "matrix", "matrices")}, ${missing[0]} among them`,
    );
  }
  const other = tensors.filter(({ shape, type }) => isMatrix(shape) && type === "f16").length;
  const most = tensors.filter(({ shape }) => isMatrix(shape)).length;
  if (other > 0 && 2 * other < most)
    warnings.push(`rows of ${counted(other, "matrix", "matrices")} fill no blocks: these are f16`);
  return warnings;
}
