import { counted, GrokError } from "../errors.ts";
import type { XaiTensor } from "../formats/xai/checkpoint.ts";
import { grok1Config, type XaiConfig } from "../formats/xai/config.ts";

/** A model's measures, from its tensors where they tell. */
export interface XaiMeasures {
  readonly layers: number;
  readonly width: number;
  readonly vocab: number;
  readonly context: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly experts: number;
  readonly used: number;
  /** Width of an expert. */
  readonly hidden: number;
  readonly attentionScale: number;
  readonly embeddingScale: number;
  readonly logitScale: number;
}

/**
 * Measures from tensors; what they cannot tell from the configuration, or Grok-1's; what both tell has to agree.
 * @param where the configuration's file, or the folder without one, for messages.
 * @throws GrokError `shape`.
 */
export function readMeasures(tensors: ReadonlyMap<string, XaiTensor>, config: XaiConfig, where: string): XaiMeasures {
  const shapeOf = (name: string, axes: number): readonly number[] => {
    const { weight, path } = tensors.get(name)!;
    if (weight.shape.length === axes && !weight.shape.includes(0)) return weight.shape;
    throw new GrokError("shape", `${path}: ${name} is of shape [${weight.shape.join(", ")}], expected ${axes} axes`, {
      path,
      tensor: name,
    });
  };
  const first = (name: string, axes: number) => shapeOf(`transformer/decoder_layer_0/${name}`, axes);
  const [vocab, width] = shapeOf("language_model/in_out_embed:embeddings", 2) as [number, number];
  const [experts, , hidden] = first("moe/linear:w", 3) as [number, number, number];
  const queryColumns = first("multi_head_attention/query:w", 2)[1]!;
  const keyColumns = first("multi_head_attention/key:w", 2)[1]!;
  const layers = (tensors.size - 2) / 12;

  const disagree = (key: string, said: number, told: string) =>
    new GrokError("shape", `${where}: ${key} is ${said}, and ${told}`, { path: where, key, said });
  const headSize = config.key_size ?? headSizeBy(config, queryColumns, keyColumns) ?? grok1Config.key_size;
  const heads = queryColumns / headSize;
  const kvHeads = keyColumns / headSize;
  if (!Number.isInteger(heads) || !Number.isInteger(kvHeads) || heads % kvHeads !== 0 || headSize % 2 !== 0) {
    throw disagree(
      "key_size",
      headSize,
      `queries of ${queryColumns} and keys of ${keyColumns} columns are not whole heads of that, shared evenly`,
    );
  }
  const told: Partial<Record<keyof XaiConfig, number>> = {
    ...{ num_layers: layers, emb_size: width, model_size: width, vocab_size: vocab, num_experts: experts },
    ...{ num_q_heads: heads, num_kv_heads: kvHeads },
  };
  for (const [key, value] of Object.entries(told) as [keyof XaiConfig, number][]) {
    const said = config[key] as number | undefined;
    if (said !== undefined && said !== value) throw disagree(key, said, `the tensors say ${value}`);
  }
  const { widening_factor: factor } = config;
  if (factor !== undefined && expertWidth(width, factor) !== hidden) {
    throw disagree("widening_factor", factor, `experts are ${hidden} wide, not ${expertWidth(width, factor)}`);
  }
  const settings = { ...grok1Config, ...config };
  if (settings.num_selected_experts > experts) {
    throw disagree("num_selected_experts", settings.num_selected_experts, `there are ${counted(experts, "expert")}`);
  }
  return {
    ...{ layers, width, vocab, heads, kvHeads, headSize, experts, hidden },
    used: settings.num_selected_experts,
    context: settings.sequence_len,
    attentionScale: settings.attn_output_multiplier,
    embeddingScale: settings.embedding_multiplier_scale,
    logitScale: settings.output_multiplier_scale,
  };
}

function headSizeBy({ num_q_heads, num_kv_heads }: XaiConfig, queries: number, keys: number): number | undefined {
  if (num_q_heads !== undefined) return queries / num_q_heads;
  return num_kv_heads === undefined ? undefined : keys / num_kv_heads;
}

/** `ffn_size` of model.py. */
function expertWidth(width: number, factor: number): number {
  const size = Math.floor((Math.trunc(factor * width) * 2) / 3);
  return size + ((((8 - size) % 8) + 8) % 8);
}

/** Every layer's tensors have the first one's shapes, and fit each other. @throws GrokError `shape`, `unsupported`. */
export function checkShapes(tensors: readonly XaiTensor[], measures: XaiMeasures): void {
  const { width, vocab, experts, hidden, heads, kvHeads, headSize } = measures;
  const expected: Readonly<Record<string, readonly number[]>> = {
    "in_out_embed:embeddings": [vocab, width],
    "moe/linear:w": [experts, width, hidden],
    "moe/linear_v:w": [experts, width, hidden],
    "moe/linear_1:w": [experts, hidden, width],
    "multi_head_attention/key:w": [width, kvHeads * headSize],
    "multi_head_attention/value:w": [width, kvHeads * headSize],
    "multi_head_attention/query:w": [width, heads * headSize],
    "multi_head_attention/linear:w": [heads * headSize, width],
    "router:w": [width, experts],
  };
  for (const { name, path, weight, scales } of tensors) {
    const key = Object.keys(expected).find((end) => name.endsWith(`/${end}`));
    const shape = key === undefined ? [width] : expected[key]!;
    if (weight.shape.length !== shape.length || weight.shape.some((length, axis) => length !== shape[axis])) {
      throw new GrokError(
        "shape",
        `${path}: ${name} is of shape [${weight.shape.join(", ")}], expected [${shape.join(", ")}]`,
        { path, tensor: name },
      );
    }
    if (scales !== undefined && name.endsWith(":embeddings")) {
      throw new GrokError("unsupported", `${path}: ${name} is quantized, expected an array`, { path, tensor: name });
    }
  }
}
