import { z } from "zod";
import { inTurns } from "../../generate/turns.ts";
import type { LanguageModel } from "../../generate/types.ts";
import { tokenIdsFrom } from "../token-ids.ts";

export const tokenizeRequest = z.strictObject({
  model: z.string().optional(),
  content: z.string(),
  /** The beginning-of-text token, where the model's file asks for one. */
  add_special: z.boolean().default(false),
  /** Whether control tokens in the text are read as such. */
  parse_special: z.boolean().default(true),
  with_pieces: z.boolean().default(false),
});

export const detokenizeRequest = z.strictObject({ model: z.string().optional(), tokens: tokenIdsFrom(0) });

/** `POST /tokenize`, with llama.cpp's fields. */
export async function tokenize(request: z.infer<typeof tokenizeRequest>, { tokenizer }: LanguageModel) {
  const { content, add_special: begin, parse_special: special, with_pieces: named } = request;
  const ids = [...(await inTurns(tokenizer.encodeSteps(content, { special, bos: begin && tokenizer.addBos })))];
  return { tokens: named ? ids.map((id) => ({ id, piece: tokenizer.piece(id) })) : ids };
}

/** Tokens that are decoded before others are answered. */
const atATime = 2 ** 14;

/** `POST /detokenize` */
export async function detokenize({ tokens }: z.infer<typeof detokenizeRequest>, { tokenizer }: LanguageModel) {
  const decoder = tokenizer.decoder({ special: true });
  let content = "";
  for (const [i, token] of tokens.entries()) {
    content += decoder.push(token);
    if (i % atATime === atATime - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  return { content: content + decoder.end() };
}
