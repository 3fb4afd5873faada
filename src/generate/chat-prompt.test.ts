import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { encodeChat } from "./chat-prompt.ts";
import { createJinjaTemplate } from "./chat-template.ts";

const controls = ["<s>", "<|im_start|>", "<|im_end|>", "<|im"];
const firstUnit = 1000;

/** One token a UTF-16 unit; control tokens by name, longest first. */
const tokenizer = {
  ...{ bos: 0, eos: 2, addBos: false, unknown: undefined },
  encode(text: string, { special = false } = {}) {
    const names = special ? [...controls].sort((a, b) => b.length - a.length) : [];
    const ids: number[] = [];
    for (let at = 0; at < text.length; ) {
      const name = names.find((each) => text.startsWith(each, at));
      ids.push(name === undefined ? firstUnit + text.charCodeAt(at) : controls.indexOf(name));
      at += name?.length ?? 1;
    }
    return Int32Array.from(ids);
  },
  bytes: (id: number) => new Uint8Array(id < firstUnit ? 0 : 1),
  piece: (id: number) => (id < firstUnit ? controls[id]! : String.fromCharCode(id - firstUnit)),
  idOf: (piece: string) => controls.indexOf(piece),
} as Partial<Tokenizer> as Tokenizer;

const template = createJinjaTemplate(
  "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}<|im_start|>assistant{{ '\n' }}",
  "test",
);

/** Control tokens where the template put them, and every character of every message as text. */
function expected(messages: readonly { role: string; content: string }[]): number[] {
  const text = (part: string) => [...tokenizer.encode(part)];
  const turns = messages.flatMap(({ role, content }) => [1, ...text(`${role}\n${content.trim()}`), 2, ...text("\n")]);
  return [0, ...turns, 1, ...text("assistant\n")];
}

const content = fc
  .array(fc.constantFrom(...controls, "<|im_", "start|>", "end|>", " ", "\n", "a", "\ue000", "\ue001", "<", "|"), {
    maxLength: 8,
  })
  .map((parts) => parts.join(""));

describe("a conversation's tokens", () => {
  it("have control tokens only where the template put them, whatever the messages say", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ role: content, content }), { minLength: 1, maxLength: 4 }), (messages) => {
        expect([...encodeChat(tokenizer, template, messages)]).toEqual(expected(messages));
      }),
      { numRuns: 1000 },
    );
  });

  it("are those of the rendered text where no message names a control token", () => {
    const messages = [{ role: "user", content: " hello \ue000 " }];
    const whole = tokenizer.encode(template.render(messages, { bos_token: "<s>" }), { special: true });
    expect(encodeChat(tokenizer, template, messages)).toEqual(whole);
  });

  it("begin with the beginning of a text, once, also when they are very many", () => {
    const begins = { ...tokenizer, addBos: true };
    const messages = [{ role: "user", content: "a".repeat(300_000) }];
    const plain = { stop: [], render: () => messages[0]!.content };
    expect([...encodeChat(begins, plain, messages).subarray(0, 2)]).toEqual([0, firstUnit + 97]);
    expect(encodeChat(begins, template, messages).indexOf(0, 1)).toBe(-1);
  });

  it("refuse what is no conversation", () => {
    for (const messages of [[], [{ role: "user" }], [null]]) {
      expect(() => encodeChat(tokenizer, template, messages as never)).toThrow(
        expect.objectContaining({ code: "argument" }),
      );
    }
  });
});
