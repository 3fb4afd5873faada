import type { ErrorCode } from "../../errors.ts";
import type { Failure } from "../failure.ts";

const types: Partial<Record<ErrorCode, string>> = {
  ...{ argument: "invalid_request_error", capacity: "invalid_request_error", "too-large": "invalid_request_error" },
  ...{ denied: "authentication_error", forbidden: "permission_error", "not-found": "not_found_error" },
  ...{ busy: "overloaded_error", limited: "rate_limit_error", refused: "invalid_request_error" },
};

/** OpenAI's names, where it has some. */
const codes: Partial<Record<ErrorCode, string>> = {
  ...{ denied: "invalid_api_key", capacity: "context_length_exceeded", "not-found": "not_found" },
  ...{ limited: "rate_limit_exceeded", refused: "content_filter" },
};

/** An error in OpenAI's shape. */
export function openAiError({ code, message, field }: Failure) {
  const named = code === "not-found" && field === "model" ? "model_not_found" : (codes[code] ?? null);
  return { error: { message, type: types[code] ?? "server_error", param: field ?? null, code: named } };
}
