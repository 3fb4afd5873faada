import { GrokError } from "../errors.ts";
import { inTurns } from "../generate/turns.ts";
import type { Served } from "./dialect.ts";

/** Most texts of one request. */
export const mostTexts = 2048;

export interface EmbedWishes {
  /** So many of the first numbers, scaled to length 1 again. */
  readonly dimensions?: number | null | undefined;
  /** Whether a text that is too long is cut, and not refused. */
  readonly truncate?: boolean;
}

/** Texts, or their tokens, as vectors. @throws GrokError `argument`, `capacity` */
export async function embedTexts(
  { model, signal, read }: Served,
  texts: readonly (string | readonly number[])[],
  { dimensions, truncate = false }: EmbedWishes,
) {
  const width = model.description.config!.width;
  if (dimensions != null && dimensions > width) {
    throw new GrokError("argument", `dimensions: ${dimensions} are more than the ${width} of this model`, {
      option: "dimensions",
    });
  }
  const { contextLength } = model.info;
  const tokens: Int32Array[] = [];
  for (const text of texts) {
    const ids = typeof text === "string" ? await inTurns(model.encodeSteps(text)) : Int32Array.from(text);
    tokens.push(truncate ? ids.subarray(0, contextLength) : ids);
  }
  const vectors = await model.embed(tokens, { signal });
  const count = tokens.reduce((sum, { length }) => sum + length, 0);
  read(count);
  return { tokens: count, vectors: dimensions == null ? vectors : vectors.map((vector) => cut(vector, dimensions)) };
}

function cut(vector: Float32Array, dimensions: number): Float32Array {
  const first = vector.subarray(0, dimensions);
  const length = Math.hypot(...first);
  return first.map((value) => (length === 0 ? 0 : value / length));
}
