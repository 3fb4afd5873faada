import type { ChatMessage } from "./types.ts";

/** Tokens kept free for an answer, at most; half of a context that is small. */
const mostAnswerRoom = 1024;

/** What is sent of a conversation. */
export interface Fitted {
  /** Tokens of the prompt. */
  readonly tokens: Int32Array;
  /** Messages left out. */
  readonly leftOut: number;
}

/**
 * A conversation's prompt, without the oldest exchanges where they would leave too little room for an answer of `maxTokens`. What
 * the conversation begins with of system messages stays, and so does the last question with all that followed it, whether it fits
 * or not. An exchange is a question and all messages until the next one, so that no answer of a tool loses its call.
 *
 * @param encode gives a conversation's tokens; of two that end alike the longer one has more of them.
 */
export function fitConversation(
  messages: readonly ChatMessage[],
  encode: (messages: readonly ChatMessage[]) => Int32Array,
  contextLength: number,
  maxTokens = Number.POSITIVE_INFINITY,
): Fitted {
  const most = contextLength - Math.min(maxTokens, mostAnswerRoom, Math.floor(contextLength / 2));
  const all = encode(messages);
  if (all.length <= most) return { tokens: all, leftOut: 0 };
  const head = headOf(messages);
  const body = head.length;
  const starts = messages.flatMap(({ role }, index) => (index > body && role === "user" ? [index] : []));
  // Halving: a long conversation that was kept from elsewhere is not encoded once for each of its exchanges.
  let fitted: Fitted | undefined;
  for (let low = 0, high = starts.length - 1; low <= high; ) {
    const middle = (low + high) >> 1;
    const start = starts[middle]!;
    const tokens = encode([...head, ...messages.slice(start)]);
    const fits = tokens.length <= most;
    if (fits || middle === starts.length - 1) fitted = { tokens, leftOut: start - body };
    if (fits) high = middle - 1;
    else low = middle + 1;
  }
  return fitted ?? { tokens: all, leftOut: 0 };
}

/** The messages at the beginning that say how to behave. */
export function headOf(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const body = messages.findIndex(({ role }) => role !== "system" && role !== "developer");
  return body < 0 ? messages : messages.slice(0, body);
}
