import { type Dialect, endpoint, immediate } from "../dialect.ts";
import { eventOf } from "../events.ts";
import { anthropicError } from "./error.ts";
import { countRequest, countTokens, fieldNames, messagesRequest, replyToMessages } from "./messages.ts";

/** Anthropic's Messages API. */
export const anthropic: Dialect = {
  owns: (path) => path.startsWith("/v1/messages"),
  stream: "events",
  fieldNames,
  error: anthropicError,
  lateError: (failure) => eventOf(anthropicError(failure), "error"),
  endpoints: {
    "/v1/messages": endpoint(messagesRequest, replyToMessages),
    "/v1/messages/count_tokens": immediate(countRequest, countTokens),
  },
  lookups: {},
};
