import { leastContext } from "../engine/options.ts";
import { counted, GrokError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

export const defaultChunkTokens = 512;

/** Where in a chunk of `context` tokens scoring begins: at the first that has half a chunk before it, and one more. */
export const firstScored = (context: number): number => Math.floor(context / 2) + 1;

/**
 * Cuts tokens into chunks of `context`, each to be read afresh, its first token replaced by the beginning-of-text token where the
 * model's file asks for one. A remainder that fills no chunk is left out; so is what is past `most` chunks.
 * @throws GrokError `argument` for a chunk of fewer than 8 tokens, and where `least` chunks are not filled.
 */
export function cutChunks(
  tokens: Int32Array,
  { addBos, bos }: Pick<Tokenizer, "addBos" | "bos">,
  {
    context,
    most = Number.POSITIVE_INFINITY,
    least,
    what,
  }: { context: number; most?: number; least: number; what: string },
): Int32Array[] {
  if (!Number.isSafeInteger(context) || context < leastContext) {
    throw new GrokError(
      "argument",
      `${what}: context ${context}: expected a whole number of at least ${leastContext}`,
      { context },
    );
  }
  if (tokens.length < least * context) {
    throw new GrokError(
      "argument",
      `${what}: the text has ${counted(tokens.length, "token")}; chunks of ${context} need at least ${least * context}`,
      { tokens: tokens.length, context },
    );
  }
  return Array.from({ length: Math.min(Math.floor(tokens.length / context), most) }, (_, index) => {
    const chunk = tokens.slice(index * context, (index + 1) * context);
    if (addBos && bos !== undefined) chunk[0] = bos;
    return chunk;
  });
}
