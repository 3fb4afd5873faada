import type { ErrorCode } from "../../errors.ts";
import type { Failure } from "../failure.ts";

const types: Partial<Record<ErrorCode, string>> = {
  ...{ argument: "invalid_request_error", capacity: "invalid_request_error", "too-large": "request_too_large" },
  ...{ denied: "authentication_error", forbidden: "permission_error", "not-found": "not_found_error" },
  ...{ busy: "overloaded_error", limited: "rate_limit_error", refused: "invalid_request_error" },
};

/** An error in Anthropic's shape. */
export function anthropicError({ code, message, field }: Failure) {
  const details = code === "not-found" && field === "thread" ? { details: { error_code: "thread_not_found" } } : {};
  return { type: "error", error: { type: types[code] ?? "api_error", message, ...details } };
}
