import { type Dialect, endpoint } from "../dialect.ts";
import { lineOf } from "../events.ts";
import type { Failure } from "../failure.ts";
import { readBody } from "../request.ts";
import { chatRequest, fieldNames, generateRequest, replyToChat, replyToGenerate } from "./answers.ts";
import { listLoaded, listModels, showModel, showRequest } from "./models.ts";

const ollamaError = ({ message }: Failure) => ({ error: message });

/** The release of Ollama's API that this speaks. */
const version = "0.12.0";

/** Ollama's API. */
export const ollama: Dialect = {
  owns: (path) => path.startsWith("/api/"),
  stream: "lines",
  fieldNames,
  error: ollamaError,
  lateError: (failure) => lineOf(ollamaError(failure)),
  endpoints: {
    "/api/chat": endpoint(chatRequest, replyToChat),
    "/api/generate": endpoint(generateRequest, replyToGenerate),
  },
  lookups: {
    "GET /api/tags": ({ models }) => listModels(models),
    "GET /api/ps": ({ models }) => listLoaded(models),
    "GET /api/version": () => ({ version }),
    "POST /api/show": async ({ models, request, bodyBytes }) => {
      const { model } = await readBody(request, showRequest, bodyBytes);
      return showModel(models, model);
    },
  },
};
