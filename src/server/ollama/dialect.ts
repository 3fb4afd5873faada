import { type Dialect, endpoint, lookWith } from "../dialect.ts";
import { lineOf } from "../events.ts";
import type { Failure } from "../failure.ts";
import { rateLimitHeaders } from "../quota.ts";
import {
  chatGivenBack,
  chatRequest,
  fieldNames,
  generateGivenBack,
  generateRequest,
  replyToChat,
  replyToGenerate,
} from "./answers.ts";
import { embeddingsRequest, embedRequest, replyToEmbed, replyToEmbeddings } from "./embeddings.ts";
import { keepSecondsOf } from "./keep-alive.ts";
import { listLoaded, listModels, showModel, showRequest } from "./models.ts";

const ollamaError = ({ message }: Failure) => ({ error: message });

/** The release of Ollama's API that this speaks. */
const version = "0.12.11";

/** Ollama's API. */
export const ollama: Dialect = {
  owns: (path) => path.startsWith("/api/"),
  stream: "lines",
  fieldNames,
  error: ollamaError,
  lateError: (failure) => lineOf(ollamaError(failure)),
  limitHeaders: rateLimitHeaders,
  endpoints: {
    "/api/chat": endpoint(chatRequest, replyToChat, true, keepSecondsOf, chatGivenBack),
    "/api/generate": endpoint(generateRequest, replyToGenerate, true, keepSecondsOf, generateGivenBack),
    "/api/embed": endpoint(embedRequest, replyToEmbed, true, keepSecondsOf),
    "/api/embeddings": endpoint(embeddingsRequest, replyToEmbeddings, true, keepSecondsOf),
  },
  lookups: {
    "GET /api/tags": ({ models }) => listModels(models),
    "GET /api/ps": ({ models }) => listLoaded(models),
    "GET /api/version": () => ({ version }),
    "POST /api/show": lookWith(showRequest, (asked, { models }) => showModel(models, asked)),
  },
};
