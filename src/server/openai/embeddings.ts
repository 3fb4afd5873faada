import { z } from "zod";
import type { Reply, Served } from "../dialect.ts";
import { embedTexts, mostTexts } from "../embeddings.ts";
import { tokenIds } from "../token-ids.ts";

const text = z.string().min(1);

export const embeddingRequest = z.strictObject({
  model: z.string().optional(),
  input: z.union([text, z.array(text).min(1).max(mostTexts), tokenIds, z.array(tokenIds).min(1).max(mostTexts)]),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  dimensions: z.int().min(1).nullish(),
  // What changes no answer here.
  user: z.string().nullish(),
});

/** `POST /v1/embeddings` */
export function replyToEmbedding(request: z.infer<typeof embeddingRequest>, served: Served): Reply {
  const { input, encoding_format: format, dimensions } = request;
  const texts = typeof input === "string" || typeof input[0] === "number" ? [input as string | number[]] : input;
  return {
    async whole() {
      const { vectors, tokens } = await embedTexts(served, texts as (string | number[])[], { dimensions });
      const data = vectors.map((vector, index) => ({
        ...{ object: "embedding", index, embedding: format === "base64" ? base64Of(vector) : [...vector] },
      }));
      return { object: "list", data, model: served.name, usage: { prompt_tokens: tokens, total_tokens: tokens } };
    },
  };
}

/** Float32 values, little-endian, whatever the machine. */
function base64Of(vector: Float32Array): string {
  const bytes = Buffer.alloc(4 * vector.length);
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, 4 * i);
  return bytes.toString("base64");
}
