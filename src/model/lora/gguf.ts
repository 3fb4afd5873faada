import { GrokError, shown } from "../../errors.ts";
import { type GgufFile, type GgufTensor, openGguf } from "../../formats/gguf/file.ts";
import { canDecode, decodeRow } from "../../tensor/decode.ts";
import { elementCount, readTensor } from "../../tensor/tensor.ts";
import { encodedBytes } from "../../tensor/types.ts";
import type { ModelFile } from "../model.ts";
import { checkFinite, checkScaled, type LoraAdapter, type LowRankTerm } from "./adapter.ts";
import { type LoraModule, listModules } from "./modules.ts";

/**
 * Reads an adapter as llama.cpp's `convert_lora_to_gguf.py` writes it: beside each tensor NAME of a model `NAME.lora_a`
 * [rank, in] and `NAME.lora_b` [out, rank], of a stack of experts with an axis more, and `adapter.lora.alpha`; rows are in the
 * order of the model's GGUF file. The scale is alpha / rank, or 1 without an alpha.
 *
 * @throws GrokError as `readAdapter`.
 */
export function readGgufAdapter(path: string, model: ModelFile): LoraAdapter {
  const file = openGguf(path);
  try {
    checkKind(file, model);
    const alpha = file.metadata.number("adapter.lora.alpha", 0);
    if (!Number.isFinite(alpha)) {
      throw new GrokError("format", `${path}: adapter.lora.alpha is ${alpha}, expected a number`, { path });
    }
    const targets = new Map<string, LoraModule[]>();
    for (const module of listModules(model)) {
      const known = targets.get(module.tensor);
      if (known === undefined) targets.set(module.tensor, [module]);
      else known.push(module);
    }
    const terms = [...pairTensors(file)].flatMap(([name, { a, b }]) => {
      const modules = targets.get(name);
      if (modules === undefined) throw noTarget(path, name, model);
      if (a === undefined || b === undefined) {
        const missing = a === undefined ? "lora_a" : "lora_b";
        throw new GrokError("format", `${path}: ${name} lacks its ${missing}`, { path, tensor: name });
      }
      return readTerms(path, modules, a, b, alpha);
    });
    if (terms.length === 0) throw new GrokError("format", `${path}: there is no adapter in the file`, { path });
    return { path, terms };
  } finally {
    file.close();
  }
}

function checkKind({ path, metadata }: GgufFile, model: ModelFile): void {
  const kind = metadata.string("general.type", "model");
  if (kind !== "adapter") {
    throw new GrokError("format", `${path}: general.type is ${shown(kind)}, expected an adapter`, { path });
  }
  const type = metadata.string("adapter.type");
  if (type !== "lora") {
    throw new GrokError("unsupported", `${path}: adapter.type is ${shown(type)}, expected lora`, { path });
  }
  const [own, base] = [metadata.string("general.architecture"), model.metadata.string("general.architecture")];
  if (own !== base) {
    throw new GrokError("shape", `${path}: an adapter for ${shown(own)}, and ${model.path} is ${shown(base)}`, {
      path,
    });
  }
  if (metadata.has("adapter.alora.invocation_tokens")) {
    throw new GrokError("unsupported", `${path}: adapter.alora.invocation_tokens is set, which grok1 does not run`, {
      path,
    });
  }
}

function pairTensors(file: GgufFile): Map<string, { a?: GgufTensor; b?: GgufTensor }> {
  const { path } = file;
  for (const { name } of file.opaque.values()) file.tensor(name);
  const pairs = new Map<string, { a?: GgufTensor; b?: GgufTensor }>();
  for (const tensor of file.tensors.values()) {
    const match = /^(.+)\.lora_([ab])$/.exec(tensor.name);
    if (match === null) {
      throw new GrokError(
        "unsupported",
        `${path}: tensor ${tensor.name} is no part of a low-rank adapter that grok1 runs`,
        {
          path,
          tensor: tensor.name,
        },
      );
    }
    pairs.set(match[1]!, { ...pairs.get(match[1]!), [match[2]!]: tensor });
  }
  return pairs;
}

/** One term, or one for each expert of a stack. */
function readTerms(
  path: string,
  modules: readonly LoraModule[],
  a: GgufTensor,
  b: GgufTensor,
  alpha: number,
): LowRankTerm[] {
  const { out, in: input, experts } = modules[0]!;
  const rank = a.shape.at(-2) ?? 0;
  const stack = experts === undefined ? [] : [experts];
  checkShape(path, a, [...stack, Math.max(1, rank), input]);
  checkShape(path, b, [...stack, out, Math.max(1, rank)]);
  const scale = alpha === 0 ? 1 : alpha / rank;
  const [down, up] = [decodeAll(path, a), decodeAll(path, b)];
  checkScaled(path, b.name, up, scale);
  return modules.map((target, i) => ({
    ...{ target, rank, scale },
    a: down.subarray(i * rank * input, (i + 1) * rank * input),
    b: up.subarray(i * out * rank, (i + 1) * out * rank),
  }));
}

function checkShape(path: string, { name, shape }: GgufTensor, expected: readonly number[]): void {
  if (shape.length === expected.length && shape.every((n, axis) => n === expected[axis])) return;
  const [found, wanted] = [shape, expected].map((axes) => `[${axes.join(", ")}]`);
  throw new GrokError("shape", `${path}: tensor ${name} has shape ${found}, expected ${wanted}`, {
    ...{ path, tensor: name, expected, found: shape },
  });
}

function decodeAll(path: string, tensor: GgufTensor): Float32Array {
  if (!canDecode(tensor.type)) {
    throw new GrokError(
      "unsupported",
      `${path}: tensor ${tensor.name} is of type ${tensor.type}, which cannot be read`,
      {
        ...{ path, tensor: tensor.name, type: tensor.type },
      },
    );
  }
  const values = new Float32Array(elementCount(tensor.shape));
  const cols = tensor.shape.at(-1)!;
  const rowBytes = encodedBytes(tensor.type, cols);
  const bytes = readTensor(tensor, 0, tensor.shape[0] ?? 1);
  for (let row = 0; row * cols < values.length; row++) {
    decodeRow(
      tensor.type,
      bytes.subarray(row * rowBytes, (row + 1) * rowBytes),
      values.subarray(row * cols, (row + 1) * cols),
    );
  }
  return checkFinite(path, tensor.name, values);
}

/** An adapter's matrix that the model does not have. */
export function noTarget(path: string, name: string, model: ModelFile): GrokError {
  const tied = /^(?:lm_head|output\.weight|model\.embed_tokens|token_embd\.weight)$/.test(name);
  const why = tied ? ": of embeddings, and of a head that shares them, it is not run" : "";
  return new GrokError(
    "shape",
    `${path}: ${name} is not a matrix of ${model.path} that an adapter can belong to${why}`,
    {
      path,
      module: name,
      model: model.path,
    },
  );
}
