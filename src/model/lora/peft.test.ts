import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openGguf } from "../../formats/gguf/file.ts";
import { relativeError } from "../../kernels/oracle.case.ts";
import { createReference } from "../../kernels/reference/reference.ts";
import { bindModel } from "../registry.ts";
import { adaptOps } from "./apply.ts";
import { readAdapter } from "./read.ts";

const vectors = join(import.meta.dirname, "../../../test/vectors");

it("an adapter that peft made and saved gives the logits that it gives with peft", async () => {
  const folder = join(vectors, "lora/llama");
  const expected = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Record<string, number[]>;
  const file = openGguf(join(vectors, "models/llama.gguf"));
  const ops = createReference();
  const adapted = adaptOps(ops);
  const adapter = adapted.bind(readAdapter(folder, file));
  const tokens = Int32Array.from(expected.tokens!);
  const positions = tokens.map((_, i) => i);
  for (const [scale, wanted] of [
    [1, expected.logits!],
    [0, expected.base!],
  ] as const) {
    adapted.follow(() => [[{ adapter, scale }]]);
    const model = bindModel(adapted.ops, file);
    const cache = model.kvCache({ pages: 1, pageTokens: 16, type: "f32" });
    const sequences = [{ start: 0, count: tokens.length, pages: Int32Array.of(0) }];
    const logits = await model.forward({ tokens, positions, sequences, outputs: positions }, cache);
    const found = Float64Array.from(await ops.read(logits)).slice(-wanted.length);
    expect(relativeError(found, Float64Array.from(wanted))).toBeLessThan(2e-5);
  }
  ops.close();
  file.close();
});
