import { GrokError } from "../../errors.ts";
import { type Dialect, endpoint } from "../dialect.ts";
import { eventOf } from "../events.ts";
import { chatRequest, replyToChat } from "./chat.ts";
import { completionRequest, replyToCompletion } from "./completions.ts";
import { embeddingRequest, replyToEmbedding } from "./embeddings.ts";
import { openAiError } from "./error.ts";
import { fieldNames, seconds } from "./fields.ts";

const began = seconds();
const describe = (id: string) => ({ id, object: "model", created: began, owned_by: "grok1" });

/** OpenAI's API, which most clients and other servers speak. */
export const openAi: Dialect = {
  owns: () => true,
  stream: "events",
  fieldNames,
  error: openAiError,
  lateError: (failure) => eventOf(openAiError(failure)),
  endpoints: {
    "/v1/chat/completions": endpoint(chatRequest, replyToChat),
    "/v1/completions": endpoint(completionRequest, replyToCompletion),
    "/v1/embeddings": endpoint(embeddingRequest, replyToEmbedding),
  },
  lookups: {
    "GET /v1/models": ({ models }) => ({ object: "list", data: models.names.map(describe) }),
    "GET /v1/models/:name{.+}": ({ models, param }) => {
      const name = param("name");
      if (models.names.includes(name)) return describe(name);
      throw new GrokError("not-found", `there is no model ${JSON.stringify(name)} here`, { option: "model" });
    },
  },
};
