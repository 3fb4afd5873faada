import type { Steps } from "../tokenizer/steps.ts";
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
export function* fitConversation(
  messages: readonly ChatMessage[],
  encode: (messages: readonly ChatMessage[]) => Steps<Int32Array>,
  contextLength: number,
  maxTokens = Number.POSITIVE_INFINITY,
): Steps<Fitted> {
  const most = contextLength - Math.min(maxTokens, mostAnswerRoom, Math.floor(contextLength / 2));
  const isLikely = charactersOf(messages) <= charactersPerToken * most;
  const likely = isLikely ? { tokens: yield* encode(messages), leftOut: 0 } : undefined;
  if (likely && likely.tokens.length <= most) return likely;
  const head = headOf(messages);
  const body = head.length;
  const starts = messages.flatMap(({ role }, index) => (index > body && role === "user" ? [index] : []));
  // From the end twice as many each time, then halving: of a long conversation that was kept from elsewhere, little more than fits is encoded.
  let fitted: Fitted | undefined;
  let [low, high] = [0, starts.length - 1];
  for (let back = 0, found = false; low <= high; back = 2 * back + 1) {
    const at: number = found ? (low + high) >> 1 : Math.max(0, starts.length - 1 - back);
    const start = starts[at]!;
    const tokens: Int32Array = yield* encode([...head, ...messages.slice(start)]);
    const fits = tokens.length <= most;
    if (fits || at === starts.length - 1) fitted = { tokens, leftOut: start - body };
    if (fits) high = at - 1;
    else low = at + 1;
    found ||= !fits;
  }
  if (fitted !== undefined && (likely !== undefined || low > 0)) return fitted;
  const all = likely ?? { tokens: yield* encode(messages), leftOut: 0 };
  return all.tokens.length <= most ? all : (fitted ?? all);
}

/** More of them are seldom in a token: a conversation with more than this for each token that there is room for is not tried as it is. */
const charactersPerToken = 6;

const charactersOf = (messages: readonly ChatMessage[]) =>
  messages.reduce((sum, { content }) => sum + (typeof content === "string" ? content.length : 0), 0);

/** The messages at the beginning that say how to behave. */
export function headOf(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const body = messages.findIndex(({ role }) => role !== "system" && role !== "developer");
  return body < 0 ? messages : messages.slice(0, body);
}
