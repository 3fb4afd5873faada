import { GrokError } from "../errors.ts";
import type { Ops } from "../kernels/ops.ts";
import { bindGrok } from "./grok.ts";
import { bindLlama } from "./llama.ts";
import type { Model, ModelFile } from "./model.ts";

/** Architectures that run, by the name in `general.architecture`. */
const architectures: Readonly<Record<string, (ops: Ops, file: ModelFile) => Model>> = {
  grok: bindGrok,
  llama: bindLlama,
};

export const architectureNames: readonly string[] = Object.keys(architectures);

/**
 * Binds a file's weights to a backend: names found, shapes checked, nothing copied.
 * @throws GrokError `unsupported` for another architecture, and what its bind function throws.
 */
export function bindModel(ops: Ops, file: ModelFile): Model {
  const architecture = file.metadata.string("general.architecture");
  const bind = Object.hasOwn(architectures, architecture) ? architectures[architecture] : undefined;
  if (bind === undefined) {
    throw new GrokError(
      "unsupported",
      `${file.path}: architecture ${architecture}, expected one of ${architectureNames.join(", ")}`,
      { path: file.path, architecture, known: architectureNames },
    );
  }
  return bind(ops, file);
}
