import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createJinjaTemplate } from "../../generate/chat-template.ts";
import { folder, learned, learnedText, load, options, put, source, texts, tokenizer } from "./corpus.case.ts";
import { countPassedOver, loadCorpus } from "./corpus.ts";
import { defaultDataSource } from "./source.ts";

describe("prompts, answers and conversations", () => {
  const chat = [
    { role: "user", content: "a" },
    { role: "assistant", content: "b <|end|>" },
    { role: "user", content: "c" },
    { role: "assistant", content: "d" },
  ];

  it("only what the assistant says is learned, its end marker with it", async () => {
    const corpus = await load(JSON.stringify({ messages: chat }), { format: "chat" });
    expect(learnedText(corpus, 0)).toBe("b<|end|><|end|>d<|end|>");
    // The marker inside a message is ordinary text: four markers end four messages.
    expect([...corpus.documents.ids].filter((id) => id === tokenizer.idOf("<|end|>"))).toHaveLength(4);
    expect(corpus.documents.textBytes[0]).toBe(10);
  });

  it("pairs use the template, or follow one another where there is none", async () => {
    const line = JSON.stringify({ q: "two and two", input: "as a word", a: "four" });
    const keys = { ...defaultDataSource.keys, prompt: "q", answer: "a" };
    const templated = await load(line, { format: "pairs", keys });
    expect(texts(templated)[0]).toContain("as a word");
    expect(learnedText(templated, 0)).toBe("four<|end|>");
    const plain = await loadCorpus(source(put(line), { format: "pairs", keys }), {
      tokenizer,
      addBos: false,
      addEos: true,
      context: 64,
      encodingKey: "plain",
    });
    expect(texts(plain)[0]).toBe("two and two\n\nas a wordfour");
    expect(learnedText(plain, 0)).toMatch(/four\[EOS\]$/);
  });

  it("what is too long is cut or left out when the source says so, and counted", async () => {
    const lines = [{ messages: chat }, { messages: [chat[0], { role: "assistant", content: "word ".repeat(99) }] }]
      .map((line) => JSON.stringify(line))
      .join("\n");
    const cut = await load(lines, { format: "chat", overlong: "truncate" });
    expect(cut.documents).toMatchObject({ count: 2, truncated: 1, skipped: 0 });
    expect(cut.documents.starts[2]! - cut.documents.starts[1]!).toBe(options.context + 1);
    const left = await load(lines, { format: "chat", overlong: "skip" });
    expect(left.documents).toMatchObject({ count: 1, truncated: 0, skipped: 1 });
  });

  it("a template that rewrites earlier messages is refused", async () => {
    const last = createJinjaTemplate("<|user|>{{ messages | length }}{{ messages[-1].content }}", "template");
    const line = JSON.stringify({ messages: chat });
    await expect(load(line, { format: "chat" }, { template: last })).rejects.toThrow(/message by message/);
  });
});

describe("layouts that others use", () => {
  const line = (value: unknown) => `${JSON.stringify(value)}\n`;
  const asked = { role: "user", content: "sun" };
  const said = { role: "assistant", content: "moon" };

  it("a weight of 0 is read and not learned, 1 and null are as nothing", async () => {
    const whole = await load(line({ messages: [asked, said, asked, said] }), { format: "chat" });
    const both = [asked, { ...said, weight: 0 }, { ...asked, weight: 0 }, { ...said, weight: 1 }];
    const second = await load(line({ messages: both }), { format: "chat" });
    expect([...second.documents.ids]).toEqual([...whole.documents.ids]);
    const marks = [...whole.documents.mask!];
    const half = marks.lastIndexOf(0);
    expect([...second.documents.mask!]).toEqual(marks.map((mark, i) => (i < half ? 0 : mark)));
    const none = await load(line({ messages: [asked, { ...said, weight: null }] }), { format: "chat" });
    expect([...none.documents.mask!]).toContain(1);
  });

  it("ShareGPT's names, and a list over many lines, are the same data", async () => {
    const lines = line({ messages: [asked, said] }) + line({ messages: [said, asked, said] });
    const shared = [
      {
        conversations: [
          { from: "human", value: "sun" },
          { from: "gpt", value: "moon" },
        ],
        id: '[]{},"',
      },
      {
        conversations: [
          { from: "gpt", value: "moon" },
          { from: "human", value: "sun" },
          { from: "gpt", value: "moon" },
        ],
      },
    ];
    const keys = { ...defaultDataSource.keys, messages: "conversations" };
    const expected = await load(lines, { format: "chat" });
    for (const text of [
      shared.map(line).join(""),
      JSON.stringify(shared),
      `\ufeff\n${JSON.stringify(shared, null, 2)}\n`,
    ]) {
      const found = await load(text, { format: "chat", keys });
      expect([...found.documents.ids]).toEqual([...expected.documents.ids]);
      expect([...found.documents.mask!]).toEqual([...expected.documents.mask!]);
    }
  });

  it("calls of tools, their results and the tools themselves go to the template", async () => {
    const source = [
      "{% for t in tools or [] %}tool {{ t.name }} {% endfor %}{% for m in messages %}<|user|>{{ m.role }} {{ m.content or '' }}",
      "{% for c in m.tool_calls or [] %}call {{ c.function.name }} {% endfor %}{{ m.tool_call_id or '' }}<|end|>{% endfor %}",
      "{% if add_generation_prompt %}<|user|>assistant {% endif %}",
    ].join("");
    const calls = [{ id: "x1", type: "function", function: { name: "sea", arguments: "{}" } }];
    const messages = [
      asked,
      { role: "assistant", content: null, tool_calls: calls },
      { role: "tool", content: "rain", tool_call_id: "x1" },
      {
        role: "assistant",
        content: [
          { type: "text", text: "mo" },
          { type: "text", text: "on" },
        ],
      },
    ];
    const other = { template: createJinjaTemplate(source, "template"), context: 200 };
    const corpus = await load(line({ tools: [{ name: "fox" }], messages }), { format: "chat" }, other);
    // Markers decode as nothing but their place.
    const said = texts(corpus).map((text) => text.replaceAll(/ +/g, " "));
    expect(said).toEqual(["tool fox user sun assistant call sea tool rainx1 assistant moon"]);
    expect(learned(corpus)).toBe("callsea<|end|>moon<|end|>");
  });

  it("an empty answer among many is left out and counted, with its place, also from the cache", async () => {
    const lines = Array.from({ length: 1000 }, (_, i) =>
      line({ prompt: `sun ${i}`, answer: i === 500 || i === 700 ? " " : "moon" }),
    );
    const path = put(lines.join(""));
    const cache = join(folder, "empties");
    for (let time = 0; time < 2; time++) {
      const corpus = await loadCorpus(source(path, { format: "pairs" }), { ...options, cache });
      expect(corpus.documents.count).toBe(998);
      expect(countPassedOver([corpus])).toEqual({
        skipped: 0,
        truncated: 0,
        empty: 2,
        firstEmpty: `${path}, line 501`,
      });
    }
  });
});
