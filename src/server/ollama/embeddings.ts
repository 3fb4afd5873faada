import { z } from "zod";
import type { Reply, Served } from "../dialect.ts";
import { embedTexts, mostTexts } from "../embeddings.ts";

const common = {
  model: z.string(),
  // About loading the model, which is this server's own affair.
  options: z.record(z.string(), z.unknown()).optional(),
  keep_alive: z.union([z.string(), z.number()]).optional(),
};

const text = z.string().min(1);

export const embedRequest = z.strictObject({
  ...common,
  input: z.union([text, z.array(text).min(1).max(mostTexts)]),
  truncate: z.boolean().default(true),
  dimensions: z.int().min(1).optional(),
});

/** What Ollama had before. */
export const embeddingsRequest = z.strictObject({ ...common, prompt: text });

/** `POST /api/embed` */
export function replyToEmbed(request: z.infer<typeof embedRequest>, served: Served): Reply {
  const { model, input, truncate, dimensions } = request;
  return {
    async whole() {
      const began = performance.now();
      const texts = typeof input === "string" ? [input] : input;
      const { vectors, tokens } = await embedTexts(served, texts, { truncate, dimensions });
      const nanoseconds = Math.round((performance.now() - began) * 1e6);
      const embeddings = vectors.map((vector) => [...vector]);
      return { model, embeddings, total_duration: nanoseconds, load_duration: 0, prompt_eval_count: tokens };
    },
  };
}

/** `POST /api/embeddings` */
export function replyToEmbeddings({ prompt }: z.infer<typeof embeddingsRequest>, served: Served): Reply {
  return {
    async whole() {
      const { vectors } = await embedTexts(served, [prompt], { truncate: true });
      return { embedding: [...vectors[0]!] };
    },
  };
}
