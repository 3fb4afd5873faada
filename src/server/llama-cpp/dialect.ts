import { type Dialect, immediate } from "../dialect.ts";
import { openAi } from "../openai/dialect.ts";
import { rateLimitHeaders } from "../quota.ts";
import { detokenize, detokenizeRequest, tokenize, tokenizeRequest } from "./tokens.ts";

/** Of llama.cpp's own API what others have no word for. */
export const llamaCpp: Dialect = {
  ...openAi,
  owns: () => false,
  limitHeaders: rateLimitHeaders,
  endpoints: {
    "/tokenize": immediate(tokenizeRequest, tokenize),
    "/detokenize": immediate(detokenizeRequest, detokenize),
  },
  lookups: {},
};
