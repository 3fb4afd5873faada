import { GrokError } from "../errors.ts";

/** Says of an error what option it is about: whoever gave the grammar can change it. */
export function aboutGrammar(error: unknown): never {
  if (!(error instanceof GrokError) || error.code === "cancelled") throw error;
  const option = error.details.tool === undefined ? "grammar" : "tools";
  throw new GrokError(error.code, error.message, { ...error.details, option }, error);
}
