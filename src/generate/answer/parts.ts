import type { TokenLogprob } from "../../engine/request.ts";

/** What an answer says, as the model wrote it. */
interface Written {
  readonly text: string;
  /** Where it begins in all that was written, in UTF-16 units. */
  readonly at: number;
  /** Of the tokens that it begins with or came in, where these were asked for: each stands with one part. */
  readonly logprobs?: readonly TokenLogprob[];
}

/** What an answer consists of, as it is read. The texts of one kind belong together, however they were cut. */
export type AnswerPart =
  | ({ readonly type: "text" } & Written)
  /** What the model thought before it answered. */
  | { readonly type: "reasoning"; readonly text: string }
  /** A call of a tool begins: the first has index 0. */
  | { readonly type: "call"; readonly index: number; readonly name: string }
  /** More of its arguments, which are a JSON object. */
  | { readonly type: "arguments"; readonly index: number; readonly text: string }
  /** Its arguments are whole. */
  | { readonly type: "called"; readonly index: number }
  /** What had begun as a call is none: its arguments are no JSON, or never ended. `text` is all of it, as the model wrote it. */
  | ({ readonly type: "failed"; readonly index: number } & Written);

/** A call of a tool, whole. */
export interface ToolCall {
  readonly name: string;
  /** A JSON object, as the model wrote it. */
  readonly arguments: string;
}

/** What is certain of an answer. */
export type SettledPart =
  | Extract<AnswerPart, { type: "text" | "reasoning" }>
  | ({ readonly type: "tool"; readonly index: number } & ToolCall);

/**
 * Gives calls only once they are whole; what turned out to be none is text. The same as the parts come, or of all of them at
 * once; calls are counted anew.
 */
export function createSettler(): (part: AnswerPart) => SettledPart | undefined {
  let name = "";
  let text = "";
  let calls = 0;
  return (part) => {
    switch (part.type) {
      case "call":
        name = part.name;
        text = "";
        return undefined;
      case "arguments":
        text += part.text;
        return undefined;
      case "called":
        return { type: "tool", index: calls++, name, arguments: text };
      case "failed": {
        const { index: _, ...written } = part;
        return { ...written, type: "text" };
      }
      default:
        return part;
    }
  };
}

/** An answer, whole. */
export interface AnswerMessage {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly ToolCall[];
}

export function joinParts(parts: Iterable<AnswerPart>): AnswerMessage {
  const settle = createSettler();
  const calls: ToolCall[] = [];
  const texts = { text: "", reasoning: "" };
  for (const given of parts) {
    const part = settle(given);
    if (part?.type === "tool") calls.push({ name: part.name, arguments: part.arguments });
    else if (part !== undefined) texts[part.type] += part.text;
  }
  return { ...texts, calls };
}
