import { z } from "zod";
import type { LanguageModel } from "../../generate/types.ts";

export const tokenizeRequest = z.strictObject({
  model: z.string().optional(),
  content: z.string(),
  /** The beginning-of-text token, where the model's file asks for one. */
  add_special: z.boolean().default(false),
  /** Whether control tokens in the text are read as such. */
  parse_special: z.boolean().default(true),
  with_pieces: z.boolean().default(false),
});

export const detokenizeRequest = z.strictObject({ model: z.string().optional(), tokens: z.array(z.int().min(0)) });

/** `POST /tokenize`, with llama.cpp's fields. */
export function tokenize(request: z.infer<typeof tokenizeRequest>, { tokenizer }: LanguageModel) {
  const { content, add_special: begin, parse_special: special, with_pieces: named } = request;
  const ids = [...tokenizer.encode(content, { special, bos: begin && tokenizer.addBos })];
  return { tokens: named ? ids.map((id) => ({ id, piece: tokenizer.piece(id) })) : ids };
}

/** `POST /detokenize` */
export function detokenize({ tokens }: z.infer<typeof detokenizeRequest>, { tokenizer }: LanguageModel) {
  return { content: tokenizer.decode(tokens, { special: true }) };
}
