import { GrokError } from "../../errors.ts";
import { type Dialect, endpoint, type Lookup } from "../dialect.ts";
import { eventOf } from "../events.ts";
import { openAiError } from "../openai/error.ts";
import { fieldNames } from "../openai/fields.ts";
import { rateLimitHeaders } from "../quota.ts";
import { countInput, countRequest, replyToResponse, responseRequest } from "./responses.ts";
import type { StoredResponse } from "./store.ts";

/** OpenAI's newer API, whose answers are items and can be gone on from. */
export const responses: Dialect = {
  owns: (path) => path.startsWith("/v1/responses"),
  stream: "events",
  fieldNames: { ...fieldNames, maxTokens: "max_output_tokens" },
  error: openAiError,
  lateError(failure) {
    const { code, message, param, type } = openAiError(failure).error;
    return eventOf({ type: "error", code: code ?? type, message, param }, "error");
  },
  limitHeaders: rateLimitHeaders,
  endpoints: {
    "/v1/responses": endpoint(responseRequest, (request, served) => replyToResponse(request, served, served.responses)),
    "/v1/responses/input_tokens": endpoint(
      countRequest,
      (request, { model, responses }) => ({ whole: async () => countInput(request, model, responses) }),
      false,
    ),
  },
  lookups: {
    "GET /v1/responses/:id": (lookup) => find(lookup).response,
    "GET /v1/responses/:id/input_items": (lookup) => {
      const { id } = find(lookup).response;
      const items = find(lookup).input.map((item, i) => ({ id: `item_${id.slice(5)}_${i}`, ...item }));
      if (new URL(lookup.request.url).searchParams.get("order") !== "asc") items.reverse();
      const ends = { first_id: items[0]?.id ?? null, last_id: items.at(-1)?.id ?? null };
      return { object: "list", data: items, ...ends, has_more: false };
    },
    "DELETE /v1/responses/:id": (lookup) => {
      const { id } = find(lookup).response;
      lookup.responses.delete(id);
      return { id, object: "response", deleted: true };
    },
  },
};

function find({ responses, param }: Lookup): StoredResponse {
  const id = param("id");
  const found = responses.get(id);
  if (found !== undefined) return found;
  throw new GrokError("not-found", `there is no response ${JSON.stringify(id)} here, or no more`, { option: "id" });
}
