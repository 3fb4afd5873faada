import { z } from "zod";
import { inTurns } from "../../generate/turns.ts";
import type { LanguageModel } from "../../generate/types.ts";
import type { Steps } from "../../tokenizer/steps.ts";
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

/** Tokens that are decoded, or named, before others are answered. */
const atATime = 2 ** 14;

/** `POST /tokenize`, with llama.cpp's fields. */
export async function tokenize(request: z.infer<typeof tokenizeRequest>, { tokenizer }: LanguageModel) {
  const { content, add_special: begin, parse_special: special, with_pieces: named } = request;
  function* list(): Steps<unknown[]> {
    const ids = yield* tokenizer.encodeSteps(content, { special, bos: begin && tokenizer.addBos });
    const tokens: unknown[] = [];
    for (const [i, id] of ids.entries()) {
      if (i % atATime === 0) yield;
      tokens.push(named ? { id, piece: tokenizer.piece(id) } : id);
    }
    return tokens;
  }
  return { tokens: await inTurns(list()) };
}

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
