import { GrokError } from "../errors.ts";
import type { Ops } from "../kernels/ops.ts";
import { memoryLimit } from "../machine/limits.ts";
import type { TrainConfig } from "./config.ts";
import { createDryOps } from "./dry-ops.ts";
import { bindTrained } from "./full-model.ts";
import type { ParameterCount, ParameterSpec } from "./parameters.ts";
import { countPass, expectedPeak, readMemory, tooLittle } from "./pass-memory.ts";
import { exchangedElements } from "./processes.ts";

/** How a training run fits its memory. */
export interface TrainMemory {
  /** Whether a layer's activations are computed a second time on the way back, in place of being kept: the same result, to the bit. */
  readonly recompute: boolean;
  /** Expected peak in bytes, of all processes together. */
  readonly estimate: number;
  readonly bound: number;
}

/**
 * Bytes that a run may take where nobody says: what the process may use, less a tenth and at least 256 MiB. Beside what is planned
 * stand the pages of data and checkpoints under way and the system's own accounts, which a container counts too.
 */
export const defaultBound = (limit: number) => Math.floor(Math.max(limit / 2, Math.min(0.9 * limit, limit - 2 ** 28)));

/** Values, gradient, two moments, and the sum over replicas. */
const partsOf = (replicas: number) => (replicas > 1 ? 5 : 4);

/**
 * Refuses a model whose parameters alone are more than the machine has room for, before anything is allocated.
 * @throws GrokError `capacity`.
 */
export function checkParameterMemory(
  { path, replicas }: Pick<TrainConfig, "path" | "replicas">,
  { all }: Pick<ParameterCount, "all">,
  { elementBytes }: Pick<Ops, "elementBytes">,
): void {
  const [least, memory] = [elementBytes * partsOf(replicas) * all, memoryLimit()];
  if (least <= memory) return;
  const giga = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  throw new GrokError(
    "capacity",
    `${path}: the model's ${all} parameters take ${giga(least)} in training (values, gradients, moments), and ${giga(memory)} may be used here: make it smaller`,
    { path, least, memory },
  );
}

/**
 * Decides beforehand whether activations are kept, which is quicker, or computed again. The size of passes stays as configured:
 * another packing would be another run.
 * @throws GrokError `capacity` when even the latter does not fit `bound` bytes.
 */
export async function planTraining(
  { path, model, batchTokens, replicas }: TrainConfig,
  specs: readonly ParameterSpec[],
  {
    ops,
    processes,
    bound,
  }: { readonly ops: Pick<Ops, "elementBytes">; readonly processes: number; readonly bound: number },
): Promise<TrainMemory> {
  const { elementBytes } = ops;
  const before = readMemory().anonymous;
  let least = Number.POSITIVE_INFINITY;
  for (const recompute of [false, true]) {
    const dry = createDryOps();
    const parameters = specs.map(({ name, shape }) => dry.ops.parameter(name, shape, new Float32Array(0)));
    const elements = await countPass(
      dry,
      bindTrained(dry.ops, model, parameters, { recompute }),
      batchTokens,
      batchTokens,
    );
    const [parts, all] = [partsOf(replicas), dry.parameterElements()];
    // What processes exchange lies in shared memory, which is theirs as well.
    const exchanged = processes === 1 ? 0 : elementBytes * exchangedElements(all, replicas);
    const estimate = processes * expectedPeak(before, elementBytes * (elements + parts * all)) + exchanged;
    if (estimate <= bound) return { recompute, estimate, bound };
    least = Math.min(least, estimate);
  }
  throw tooLittle(least, bound, `${path}: batchTokens ${batchTokens}`, "fewer batchTokens with more accumulation");
}
