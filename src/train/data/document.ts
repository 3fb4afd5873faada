import { GrokError } from "../../errors.ts";
import type { ChatMessage } from "../../generate/types.ts";

/** A document and where it begins, for messages. */
export type Document = { readonly file: string; readonly line: number } & (
  | { readonly kind: "text"; readonly text: string }
  | {
      readonly kind: "pair";
      readonly system?: string;
      readonly prompt: string;
      readonly answer: string;
      /** As a conversation's. */
      readonly variables: Conversation["variables"];
    }
  | ({ readonly kind: "chat" } & Conversation)
  /** A pair without an answer, or a conversation without anything to learn: passed over, and counted. */
  | { readonly kind: "empty" }
);

export interface Conversation {
  /** With all that the template is to see. */
  readonly messages: readonly ChatMessage[];
  /** Of each message, whether it is learned: the assistant's, unless its weight is 0 or it is empty. */
  readonly learned: readonly boolean[];
  /** Further variables for the template. */
  readonly variables: Readonly<Record<string, unknown>>;
}

/** @throws GrokError `format`, always. */
export function fail(file: string, line: number, what: string, cause?: unknown): never {
  throw new GrokError("format", `${file}, line ${line}: ${what}`, { file, line }, cause);
}

export function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  return { string: "a text", number: "a number", boolean: "a truth value" }[typeof value as string] ?? "an object";
}
