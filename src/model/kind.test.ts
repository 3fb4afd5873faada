import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { writeGguf } from "../formats/gguf/write.ts";
import { createReference } from "../kernels/reference/reference.ts";
import { bindModel, modelTensors } from "./registry.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-kind-"));
afterAll(() => rmSync(folder, { recursive: true }));

const weight = { name: "blk.0.x", type: "f32", shape: [1], data: () => [new Uint8Array(4)] } as const;

it.each([
  ["an adapter", { type: "adapter", architecture: "llama" }, [weight], /a low-rank adapter, .*--lora/],
  [
    "a projector",
    { type: "mmproj", architecture: "clip" },
    [weight],
    /\(mmproj\), no model: load the text model's own file/,
  ],
  ["an older projector", { architecture: "clip" }, [weight], /\(mmproj\), no model/],
  ["an importance matrix", { type: "imatrix", architecture: "llama" }, [weight], /an importance matrix/],
  ["a control vector", { architecture: "controlvector" }, [weight], /a control vector/],
  ["a vocabulary", { architecture: "llama" }, [], /a vocabulary without weights, no model: tokenize reads it/],
  [
    "a kind of tomorrow",
    { type: "dataset", architecture: "llama" },
    [weight],
    /general\.type is "dataset", expected a model/,
  ],
])("says of %s what it is, and what to do", async (name, general, tensors, message) => {
  const path = join(folder, `${name}.gguf`);
  const metadata = Object.entries(general).map(
    ([key, value]) => [`general.${key}`, { type: "string", value }] as const,
  );
  await writeGguf(path, { metadata, tensors });
  const file = openGguf(path);
  const ops = createReference();
  for (const use of [() => bindModel(ops, file), () => modelTensors(file)]) {
    expect(use).toThrow(message);
    expect(use).toThrow(expect.objectContaining({ code: "unsupported" }));
  }
  ops.close();
  file.close();
});
