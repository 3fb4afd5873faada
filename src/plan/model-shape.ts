import { fitRows } from "../convert/fit-rows.ts";
import { mixtureNamed } from "../convert/mixtures.ts";
import type { Metadata } from "../convert/source.ts";
import { GrokError } from "../errors.ts";
import { readConfig } from "../model/config.ts";
import type { ModelConfig, ModelFile } from "../model/model.ts";
import { elementCount } from "../tensor/tensor.ts";
import { encodedBytes, type TensorType, tensorTypes } from "../tensor/types.ts";

/** A model as a plan sees it: what each tensor is for, how large it is, and nothing of what is in it. */
export interface ModelShape {
  readonly name: string;
  readonly config: ModelConfig;
  readonly matrices: readonly MatrixShape[];
  /** Gains of norms a layer. */
  readonly norms: number;
  /** Bytes of all tensors, those that are not matrices with them. */
  readonly bytes: number;
}

/** Matrices of one kind: all of a layer's, or a stack of experts, or the output matrix. */
export interface MatrixShape {
  readonly name: string;
  readonly type: TensorType;
  readonly rows: number;
  readonly columns: number;
  /** Matrices of this name: 1, or the experts. */
  readonly count: number;
  /** How many of them one token is multiplied with. 0: only rows of it are read (an embedding beside an output matrix). */
  readonly used: number;
  /** Of a prompt for its last token alone: the output matrix, and what follows attention in the last layer. */
  readonly lastOnly: boolean;
  /** Multiplied with activations of more than 8 bits, as the architecture binds it. */
  readonly fine: boolean;
  readonly bytes: number;
}

type Named = Pick<ModelFile, "path" | "metadata"> & {
  readonly tensors: ReadonlyMap<string, { readonly type: TensorType; readonly shape: readonly number[] }>;
  readonly opaque?: ModelFile["opaque"];
};

/**
 * What a file's header, or a stand-in for one, says of a model.
 * @throws GrokError as `readConfig`; `unsupported` for a file with tensors of an unknown type.
 */
export function shapeOf(file: Named, name: string): ModelShape {
  const unknown = [...(file.opaque ?? [])][0];
  if (unknown !== undefined) {
    const message = `${file.path}: tensor ${unknown[0]} is of ${unknown[1].typeName}, which grok1 does not know`;
    throw new GrokError("unsupported", message, { path: file.path, tensor: unknown[0] });
  }
  const config = readConfig(file as unknown as ModelFile);
  const untied = file.tensors.has("output.weight");
  const matrices: MatrixShape[] = [];
  const llama = config.architecture !== "grok";
  let vectors = 0;
  let bytes = 0;
  for (const [tensor, { type, shape }] of file.tensors) {
    const size = encodedBytes(type, elementCount(shape));
    bytes += size;
    if (shape.length < 2) {
      if (/^blk\.0\..*norm\.weight$/.test(tensor)) vectors++;
      continue;
    }
    const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
    const count = elementCount(shape.slice(0, -2));
    const embedding = tensor === "token_embd.weight";
    // Files from before stacks have each expert in a tensor of its own, of which a token uses some.
    const single = /\.ffn_(gate|up|down)\.\d+\./.test(tensor) ? config.used / Math.max(1, config.experts) : 1;
    const used = embedding && untied ? 0 : count > 1 ? Math.min(count, config.used) : single;
    const after = new RegExp(`^blk\\.${config.layers - 1}\\.(?!attn_[qkv]\\.)`).test(tensor);
    const head = embedding || tensor === "output.weight";
    const lastOnly = head || after;
    const fine = head || /\.attn_[kv]\.weight$/.test(tensor) || (llama && /\.ffn_down\.weight$/.test(tensor));
    matrices.push({ name: tensor, type, rows, columns, count, used, lastOnly, fine, bytes: size });
  }
  return { name, config, matrices, norms: vectors, bytes };
}

/** The same model with its matrices in another type, but for the router: what `grok1 convert --type` writes. */
export function inType(shape: ModelShape, type: TensorType): ModelShape {
  return retyped(shape, ({ name, columns }) => (/ffn_gate_inp\.weight$/.test(name) ? "f32" : fitRows(type, columns)));
}

/** The same model in a mixture, importance known: what `grok1 quantize --type` writes. @throws GrokError `argument` for a name that is none. */
export function inMixture(shape: ModelShape, mixture: string): ModelShape {
  const { architecture, layers, heads, kvHeads, experts } = shape.config;
  const counts = {
    ...{
      block_count: layers,
      expert_count: experts,
      "attention.head_count": heads,
      "attention.head_count_kv": kvHeads,
    },
  };
  const metadata: Metadata = [
    ["general.architecture", { type: "string", value: architecture }],
    ...Object.entries(counts).map(([key, value]) => [`${architecture}.${key}`, { type: "u32", value }] as const),
  ];
  const options = { informed: true, pure: false, overrides: [] };
  const recipe = mixtureNamed(mixture, { metadata, tensors: shape.matrices }, options);
  return retyped(shape, ({ name, type, count, rows, columns }) =>
    recipe.typeOf({ name, shape: count > 1 ? [count, rows, columns] : [rows, columns], exact: type }),
  );
}

function retyped(shape: ModelShape, typeOf: (matrix: MatrixShape) => TensorType): ModelShape {
  const before = shape.matrices.reduce((sum, { bytes }) => sum + bytes, 0);
  const matrices = shape.matrices.map((matrix): MatrixShape => {
    const into = typeOf(matrix);
    return { ...matrix, type: into, bytes: encodedBytes(into, matrix.count * matrix.rows * matrix.columns) };
  });
  const after = matrices.reduce((sum, { bytes }) => sum + bytes, 0);
  return { ...shape, matrices, bytes: shape.bytes - before + after };
}

/** Bits a weight, over all matrices. */
export function bitsOf({ matrices }: ModelShape): number {
  const elements = matrices.reduce((sum, { count, rows, columns }) => sum + count * rows * columns, 0);
  return (8 * matrices.reduce((sum, { bytes }) => sum + bytes, 0)) / Math.max(1, elements);
}

/** Bytes of matrices that decoding one token reads; of them those of experts, which vary from token to token. */
export function bytesPerToken({ matrices }: ModelShape): { readonly all: number; readonly experts: number } {
  let all = 0;
  let experts = 0;
  for (const { bytes, count, used } of matrices) {
    const read = (bytes * used) / count;
    all += read;
    if (used < count) experts += read;
  }
  return { all, experts };
}

/** Bytes of a type for one weight. */
export function bitsPerWeight(type: TensorType): number {
  const { blockBytes, blockSize } = tensorTypes[type];
  return (8 * blockBytes) / blockSize;
}
