import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { finish, type Steps } from "../tokenizer/steps.ts";
import { fitConversation } from "./fit.ts";
import type { ChatMessage } from "./types.ts";

/** A message costs its length. */
const count = (messages: readonly ChatMessage[]) =>
  messages.reduce((sum, { content }) => sum + (content as string).length, 0);

/** The messages that were sent, with the tokens that they have together. */
function sendable(messages: readonly ChatMessage[], contextLength: number, maxTokens?: number) {
  const encoded = new Map<Int32Array, readonly ChatMessage[]>();
  function* encode(part: readonly ChatMessage[]): Steps<Int32Array> {
    yield;
    const tokens = new Int32Array(count(part));
    encoded.set(tokens, part);
    return tokens;
  }
  const { tokens, leftOut } = finish(fitConversation(messages, encode, contextLength, maxTokens));
  const sent = encoded.get(tokens)!;
  expect(sent.length).toBe(messages.length - leftOut);
  return { sent, times: encoded.size };
}

const message = (role: string, most: number) =>
  fc.record({ role: fc.constant(role), content: fc.string({ minLength: 1, maxLength: most }) });
const exchange = fc
  .tuple(message("user", 40), fc.array(fc.oneof(message("assistant", 80), message("tool", 80)), { maxLength: 3 }))
  .map(([question, others]) => [question, ...others]);
const conversation = fc
  .record({
    head: fc.array(fc.oneof(message("system", 20), message("developer", 20)), { maxLength: 2 }),
    greeting: fc.array(message("assistant", 20), { maxLength: 1 }),
    turns: fc.array(exchange, { maxLength: 8 }),
    last: exchange,
  })
  .map(({ head, greeting, turns, last }) => ({ head, all: [...head, ...greeting, ...turns.flat(), ...last], last }));

describe("messages that fit the context", () => {
  it("are what it begins with, and the latest exchanges, as many as leave room for an answer", () => {
    fc.assert(
      fc.property(
        conversation,
        fc.integer({ min: 16, max: 400 }),
        fc.integer({ min: 1, max: 400 }),
        ({ head, all, last }, context, n) => {
          const room = Math.min(n, Math.floor(context / 2));
          const { sent } = sendable(all, context, n);
          expect(sent.slice(0, head.length)).toEqual(head);
          const rest = sent.slice(head.length);
          expect(rest).toEqual(all.slice(all.length - rest.length));
          if (sent.length === all.length) return;
          expect(rest[0]!.role).toBe("user");
          if (rest.length > last.length) expect(count(sent) + room).toBeLessThanOrEqual(context);
          // One exchange more would not have fitted.
          const start = all.length - rest.length;
          const before = all.findLastIndex(({ role }, index) => index < start && role === "user");
          const more = [...head, ...all.slice(Math.max(before, head.length))];
          expect(count(more) + room).toBeGreaterThan(context);
        },
      ),
    );
  });

  it("keep at most 1024 tokens free in a large context", () => {
    const messages = [1, 2, 3].map((n) => ({ role: n % 2 === 1 ? "user" : "assistant", content: "x".repeat(3000) }));
    expect(sendable(messages, 9000 + 1024).sent).toBe(messages);
    expect(sendable(messages, 9000 + 1023).sent).toEqual(messages.slice(2));
  });

  it("are found without encoding a long conversation once for each exchange", () => {
    const messages: ChatMessage[] = Array.from({ length: 4001 }, (_, i) => ({
      role: i % 2 === 0 ? "user" : "assistant",
      content: "xx",
    }));
    const { sent, times } = sendable(messages, 200, 100);
    expect(sent).toEqual(messages.slice(-49));
    expect(times).toBeLessThan(16);
  });
});
