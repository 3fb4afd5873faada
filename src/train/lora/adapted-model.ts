import { createHash } from "node:crypto";
import { GrokError } from "../../errors.ts";
import type { GradOps, Parameter } from "../../kernels/grad-ops.ts";
import type { Weight } from "../../kernels/ops.ts";
import type { LowRankTerm } from "../../model/lora/adapter.ts";
import { type LoraModule, listModules, loraTargets } from "../../model/lora/modules.ts";
import type { ModelFile } from "../../model/model.ts";
import { bindModel } from "../../model/registry.ts";
import { createRandom } from "../../sampling/random.ts";
import { elementCount, type Tensor } from "../../tensor/tensor.ts";
import type { TapedModel } from "../objective.ts";
import { createTape } from "../tape.ts";

export interface AdapterShape {
  readonly rank: number;
  /** B A is multiplied by alpha / rank. */
  readonly alpha: number;
  /** Groups (attention, experts, router) or, as in `peft`, the last part of modules' names (q_proj, w1). */
  readonly targets: readonly string[];
}

/** A tensor of the model with the modules that lie in it: one, or the experts of a stack in order. */
interface AdaptedTensor {
  readonly tensor: string;
  readonly modules: readonly LoraModule[];
}

/** The tensors that an adapter of this shape belongs to. @throws GrokError `argument` for a rank or targets that cannot be. */
export function adaptedTensors(file: ModelFile, { rank, targets }: AdapterShape): AdaptedTensor[] {
  const tensors = new Map<string, LoraModule[]>();
  for (const module of listModules(file)) {
    if (module.target === "output" || !targets.some((target) => isTarget(module, target))) continue;
    const known = tensors.get(module.tensor);
    if (known === undefined) tensors.set(module.tensor, [module]);
    else known.push(module);
  }
  const found = [...tensors].map(([tensor, modules]) => ({ tensor, modules }));
  const all = found.flatMap(({ modules }) => modules);
  for (const target of targets) {
    if (all.some((module) => isTarget(module, target))) continue;
    const known = [...new Set([...loraTargets, ...listModules(file).map(nameOf)])].filter((name) => name !== "lm_head");
    throw new GrokError(
      "argument",
      `${file.path}: there is nothing for the target ${target}: expected some of ${known.join(", ")} (router and experts where the model has them)`,
      {
        path: file.path,
        target,
      },
    );
  }
  const most = Math.min(
    ...all.filter(({ target }) => target !== "router").map((module) => Math.min(module.out, module.in)),
  );
  if (!(Number.isInteger(rank) && rank >= 1 && rank <= most)) {
    throw new GrokError(
      "argument",
      `rank is ${rank}, expected a whole number from 1 to ${most}, the smallest side of the matrices adapted (8 to 64 is usual)`,
      { rank, most },
    );
  }
  return found;
}

const nameOf = ({ module }: LoraModule) => module.split(".").at(-1)!;
const isTarget = (module: LoraModule, target: string) => module.target === target || nameOf(module) === target;

/** A frozen model with trainable low-rank terms, on a tape. */
export interface AdaptedModel extends TapedModel {
  /** A and B of each tensor. */
  readonly parameters: readonly Parameter[];
  /** The terms as they stand now. */
  terms(): LowRankTerm[];
}

/**
 * Binds a model with an adapter. B begins at zero, so that nothing is changed at first, and A uniform within ± 1 / sqrt(in), as in
 * `peft`; values depend on the seed and the tensor's name alone.
 */
export function adaptModel(
  ops: GradOps,
  file: ModelFile,
  shape: AdapterShape,
  options: { readonly seed: number; readonly recompute: boolean; readonly draw?: boolean },
): AdaptedModel {
  const { rank, alpha } = shape;
  const pairs = new Map(
    adaptedTensors(file, shape).map(({ tensor, modules }) => {
      const [first] = modules as [LoraModule];
      const stack = first.expert === undefined ? [] : [modules.length];
      const make = (name: string, sides: number[], values: (length: number) => Float32Array) =>
        ops.parameter(`${tensor}.${name}`, [...stack, ...sides], values(elementCount([...stack, ...sides])));
      const none = new Float32Array(0);
      const a = make("lora_a", [rank, first.in], (length) =>
        options.draw === false ? none : drawUniform(length, 1 / Math.sqrt(first.in), `${options.seed}/${tensor}`),
      );
      const b = make("lora_b", [first.out, rank], (length) =>
        options.draw === false ? none : new Float32Array(length),
      );
      return [tensor, { modules, a, b }] as const;
    }),
  );
  const bind = (tensor: Tensor): Weight => {
    const weight = ops.weight(tensor);
    const pair = pairs.get(tensor.name);
    return pair === undefined ? weight : ops.lowRank(weight, pair.a, pair.b, alpha / rank);
  };
  const tape = createTape(ops, { bind, recompute: options.recompute });
  const model = bindModel(tape.ops, file);
  return {
    ...{ tape, model, cache: model.kvCache({ pages: 0, pageTokens: 1, type: "f32" }) },
    parameters: [...pairs.values()].flatMap(({ a, b }) => [a, b]),
    terms: () =>
      [...pairs.values()].flatMap(({ modules, a, b }) => {
        const [as, bs] = [a, b].map((parameter) => Float32Array.from(ops.readParameter(parameter, "values")));
        return modules.map((target, i): LowRankTerm => {
          const [sizeA, sizeB] = [rank * target.in, target.out * rank];
          return {
            ...{ target, rank, scale: alpha / rank },
            a: as!.subarray(i * sizeA, (i + 1) * sizeA),
            b: bs!.subarray(i * sizeB, (i + 1) * sizeB),
          };
        });
      }),
  };
}

function drawUniform(length: number, bound: number, name: string): Float32Array {
  const random = createRandom(createHash("sha256").update(name).digest().readUIntLE(0, 6));
  return Float32Array.from({ length }, () => (2 * random.uniform() - 1) * bound);
}
