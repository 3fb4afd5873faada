import { GrokError, shown } from "../errors.ts";
import type { TensorTable } from "./architecture.ts";
import type { ModelFile } from "./model.ts";
import { hasTensor, layerTensorName, specsOf, tensorNames } from "./weights.ts";

/**
 * A file that says more than its architecture's code reads is another model under the same name, and would give another text without
 * a word: what changes the result and is not read is refused by name.
 */

/** Metadata under the architecture's prefix that say what else is known, or are for other uses than text. */
const harmlessKeys = [
  ...["vocab_size", "tensor_data_layout", "pooling_type", "attention.layer_norm_epsilon"],
  // Sequences are kept to the window, which is read: within it all layers are the same.
  "attention.sliding_window_pattern",
  // Read where the scaling's type asks for them.
  ...["rope.scaling.finetuned", "rope.scaling.original_context_length"],
  ...["rope.scaling.yarn_ext_factor", "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"],
];

/** Values at which a key changes nothing, where these are others than 0, false, "none" and what is empty. */
const neutral: Readonly<Record<string, readonly unknown[]>> = {
  ...{ "attention.causal": [true], expert_weights_norm: [true] },
  // Softmax, in the field's numbering; 0 is none named.
  expert_gating_func: [0, 1],
  ...Object.fromEntries(
    ["expert_group_count", "expert_group_used_count", "moe_every_n_layers", "interleave_moe_layer_step"].map((key) => [
      key,
      [0, 1],
    ]),
  ),
};

/** What converters of older files kept of rotary embeddings: the frequencies that the base gives. */
const harmlessTensor = /^blk\.\d+\.attn_rot_embd(\.weight)?$/;

export interface ReadFile {
  readonly file: ModelFile;
  /** Full names of the metadata that were asked for so far. */
  readonly keys: ReadonlySet<string>;
}

/** The file, and a record of what is asked of its metadata. */
export function recordReads(file: ModelFile): ReadFile {
  const keys = new Set<string>();
  const noted =
    <A extends unknown[], R>(getter: (key: string, ...rest: A) => R) =>
    (key: string, ...rest: A): R => {
      keys.add(key);
      return getter(key, ...rest);
    };
  const { metadata } = file;
  const [string, number] = [noted(metadata.string), noted(metadata.number)] as [
    typeof metadata.string,
    typeof metadata.number,
  ];
  return { file: { ...file, metadata: { ...metadata, get: noted(metadata.get), string, number } }, keys };
}

/** What an architecture's layers have, and what else it reads or may leave unread. */
export interface Known {
  readonly architecture: string;
  readonly layers: number;
  readonly table: TensorTable;
  /** Tensors beside the layers'. */
  readonly tensors: readonly string[];
  /** Keys without the architecture's prefix. */
  readonly harmless: readonly string[];
  readonly keys: ReadonlySet<string>;
}

/** @throws GrokError `unsupported` naming the tensor or the key. */
export function refuseUnread(file: ModelFile, known: Known): void {
  const { path, metadata } = file;
  const { architecture } = known;
  const tensors = new Set(known.tensors);
  for (let layer = 0; layer < known.layers; layer++) {
    for (const spec of specsOf(known.table)) {
      const name = layerTensorName(file, layer, spec);
      const single = spec.shape.length === 3 && !hasTensor(file, name);
      const names = single
        ? Array.from({ length: spec.shape[0]! }, (_, e) => name.replace("_exps.", `.${e}.`))
        : [name];
      for (const each of names) tensors.add(each);
    }
  }
  for (const name of tensorNames(file)) {
    if (tensors.has(name) || harmlessTensor.test(name)) continue;
    throw new GrokError(
      "unsupported",
      `${path}: tensor ${shown(name)} is none of a ${architecture} model's as grok1 runs it: a model with it gives other results`,
      { path, tensor: name },
    );
  }
  const prefix = `${architecture}.`;
  for (const full of metadata.keys?.() ?? []) {
    if (!full.startsWith(prefix) || known.keys.has(full)) continue;
    const key = full.slice(prefix.length);
    if (harmlessKeys.includes(key) || known.harmless.includes(key)) continue;
    const value = metadata.get(full);
    if (isNeutral(key, value)) continue;
    throw new GrokError(
      "unsupported",
      `${path}: ${shown(full)} is ${shown(value)}, which grok1 does not follow: a model that does gives other results`,
      { path, key: full },
    );
  }
}

function isNeutral(key: string, value: unknown): boolean {
  if (typeof value === "object" && value !== null) {
    return Array.from(value as ArrayLike<unknown>).every((each) => isNeutral(key, each));
  }
  if (/(scale|factor)$/.test(key) && value === 1) return true;
  // A file may call its key what every object inherits.
  const values = Object.hasOwn(neutral, key) ? neutral[key]! : [0, 0n, false, "", "none"];
  return values.includes(value);
}
