import { readdirSync } from "node:fs";
import { GrokError } from "../../errors.ts";

const convert = "`grok1 convert` makes a GGUF file of such a model's folder";
/** What it reads are safetensors alone. */
const pickled = "llama.cpp's convert_hf_to_gguf.py makes a GGUF file of such a model's folder";

/** What a file is that does not begin as GGUF does, by its first bytes, and what to do with it. */
export function describeForeign(head: Uint8Array): string {
  const text = Buffer.from(head).toString("latin1");
  if (text.startsWith("version https://git-lfs")) return "it is a Git LFS pointer, the file itself was not downloaded";
  if (text.startsWith("PK\x03\x04")) return `it is an archive, as PyTorch writes weights: ${pickled}`;
  if (/^\x80[\x02-\x05]/.test(text)) return `it is a Python pickle: ${pickled}`;
  if (text[8] === "{") return `it is a safetensors file: ${convert}`;
  if (text.startsWith("{")) return `it is JSON, as the files beside a Hugging Face model are: ${convert}`;
  if (/^(lmgg|fmgg|tjgg|algg)/.test(text)) {
    return "it is GGML's format from before GGUF: llama.cpp's convert_llama_ggml_to_gguf.py makes GGUF of it";
  }
  return `it begins with ${JSON.stringify(text.slice(0, 4))}`;
}

/** What kinds of models come as folders, by what is in them. */
const folders: readonly [RegExp, (name: string) => string][] = [
  [/\.gguf$/, (name) => `name a file in it, such as ${name}`],
  [/\.safetensors$/, () => `it holds a model as safetensors: ${convert}`],
  [/\.(bin|pth?|ckpt)$/, () => `it holds a model as Python pickles: ${pickled}`],
  [
    /^(ckpt-\d+|tensor\d+_\d+)$/,
    () =>
      "it holds a checkpoint as xAI published it: `grok1 convert` makes a GGUF file of the folder that holds ckpt-0",
  ],
];

/** @throws GrokError `io` for a folder, where a model file is wanted. */
export function refuseFolder(path: string): void {
  let names: string[];
  try {
    names = readdirSync(path).sort();
  } catch {
    return; // Not a folder, or one that cannot be read: opening it says what is wrong.
  }
  for (const [pattern, describe] of folders) {
    const name = names.find((each) => pattern.test(each));
    if (name === undefined) continue;
    throw new GrokError("io", `${path}: cannot open: it is a folder: ${describe(name)}`, { path });
  }
}
