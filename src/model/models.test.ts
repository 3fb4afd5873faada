import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { backends } from "../kernels/backends.case.ts";
import { relativeError } from "../kernels/oracle.case.ts";
import { readArrays, runTokens } from "./run.case.ts";

const own = join(import.meta.dirname, "../../test/vectors/models");
const shared = join(import.meta.dirname, "../../../shared/vectors/grok-baby");

/**
 * Largest relative error of all logits. Grok's expected values are float64, stored as float32: a bound this narrow also sees
 * what the norm after a block hides but for its eps, such as a common factor on the experts. mlx-lm computes in float32.
 */
const budgets = {
  reference: { grok: 3e-7, llama: 5e-6 },
  native: { exact: 1e-4, quantized: 2e-2 },
};

const models = [
  { file: join(own, "grok-1"), oracle: "grok", weights: "quantized" },
  { file: join(own, "grok-2"), oracle: "grok", weights: "quantized" },
  { file: join(own, "llama"), oracle: "llama", weights: "exact" },
  { file: join(own, "mixtral"), oracle: "llama", weights: "exact" },
  { file: join(shared, "grok-baby-f32"), oracle: "grok", weights: "exact" },
  { file: join(shared, "grok-baby-q8_0"), oracle: "grok", weights: "quantized" },
  { file: join(shared, "grok-baby-q4_0"), oracle: "grok", weights: "quantized" },
] as const;

describe.each(backends)("models on $name", ({ name, create, skip }) => {
  describe.each(models)("$file", ({ file, oracle, weights }) => {
    const absent = existsSync(`${file}.gguf`) ? skip : "the shared vectors are not there";

    it.skipIf(absent !== undefined)(`gives the expected logits${absent ? ` (skipped: ${absent})` : ""}`, async () => {
      const ops = create();
      const gguf = openGguf(`${file}.gguf`);
      const expected = readArrays(`${file}.expected.safetensors`);
      const tokens = expected.get("tokens") as Int32Array;
      const budget = name === "reference" ? budgets.reference[oracle] : budgets.native[weights];

      const { logits, seen, model } = await runTokens(ops, gguf, tokens);
      expect(relativeError(logits, expected.get("logits")!)).toBeLessThan(budget);
      for (let layer = 0; layer < model.config.layers; layer++) {
        for (const [ours, theirs] of [
          [`l_out.${layer}`, `hidden.${layer}`],
          [`ffn_moe_probs.${layer}`, `router.${layer}`],
        ] as const) {
          const values = expected.get(theirs);
          if (values !== undefined) expect(relativeError(seen.get(ours)!, values), theirs).toBeLessThan(budget);
        }
        const experts = expected.get(`experts.${layer}`);
        if (experts !== undefined && budget <= 1e-4) {
          expect(seen.get(`ffn_moe_probs.chosen.${layer}`)).toEqual([...experts]);
        }
      }

      // Prefill in chunks that end within pages, then one token at a time, is the same computation.
      const whole = tokens.length;
      const chunked = await runTokens(ops, gguf, tokens, { chunks: [7, 1, whole - 11, 1, 1, 1], pageTokens: 3 });
      expect(relativeError(chunked.logits, logits)).toBeLessThan(Math.max(1e-12, budget / 10));
      ops.close();
      gguf.close();
    });
  });
});
