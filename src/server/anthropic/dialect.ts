import { type Dialect, endpoint, immediate } from "../dialect.ts";
import { eventOf } from "../events.ts";
import { anthropicError } from "./error.ts";
import { countRequest, countTokens, fieldNames, messagesRequest, replyToMessages } from "./messages.ts";

/** Anthropic's Messages API. */
export const anthropic: Dialect = {
  owns: (path, headers) =>
    path.startsWith("/v1/messages") || (path.startsWith("/v1/models") && headers.has("anthropic-version")),
  stream: "events",
  fieldNames,
  error: anthropicError,
  lateError: (failure) => eventOf(anthropicError(failure), "error"),
  limitHeaders(left) {
    const headers = left.flatMap(({ what, most, remaining, seconds }) => [
      [`anthropic-ratelimit-${what}-limit`, String(most)],
      [`anthropic-ratelimit-${what}-remaining`, String(remaining)],
      [`anthropic-ratelimit-${what}-reset`, new Date(Date.now() + seconds * 1000).toISOString()],
    ]);
    return Object.fromEntries(headers);
  },
  endpoints: {
    "/v1/messages": endpoint(messagesRequest, replyToMessages),
    "/v1/messages/count_tokens": immediate(countRequest, countTokens),
  },
  lookups: {},
};
