import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GrokError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { encodeChat } from "./chat-prompt.ts";
import { createJinjaTemplate, plainTemplate } from "./chat-template.ts";
import type { ChatMessage } from "./types.ts";

const controls = ["<s>", "<|im_start|>", "<|im_end|>", "<|im"];
const firstUnit = 1000;

/** One token a UTF-16 unit; control tokens by name, longest first, outside the ordinary ranges. */
const tokenizer = {
  ...{ bos: 0, eos: 2, addBos: false, unknown: undefined },
  encode(text: string, { special = false, ordinary = [] as readonly number[] } = {}) {
    const names = special ? [...controls].sort((a, b) => b.length - a.length) : [];
    const free = (from: number, to: number) =>
      !ordinary.some((place, index) => index % 2 === 0 && place < to && from < ordinary[index + 1]!);
    const ids: number[] = [];
    for (let at = 0; at < text.length; ) {
      const name = names.find((each) => text.startsWith(each, at) && free(at, at + each.length));
      ids.push(name === undefined ? firstUnit + text.charCodeAt(at) : controls.indexOf(name));
      at += name?.length ?? 1;
    }
    return Int32Array.from(ids);
  },
  *encodeSteps(...asked) {
    yield;
    return this.encode!(...asked);
  },
  piece: (id: number) => (id < firstUnit ? controls[id]! : String.fromCharCode(id - firstUnit)),
} as Partial<Tokenizer> as Tokenizer;

const text = (part: string) => [...tokenizer.encode(part)];
const idsOf = (source: string, messages: readonly ChatMessage[], variables = {}) => [
  ...encodeChat(tokenizer, createJinjaTemplate(source, "test"), messages, variables),
];

const chatml =
  "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}<|im_start|>assistant{{ '\n' }}";
const template = createJinjaTemplate(chatml, "test");

/** Control tokens where the template put them, and every character of every message as text. */
function expected(messages: readonly { role: string; content: string }[]): number[] {
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

  it.each([
    ["replaces", "{{ m.content | replace('<think>', '') }}", "<|im_<think>end|>"],
    ["changes case", "{{ m.content | lower }}", "<|IM_END|>"],
    ["splits and joins", "{{ m.content.split('/') | join }}", "<|im/_e/nd|>"],
    ["strips", "{{ m.content.strip('!') }}", "!!<|im_end|>!"],
    ["slices", "{{ m.content[1:-1] }}", "x<|im_end|>x"],
    ["goes through characters", "{% for c in m.content %}{{ c }}{% endfor %}", "<|im_end|>"],
    ["reverses", "{{ m.content | reverse }}", ">|dne_mi|<"],
    ["formats", "{{ '%s%s' % (m.content, '') }}{{ '{}'.format(m.content) }}", "<|im_end|>"],
    ["writes JSON", "{{ m | tojson }}{{ m.content | tojson(ensure_ascii=true) }}", "<|im_end|>"],
    ["prints a list", "{{ [m.content] }}", "<|im_end|>"],
    ["collects", "{% set ns = namespace(t='') %}{% set ns.t = ns.t ~ m.content %}{{ ns.t }}", "<|im_end|>"],
    ["keeps in a block", "{% set t %}{{ m.content }}{% endset %}{{ t | upper | lower }}", "<|im_end|>"],
    ["calls a macro", "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(m.content) }}", "<|im_end|>"],
    ["adds to its own part", "{{ '<|im_' + m.content }}{{ '<|im_' ~ m.content }}<|im_{{ m.content }}", "end|>"],
    ["adds its own part", "{{ m.content }}end|>", "<|im_"],
    ["escapes and unescapes", "{{ m.content | e | striptags }}", "<|im_end|>"],
    ["reads another field", "{{ m.name }}{{ m.tool_calls[0].function.arguments }}{{ m.more }}", ""],
    ["prints keys", "{% for k in m.keys() %}{{ k }}{% endfor %}", ""],
  ])("of a template that %s have none of the caller's making", (_, part, said) => {
    const message = {
      ...{ role: "user", content: said, name: "<|im_end|>", more: "<|im_start|>", "<|im_end|>": 1 },
      tool_calls: [{ function: { arguments: "<|im_end|>" } }],
    };
    const ids = idsOf(`<|im_start|>{% for m in messages %}${part}{% endfor %}<|im_end|>`, [message, message]);
    // A name that the template's own part completes with the caller's is none; a shorter one within its own part is.
    const own = ids.slice(1, -1).filter((id) => id < firstUnit);
    expect(own.every((id) => part.includes("<|im") && id === 3)).toBe(true);
    expect([ids[0], ids[ids.length - 1]]).toEqual([1, 2]);
  });

  it("join no two messages' ends to a control token, nor a template variable", () => {
    const messages = [
      { role: "user", content: "<|im_" },
      { role: "user", content: "end|>" },
    ];
    expect(idsOf("{% for m in messages %}{{ m.content }}{% endfor %}{{ mood }}", messages, { mood: "<s>" })).toEqual(
      text("<|im_end|><s>"),
    );
  });

  it("have those that several of the template's own pieces make", () => {
    const messages = [{ role: "user", content: "end" }];
    const source = "{{ '<|im' }}{% if messages[0].content == 'end' %}_{{ 'END' | lower }}{% endif %}|>{{ 'x' }}";
    expect(idsOf(source, messages)).toEqual([2, ...text("x")]);
  });

  it("have those that a known role makes, and of another role none", () => {
    const source = "{% for m in messages %}<|im_{{ m.role }}|>{% endfor %}";
    expect(idsOf(source, [{ role: "end", content: "" }])).toEqual([3, ...text("_end|>")]);
    const { caller } = createJinjaTemplate(source, "test").render([{ role: "user", content: "" }]);
    expect(caller).toEqual([]);
  });

  it("keep every field of a message whose text spells a control token", () => {
    const messages = [{ role: "user", content: "<s>", name: "Ada", content_type: [1] }];
    expect(idsOf("{{ messages[0].name }}{{ messages[0].content_type[0] }}", messages)).toEqual(text("Ada1"));
  });

  it("are those of the rendered text where no message names a control token", () => {
    const messages = [{ role: "user", content: " hello \ue000 " }];
    const whole = tokenizer.encode(template.render(messages, {}, { bos_token: "<s>" }).text, { special: true });
    expect(encodeChat(tokenizer, template, messages)).toEqual(whole);
  });

  it("begin with the beginning of a text, once, also when they are very many", () => {
    const begins = { ...tokenizer, addBos: true };
    const messages = [{ role: "user", content: "a".repeat(300_000) }];
    const plain = { stop: [], render: () => ({ text: messages[0]!.content, caller: [] }) };
    expect([...encodeChat(begins, plain, messages).subarray(0, 2)]).toEqual([0, firstUnit + 97]);
    expect(encodeChat(begins, template, messages).indexOf(0, 1)).toBe(-1);
  });

  it("accept tool calls without content and content in parts, and refuse what is no conversation", () => {
    const called = [{ role: "assistant", content: null, tool_calls: [{}] }];
    expect(idsOf("{{ messages[0].content }}", called)).toEqual(text("None"));
    const parts = [{ role: "user", content: [{ type: "text", text: "a" }] }];
    expect(idsOf("{{ messages[0].content[0].text }}", parts)).toEqual(text("a"));
    expect([...encodeChat(tokenizer, plainTemplate, parts)]).toEqual(text("User: a\n\nAssistant:"));
    for (const messages of [[], [{ role: "user" }], [null], [{ role: "user", content: [1] }], [{ role: 1 }]]) {
      expect(() => encodeChat(tokenizer, template, messages as never)).toThrow(
        expect.objectContaining({ code: "argument" }),
      );
    }
  });
});

describe("a template without a place for a system message", () => {
  const refusing =
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}{{ m.role }}:{{ m.content }};{% endfor %}";
  const dropping = "{% for m in messages if m.role != 'system' %}{{ m.role }}:{{ m.content }};{% endfor %}";
  const system = { role: "system", content: "Be brief." };
  const user = { role: "user", content: "Hi" };

  it.each([refusing, dropping])("gets it in front of the first question", (source) => {
    expect(idsOf(source, [system, user, user])).toEqual(text("user:Be brief.\n\nHi;user:Hi;"));
    expect(idsOf(source, [system, system, user])).toEqual(text("user:Be brief.\n\nBe brief.\n\nHi;"));
    expect(idsOf(source, [system])).toEqual(text("user:Be brief.;"));
    expect(idsOf(source, [{ ...system, content: " " }, user])).toEqual(text("user:Hi;"));
  });

  it("gets it as a part where the question has parts", () => {
    const parts =
      "{% for m in messages if m.role != 'system' %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endfor %}";
    const asked = { role: "user", content: [{ type: "text", text: "Hi" }] };
    expect(idsOf(parts, [system, asked]).length).toBeGreaterThan(0);
  });

  it("still refuses what it refuses besides", () => {
    const source = `${refusing}{% if messages | length > 1 %}{{ raise_exception('one at a time') }}{% endif %}`;
    expect(() => idsOf(source, [user, user])).toThrow(/test.*line 1: one at a time/);
  });

  it("is not one that has a place for it", () => {
    expect(idsOf("{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}", [system, user])).toEqual(
      text("system:Be brief.;user:Hi;"),
    );
  });
});

it("says whether a template fails at every conversation, or at this one", () => {
  const details = (source: string) => {
    try {
      idsOf(source, [{ role: "user", content: "a", name: "b" }]);
    } catch (error) {
      return (error as GrokError).details;
    }
    return undefined;
  };
  expect(details("{{ 1 + messages[0].name }}")).not.toHaveProperty("conversation");
  expect(
    details("{{ messages[0].content }}{% if messages[0].name %}{{ 1 + messages[0].name }}{% endif %}"),
  ).toMatchObject({
    conversation: true,
  });
});
