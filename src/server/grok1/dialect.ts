import type { Dialect } from "../dialect.ts";
import { eventOf } from "../events.ts";
import { openAiError } from "../openai/error.ts";
import { rateLimitHeaders } from "../quota.ts";
import { describe, statusOf } from "./status.ts";

/** What no other server has a word for: how it does at this moment, and what its models are. */
export const grok1: Dialect = {
  owns: (path) => path.startsWith("/grok1/"),
  stream: "events",
  fieldNames: {},
  error: openAiError,
  lateError: (failure) => eventOf(openAiError(failure)),
  limitHeaders: rateLimitHeaders,
  endpoints: {},
  lookups: {
    "GET /grok1/status": ({ models, load }) => statusOf(models, load),
    "GET /grok1/models/:name{.+}": ({ models, preferred, param }) => describe(models, param("name"), preferred),
  },
};
