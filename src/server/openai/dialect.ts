import { type Dialect, endpoint } from "../dialect.ts";
import { eventOf } from "../events.ts";
import { noSuchModel } from "../models.ts";
import { rateLimitHeaders } from "../quota.ts";
import { chatRequest, replyToChat } from "./chat.ts";
import { completionRequest, replyToCompletion } from "./completions.ts";
import { embeddingRequest, replyToEmbedding } from "./embeddings.ts";
import { openAiError } from "./error.ts";
import { fieldNames, seconds } from "./fields.ts";

const began = seconds();
/** Both APIs have this address: Anthropic's clients say theirs. */
const isAnthropic = ({ headers }: Request) => headers.has("anthropic-version");
const describeAsAnthropic = (id: string) => ({
  ...{ type: "model", id, display_name: id, created_at: new Date(began * 1000).toISOString() },
});
const describe = (id: string) => ({ id, object: "model", created: began, owned_by: "grok1" });

/** OpenAI's API, which most clients and other servers speak. */
export const openAi: Dialect = {
  owns: () => true,
  stream: "events",
  fieldNames,
  error: openAiError,
  lateError: (failure) => eventOf(openAiError(failure)),
  limitHeaders: rateLimitHeaders,
  endpoints: {
    "/v1/chat/completions": endpoint(chatRequest, replyToChat),
    "/v1/completions": endpoint(completionRequest, replyToCompletion),
    "/v1/embeddings": endpoint(embeddingRequest, replyToEmbedding),
  },
  lookups: {
    "GET /v1/models": ({ models: { names }, request }) =>
      isAnthropic(request)
        ? {
            ...{ data: names.map(describeAsAnthropic), has_more: false },
            ...{ first_id: names[0] ?? null, last_id: names.at(-1) ?? null },
          }
        : { object: "list", data: names.map(describe) },
    "GET /v1/models/:name{.+}": ({ models, request, param }) => {
      const name = param("name");
      if (models.names.includes(name)) return isAnthropic(request) ? describeAsAnthropic(name) : describe(name);
      throw noSuchModel(name, models.names);
    },
  },
};
