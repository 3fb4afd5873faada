import { statSync } from "node:fs";
import { join } from "node:path";
import { readJsonObject } from "../../bytes/whole-file.ts";
import { GrokError, shown } from "../../errors.ts";
import type { SafetensorsEntry } from "../../formats/safetensors/file.ts";
import { openSafetensorsFolder } from "../../formats/safetensors/folder.ts";
import type { ModelFile } from "../../model/model.ts";
import { expectedTensors } from "../../model/registry.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Metadata, ModelSource, SourceTensor } from "../source.ts";
import { type Config, createConfig } from "./config.ts";
import { grok2Layout, hpcaiGrokLayout, keyfanGrokLayout, sglangGrokLayout } from "./grok.ts";
import type { Description, Layout } from "./layout.ts";
import { llamaLayout } from "./llama.ts";
import { readQuantization } from "./quantization.ts";
import { createTensorStore, type TensorStore } from "./store.ts";
import { sourceTensors } from "./tensors.ts";
import { readTokenizer } from "./tokenizer.ts";

const layouts: readonly Layout[] = [llamaLayout, sglangGrokLayout, hpcaiGrokLayout, keyfanGrokLayout, grok2Layout];

/** What a configuration is at most: those in use are some KB. */
const maxConfigBytes = 2 ** 22;

/** Any folder that no other reader knows: what is missing in it is then told. */
export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/**
 * A folder in Hugging Face's layout: `config.json`, safetensors files, and the tokenizer's files. Headers and the tokenizer are
 * read.
 *
 * @throws GrokError `io`; `format` for damage and contradictions; `shape` for a tensor that is missing or of another shape;
 * `unsupported` naming the field, the tensor or the tokenizer's part that is not understood.
 */
export function openHuggingFaceSource(path: string): ModelSource {
  const config = createConfig(join(path, "config.json"), readJsonObject(join(path, "config.json"), maxConfigBytes));
  const architecture = readArchitecture(config);
  const quantization = readQuantization(path, config);
  const folder = openSafetensorsFolder(path);
  try {
    const store = createTensorStore(folder);
    const layout = findLayout(config, architecture, store);
    const description = layout.describe(config, architecture);
    const metadata = describeModel(description);
    const rename = layout.rename ?? ((name) => name);
    const planned = expectedTensors(modelFile(path, metadata, description)).filter(
      ({ tensor }) => tensor !== "output.weight" || !isTied(store, description, rename),
    );
    const spell = description.spell ?? ((name) => name);
    const tensors = sourceTensors(store, planned, { rename, spell, quantization, cut: layout.cut ?? false });
    store.refuseUnread();
    const tokenizer = readTokenizer(path, config, description);
    return {
      path,
      kind: quantization === undefined ? layout.kind : `${layout.kind}, quantized by ${quantization.method}`,
      metadata: [...metadata, ...tokenizer.metadata],
      tensors: [...describeFactors(description), ...tensors],
      files: [config.path, ...tokenizer.files, ...folder.paths],
      close: folder.close,
    };
  } catch (error) {
    folder.close();
    throw error;
  }
}

function readArchitecture(config: Config): string {
  const names = config.get("architectures");
  const architecture = Array.isArray(names) ? names[0] : undefined;
  if (typeof architecture === "string") return architecture;
  throw config.fail("format", "architectures", "is missing or no list of names; beside xAI's own there is ckpt-0");
}

function findLayout(config: Config, architecture: string, { has }: TensorStore): Layout {
  const layout = layouts.find((each) => each.recognizes(architecture, has));
  if (layout !== undefined) return layout;
  throw config.fail(
    "unsupported",
    "architectures",
    `is ${shown(architecture)}, expected Llama, Mistral, Mixtral, or a Grok-1 or Grok-2 layout`,
  );
}

function describeModel({ architecture, metadata, rope }: Description): Metadata {
  const own = [...metadata, ...(rope?.metadata ?? [])];
  return [
    ["general.architecture", { type: "string", value: architecture }],
    ["general.type", { type: "string", value: "model" }],
    ...own.map(([key, value]) => [`${architecture}.${key}`, value] as const),
  ];
}

/** What an architecture's table is asked with, before there is a file: metadata, and which tensors tell one model from another. */
function modelFile(path: string, metadata: Metadata, { dense }: Description): ModelFile {
  const values = new Map(metadata.map(([key, value]) => [key, "value" in value ? value.value : undefined]));
  const read = (key: string, fallback?: unknown) => {
    const value = values.get(key) ?? fallback;
    if (value !== undefined) return value;
    throw new GrokError("internal", `${path}: metadata key ${key} is missing`, { path, key });
  };
  const tensors = new Map<string, Tensor>();
  const mark = "blk.0.ffn_up.weight";
  if (dense === true) tensors.set(mark, { name: mark, type: "f32", shape: [0], source: path, places: [] });
  return {
    path,
    metadata: {
      get: (key) => values.get(key),
      string: (key: string, fallback?: string) => read(key, fallback) as string,
      number: (key: string, fallback?: number) => read(key, fallback) as number,
    },
    tensors,
  };
}

/**
 * Whether the output matrix is the embedding. As transformers has it: where both are there in spite of a configuration that ties
 * them, only if they are the same.
 */
function isTied(store: TensorStore, { tied }: Description, rename: (name: string) => string): boolean {
  const [head, embedding] = ["lm_head.weight", rename("model.embed_tokens.weight")];
  if (!tied || !store.has(head) || !store.has(embedding)) return tied;
  const [heads, embeddings] = [store.parts(head), store.parts(embedding)];
  return heads.length === embeddings.length && heads.every((part, i) => isSame(part, embeddings[i]!));
}

function isSame(a: SafetensorsEntry, b: SafetensorsEntry): boolean {
  if (a.dtype !== b.dtype || a.byteLength !== b.byteLength) return false;
  const step = 2 ** 24;
  for (let at = 0; at < a.byteLength; at += step) {
    const end = Math.min(at + step, a.byteLength);
    if (Buffer.compare(a.read(at, end), b.read(at, end)) !== 0) return false;
  }
  return true;
}

function describeFactors({ rope }: Description): SourceTensor[] {
  const factors = rope?.factors;
  if (factors === undefined) return [];
  return [
    {
      ...{ name: "rope_freqs.weight", shape: [factors.length], stored: "config.json", storedBytes: 0, exact: "f32" },
      rows: () => [factors.slice()],
    },
  ];
}
