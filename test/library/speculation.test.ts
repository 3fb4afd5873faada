import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { tensorChunks } from "../../src/convert/copy.ts";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { writeGguf } from "../../src/formats/gguf/write.ts";
import { loadModel } from "../../src/index.ts";
import { withoutAddon } from "../support/addon.ts";

const models = fileURLToPath(new URL("../vectors/models", import.meta.url));

/** The same model with room for a longer text. */
async function stretchContext(from: string, to: string, contextLength: number): Promise<void> {
  const file = openGguf(from);
  try {
    const metadata = [...file.metadata.keys()].map(
      (key) =>
        [
          key,
          key.endsWith(".context_length") ? { type: "u32" as const, value: contextLength } : file.metadata.encoded(key),
        ] as const,
    );
    const tensors = [...file.tensors.values()].map((tensor) => {
      const { name, shape, type } = tensor;
      return { name, shape, type, data: () => tensorChunks(tensor) };
    });
    await writeGguf(to, { metadata, tensors });
  } finally {
    file.close();
  }
}

describe.skipIf(withoutAddon !== "")(`speculation on the native backend${withoutAddon}`, () => {
  for (const name of ["grok-1", "llama"]) {
    it(`changes no token of ${name}, a long way into a text`, async () => {
      const folder = mkdtempSync(join(tmpdir(), "grok1-speculation-"));
      try {
        const path = join(folder, `${name}.gguf`);
        await stretchContext(join(models, `${name}.gguf`), path, 1024);
        const options = { backend: "native", threads: 2 } as const;
        await using plain = await loadModel(path, { ...options, speculate: false });
        await using speculating = await loadModel(path, { ...options, speculate: { always: true } });
        // A text of more than 700 tokens that repeats itself, never quite.
        const prompt = Array.from({ length: 720 }, (_, i) => 3 + (((i % 37) * 7 + Math.floor(i / 111)) % 200));
        for (const temperature of [0, 0.6]) {
          const request = { temperature, seed: 3, maxTokens: 200, ignoreEnd: true, logprobs: 0 };
          const expected = await plain.generate(prompt, request).result;
          const found = await speculating.generate(prompt, request).result;
          expect(found.tokens).toEqual(expected.tokens);
          expect(found.logprobs).toEqual(expected.logprobs);
          expect(expected.usage.draftedTokens).toBe(0);
          if (temperature === 0) expect(found.usage.draftedTokens).toBeGreaterThan(0);
        }
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }
});
