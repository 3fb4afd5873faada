import { GrokError } from "../errors.ts";
import type { Ops } from "../kernels/ops.ts";
import type { Decoder } from "./decoder.ts";
import { grok } from "./grok.ts";
import { checkIsModel } from "./kind.ts";
import { llama } from "./llama.ts";
import type { Model, ModelFile, ModelPart } from "./model.ts";
import type { ModelTensor } from "./tensors.ts";

/** Architectures that run, by the name in `general.architecture`. */
const architectures: ReadonlyMap<string, Decoder> = new Map([grok, llama].map((each) => [each.name, each]));

export const architectureNames: readonly string[] = [...architectures.keys()];

/**
 * Binds a file's weights to a backend, or a part of them: names found, shapes checked, nothing copied.
 * @throws GrokError `unsupported` for another architecture or a file that is no model, and what {@link Decoder.bind} throws.
 */
export function bindModel(ops: Ops, file: ModelFile, part?: ModelPart): Model {
  return decoderOf(file).bind(ops, file, part);
}

/** All tensors of a file's model, by their names in both layouts. @throws GrokError as {@link bindModel}. */
export function modelTensors(file: ModelFile): ModelTensor[] {
  return decoderOf(file).tensors(file);
}

/**
 * The tensors that a model of this metadata has, by their names in both layouts, with an output matrix of its own, which may be
 * left out: for a file that is still to be written.
 * @throws GrokError `format` or `unsupported`.
 */
export function expectedTensors(file: ModelFile): ModelTensor[] {
  return findDecoder(file).expected(file);
}

function decoderOf(file: ModelFile): Decoder {
  checkIsModel(file);
  return findDecoder(file);
}

function findDecoder(file: ModelFile): Decoder {
  const architecture = file.metadata.string("general.architecture");
  const found = architectures.get(architecture);
  if (found !== undefined) return found;
  throw new GrokError(
    "unsupported",
    `${file.path}: architecture ${architecture}, expected one of ${architectureNames.join(", ")}`,
    { path: file.path, architecture, known: architectureNames },
  );
}
