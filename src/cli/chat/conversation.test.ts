import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TextMessage } from "../../generate/types.ts";
import { fitMessages } from "./conversation.ts";

/** A message costs its length. */
const count = (messages: readonly TextMessage[]) => messages.reduce((sum, { content }) => sum + content.length, 0);

const message = (role: string, most: number) =>
  fc.record({ role: fc.constant(role), content: fc.string({ minLength: 1, maxLength: most }) });
const conversation = fc
  .record({
    system: fc.option(message("system", 20)),
    turns: fc.array(fc.tuple(message("user", 40), message("assistant", 80)), { maxLength: 8 }),
    question: message("user", 60),
  })
  .map(({ system, turns, question }) => [...(system ? [system] : []), ...turns.flat(), question]);

describe("messages that fit the context", () => {
  it("are the system message and the latest exchanges, as many as leave room for an answer", () => {
    fc.assert(
      fc.property(
        conversation,
        fc.integer({ min: 16, max: 400 }),
        fc.integer({ min: 1, max: 400 }),
        (all, context, n) => {
          const room = Math.min(n, Math.floor(context / 2));
          const sent = fitMessages(all, count, context, n);
          const head = all[0]!.role === "system" ? 1 : 0;
          expect(sent.slice(0, head)).toEqual(all.slice(0, head));
          const rest = sent.slice(head);
          expect(rest).toEqual(all.slice(all.length - rest.length));
          expect(rest[0]!.role).toBe("user");
          if (rest.length > 1) expect(count(sent) + room).toBeLessThanOrEqual(context);
          if (sent.length === all.length) return;
          // One exchange more would not have fitted.
          const more = [...all.slice(0, head), ...all.slice(all.length - rest.length - 2)];
          expect(count(more) + room).toBeGreaterThan(context);
        },
      ),
    );
  });

  it("keep at most 1024 tokens free in a large context", () => {
    const messages = [1, 2, 3].map((n) => ({ role: n % 2 === 1 ? "user" : "assistant", content: "x".repeat(3000) }));
    expect(fitMessages(messages, count, 9000 + 1024)).toBe(messages);
    expect(fitMessages(messages, count, 9000 + 1023)).toEqual(messages.slice(2));
  });
});
