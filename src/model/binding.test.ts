import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { relativeError } from "../kernels/oracle.case.ts";
import { createReference } from "../kernels/reference/reference.ts";
import { placesOf, type Tensor } from "../tensor/tensor.ts";
import type { ModelFile } from "./model.ts";
import { bindModel } from "./registry.ts";
import { readArrays, runTokens } from "./run.case.ts";

const vectors = join(import.meta.dirname, "../../test/vectors/models");
const ops = createReference();
const open: GgufFile[] = [];
const openModel = (name: string): GgufFile => {
  const file = openGguf(join(vectors, `${name}.gguf`));
  open.push(file);
  return file;
};
afterAll(() => {
  for (const file of open) file.close();
  ops.close();
});

/** A file with other metadata values and tensors; undefined takes one away. */
function altered(
  file: GgufFile,
  metadata: Record<string, unknown>,
  tensors: Record<string, Tensor | undefined> = {},
): ModelFile {
  const all = new Map<string, Tensor>(file.tensors);
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor === undefined) all.delete(name);
    else all.set(name, tensor);
  }
  const get = (key: string) => (Object.hasOwn(metadata, key) ? metadata[key] : file.metadata.get(key));
  const typed = (key: string, ...fallback: unknown[]) => {
    const value = get(key) ?? fallback[0];
    if (value === undefined) throw new GrokError("format", `${file.path}: ${key} is missing`);
    return value;
  };
  return { path: file.path, metadata: { get, string: typed, number: typed }, tensors: all } as unknown as ModelFile;
}

function failure(file: ModelFile): GrokError {
  try {
    bindModel(ops, file);
  } catch (error) {
    if (error instanceof GrokError) return error;
    throw error;
  }
  throw new Error("was bound");
}

describe.each(["grok-1", "grok-2", "llama", "mixtral"])("binding %s", (name) => {
  const file = openModel(name);
  const optional = ["output.weight", "rope_freqs.weight"];

  it("names the file and the tensor when one is missing", () => {
    for (const tensor of file.tensors.keys()) {
      // Without these a model is another model: tied, unscaled.
      if (optional.includes(tensor)) continue;
      const error = failure(altered(file, {}, { [tensor]: undefined }));
      expect(error.code, tensor).toBe("shape");
      expect(error.message).toContain(file.path);
      const message = name === "grok-2" && tensor.includes("post_ffw") ? "post_ffw_norm" : tensor;
      if (!tensor.includes("layer_output_norm")) expect(error.message).toContain(message);
    }
  });

  it("names both shapes when one is wrong", () => {
    for (const [tensor, found] of file.tensors) {
      const shape = [...found.shape.slice(0, -1), found.shape.at(-1)! + 32];
      const error = failure(altered(file, {}, { [tensor]: { ...found, shape } }));
      expect(error.code, tensor).toBe("shape");
      expect(error.message).toContain(tensor);
      expect(error.message).toContain(`[${shape.join(", ")}]`);
    }
  });

  it("refuses impossible metadata", () => {
    const arch = file.metadata.string("general.architecture");
    for (const [key, value] of [
      ["block_count", 0],
      ["block_count", 1.5],
      ["block_count", 1e9],
      ["block_count", 2 ** 33],
      ["context_length", 2 ** 40],
      ["embedding_length", -1],
      ["embedding_length", Number.NaN],
      ["attention.head_count", 0],
      ["attention.head_count_kv", 3],
      ["attention.key_length", 1e300],
      ["attention.value_length", 17],
      ["expert_used_count", 100],
      ["rope.dimension_count", 7],
      ["feed_forward_length", 2 ** 60],
    ] as const) {
      expect(["format", "shape", "unsupported"], `${key} = ${value}`).toContain(
        failure(altered(file, { [`${arch}.${key}`]: value })).code,
      );
    }
  });
});

describe("binding", () => {
  it("refuses an architecture it does not know, by name, and no name at all", () => {
    const error = failure(altered(openModel("llama"), { "general.architecture": "toString" }));
    expect(error.code).toBe("unsupported");
    expect(error.message).toMatch(/toString.*grok, llama/);
    expect(failure(altered(openModel("llama"), { "general.architecture": undefined })).code).toBe("format");
  });

  it("refuses llama models with biases, naming the tensor", () => {
    const file = openModel("llama");
    const bias = { ...file.tensors.get("output_norm.weight")!, name: "blk.0.attn_q.bias" };
    const error = failure(altered(file, {}, { "blk.0.attn_q.bias": bias }));
    expect([error.code, error.details.tensor]).toEqual(["unsupported", "blk.0.attn_q.bias"]);
  });

  it("keeps a model with a sliding window within it", () => {
    const file = altered(openModel("llama"), { "llama.attention.sliding_window": 100 });
    expect(bindModel(ops, file).config.contextLength).toBe(100);
    expect(bindModel(ops, openModel("llama")).config.contextLength).toBe(128);
  });

  it("takes Mixtral's experts from one tensor each, as older files have them", async () => {
    const file = openModel("mixtral");
    const changes: Record<string, Tensor | undefined> = {};
    for (const [name, stack] of file.tensors) {
      if (!name.includes("_exps")) continue;
      changes[name] = undefined;
      for (let e = 0; e < stack.shape[0]!; e++) {
        const part = name.replace("_exps.", `.${e}.`);
        changes[part] = { ...stack, name: part, shape: stack.shape.slice(1), places: placesOf(stack, e, e + 1) };
      }
    }
    const expected = readArrays(join(vectors, "mixtral.expected.safetensors"));
    const { logits } = await runTokens(ops, altered(file, {}, changes), expected.get("tokens") as Int32Array);
    expect(relativeError(logits, expected.get("logits")!)).toBeLessThan(1e-5);
  });

  it("gives logits of the asked rows only, the same as when all are asked", async () => {
    for (const name of ["grok-2", "llama"]) {
      const file = openModel(name);
      const tokens = readArrays(join(vectors, `${name}.expected.safetensors`)).get("tokens") as Int32Array;
      const { logits, model } = await runTokens(ops, file, tokens);
      const { vocab } = model.config;
      const cache = model.kvCache({ pages: 1, pageTokens: 32, type: "f32" });
      const n = tokens.length;
      for (const outputs of [[n - 1], [0, 7, 8], []]) {
        const batch = {
          tokens,
          positions: tokens.map((_, i) => i),
          sequences: [{ start: 0, count: n, pages: Int32Array.of(0) }],
          outputs: Int32Array.from(outputs),
        };
        const found = await model.forward(batch, cache);
        expect([found.rows, found.cols]).toEqual([outputs.length, vocab]);
        expect([...(await ops.read(found))]).toEqual(
          outputs.flatMap((row) => logits.slice(row * vocab, (row + 1) * vocab)),
        );
      }
    }
  });

  it("runs sequences together as it runs them alone", async () => {
    const file = openModel("grok-1");
    const tokens = readArrays(join(vectors, "grok-1.expected.safetensors")).get("tokens") as Int32Array;
    const [a, b] = [tokens.slice(0, 9), tokens.slice(9, 20)];
    const alone = [...(await runTokens(ops, file, a)).logits, ...(await runTokens(ops, file, b)).logits];
    const model = bindModel(ops, file);
    const cache = model.kvCache({ pages: 4, pageTokens: 6, type: "f32" });
    const rows = Int32Array.from({ length: 20 }, (_, i) => i);
    const together = await model.forward(
      {
        tokens: tokens.slice(0, 20),
        positions: rows.map((i) => (i < 9 ? i : i - 9)),
        sequences: [
          { start: 0, count: 9, pages: Int32Array.of(3, 0) },
          { start: 9, count: 11, pages: Int32Array.of(2, 1) },
        ],
        outputs: rows,
      },
      cache,
    );
    expect(relativeError(await ops.read(together), alone)).toBeLessThan(1e-12);
  });
});
