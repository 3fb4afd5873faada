import type { AddonBackend } from "../../addon-backend.ts";
import { type ErrorCode, GrokError } from "../../errors.ts";

const kinds: ReadonlyMap<string | undefined, ErrorCode> = new Map([
  ["ERR_MEMORY", "capacity"],
  ["ERR_INTERNAL", "internal"],
  ["ERR_CANCELLED", "cancelled"],
]);

/** The addon's errors as GrokErrors: what it refuses is a caller's mistake, what it cannot allocate is a lack of memory. */
export function guard<A extends unknown[], R>(call: (...args: A) => R): (...args: A) => R {
  return (...args) => {
    try {
      return call(...args);
    } catch (error) {
      const { code, message } = error as { code?: string; message?: string };
      throw new GrokError(kinds.get(code) ?? "argument", `native backend: ${message}`, {}, error);
    }
  };
}

/** A backend all of whose calls are guarded so. */
export function guardCalls(native: AddonBackend): AddonBackend {
  const entries = Object.entries(native).map(([name, value]) => [
    name,
    typeof value === "function" ? guard(value as (...args: unknown[]) => unknown) : value,
  ]);
  return Object.fromEntries(entries) as AddonBackend;
}
