import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createAnswerReader } from "./answer-reader.ts";
import { type AnswerMessage, type AnswerPart, joinParts } from "./parts.ts";
import { type CallSyntax, hermesCalls } from "./syntax.ts";

const think = { open: "<think>", close: "</think>" };
const mistral: CallSyntax = { kind: "object", open: "[TOOL_CALLS]" };
const mistralNamed: CallSyntax = { kind: "named", before: "[TOOL_CALLS]", between: "[ARGS]" };
const llama: CallSyntax = { kind: "object", open: "<|python_tag|>", bare: true };
const deepSeek: CallSyntax = {
  kind: "named",
  ...{ open: "<calls>", close: "</calls>", before: "<call>function<sep>", between: "```json", after: "```</call>" },
};
const coder: CallSyntax = {
  ...{ kind: "tagged", open: "<tool_call>", close: "</tool_call>", before: "<function=", named: ">" },
  ...{ after: "</function>", key: "<parameter=", value: [">"], end: "</parameter>", padded: true },
};
const glm: CallSyntax = {
  ...{ kind: "tagged", before: "<tool_call>", after: "</tool_call>" },
  ...{ key: "<arg_key>", value: ["</arg_key>", "<arg_value>"], end: "</arg_value>" },
};
const parameters = {
  properties: {
    ...{ q: { type: "string" }, n: { type: ["integer", "null"] }, on: { type: "boolean" }, any: {} },
    ...{ list: { $ref: "#/$defs/list" }, id: { anyOf: [{ type: "string" }, { type: "null" }] } },
  },
  $defs: { list: { type: "array", items: { type: "string" } } },
};
const tools = new Map([
  ["search", parameters],
  ["write", undefined],
]);

interface Case {
  readonly calls?: CallSyntax;
  readonly thinks?: boolean;
  readonly offers?: boolean;
  readonly callsFirst?: boolean;
}

function read(
  pieces: readonly string[],
  { calls = hermesCalls, thinks = false, offers = true, callsFirst = false }: Case,
): AnswerPart[] {
  const reader = createAnswerReader({ reasoning: think, calls, thinks, callsFirst, tools: offers ? tools : undefined });
  return [...pieces.flatMap((piece) => reader.push(piece)), ...reader.end()];
}

/** Neighbours of one kind as one. */
function merge(parts: readonly AnswerPart[]): AnswerPart[] {
  const merged: AnswerPart[] = [];
  for (const part of parts) {
    const last = merged.at(-1);
    if (last?.type === part.type && (part.type === "text" || part.type === "reasoning" || part.type === "arguments")) {
      merged[merged.length - 1] = { ...last, text: (last as typeof part).text + part.text } as AnswerPart;
    } else merged.push(part);
  }
  return merged;
}

function message(text: string, options: Case = {}): Partial<AnswerMessage> {
  const { calls, ...texts } = joinParts(read([text], options));
  const said = Object.entries(texts).filter(([, value]) => value !== "");
  return { ...Object.fromEntries(said), ...(calls.length > 0 && { calls }) };
}

const search = { name: "search", arguments: '{"q": "x"}' };
const call = '{"name": "search", "arguments": {"q": "x"}}';

describe("an answer", () => {
  it.each<[string, string, Case, Partial<AnswerMessage>]>([
    ["is text", " Hello.\n", {}, { text: " Hello.\n" }],
    ["is nothing", "", {}, {}],
    ["thinks first", "<think>\nHm.\n</think>\n\nYes.", {}, { reasoning: "Hm.", text: "Yes." }],
    ["thinks on from its prompt", "\nHm.\n</think>\n\nYes.", { thinks: true }, { reasoning: "Hm.", text: "Yes." }],
    ["never stops thinking", "<think>Hm, </ ", {}, { reasoning: "Hm, </" }],
    ["thinks nothing", "<think>\n\n</think>\n\nYes.", {}, { text: "Yes." }],
    ["speaks of thinking", "Write <think>so</think>.", {}, { text: "Write <think>so</think>." }],
    ["speaks of its end", "So </think> it is.", {}, { text: "So </think> it is." }],
    ["calls", `<tool_call>\n${call}\n</tool_call>`, {}, { calls: [search] }],
    [
      "is only read for calls where tools are offered",
      `<tool_call>${call}`,
      { offers: false },
      { text: `<tool_call>${call}` },
    ],
    [
      "thinks, speaks and calls",
      `<think>a</think>\nb\n<tool_call>${call}</tool_call>\n`,
      {},
      { reasoning: "a", text: "b", calls: [search] },
    ],
    ["calls twice", `<tool_call>${call}</tool_call>\n<tool_call>${call}</tool_call>`, {}, { calls: [search, search] }],
    [
      "calls twice in one place",
      `<tool_call>${call}\n${call}</tool_call> so`,
      {},
      { text: "so", calls: [search, search] },
    ],
    ["calls in a list", `<tool_call>[${call}, ${call}]</tool_call>`, {}, { calls: [search, search] }],
    ["forgets the end", `<tool_call>${call}`, {}, { calls: [search] }],
    [
      "calls what nobody offered",
      '<tool_call>{"name": "x"}</tool_call>',
      {},
      { calls: [{ name: "x", arguments: "{}" }] },
    ],
    [
      "has its arguments first",
      '<tool_call>{"arguments": {"q": "x"}, "name": "search"}</tool_call>',
      {},
      { calls: [search] },
    ],
    [
      "has its arguments in a text",
      String.raw`<tool_call>{"name": "search", "arguments": "{\"q\": \"x\"}"}</tool_call>`,
      {},
      { calls: [search] },
    ],
    [
      "has lines in its arguments",
      '<tool_call>{"name": "write", "arguments": {"text": "a\n\tb"}}</tool_call>',
      {},
      { calls: [{ name: "write", arguments: String.raw`{"text": "a\n\tb"}` }] },
    ],
    [
      "has marks in its arguments",
      '<tool_call>{"name": "write", "arguments": {"text": "</tool_call>"}}</tool_call>',
      {},
      { calls: [{ name: "write", arguments: '{"text": "</tool_call>"}' }] },
    ],
    ["calls as Mistral does", `[TOOL_CALLS] [${call}, ${call}]`, { calls: mistral }, { calls: [search, search] }],
    [
      "calls as Mistral does now",
      '[TOOL_CALLS]search[CALL_ID]abc[ARGS]{"q": "x"}[TOOL_CALLS]search[ARGS]{"q": "x"}',
      { calls: mistralNamed },
      { calls: [search, search] },
    ],
    [
      "calls as DeepSeek does",
      '<calls><call>function<sep>search\n```json\n{"q": "x"}\n```</call>\n<call>function<sep>search\n```json\n{"q": "x"}\n```</call></calls>',
      { calls: deepSeek },
      { calls: [search, search] },
    ],
    ["calls as Llama does", '{"name": "search", "parameters": {"q": "x"}}', { calls: llama }, { calls: [search] }],
    [
      "calls several as Llama does",
      '<|python_tag|>{"name": "search", "parameters": {"q": "x"}}; {"name": "search", "parameters": {"q": "x"}}',
      { calls: llama },
      { calls: [search, search] },
    ],
    [
      "calls as Qwen3-Coder does",
      "So.\n<tool_call>\n<function=search>\n<parameter=q>\nx\n</parameter>\n</function>\n</tool_call>",
      { calls: coder },
      { text: "So.", calls: [search] },
    ],
    [
      "calls as Qwen3-Coder does, without the outer mark, and again",
      "<function=search>\n<parameter=q>\nx\n</parameter>\n</function>\n</tool_call>\n<function=search>\n</function> so",
      { calls: coder },
      { text: "so", calls: [search, { name: "search", arguments: "{}" }] },
    ],
    [
      "calls with values by their types",
      `<tool_call><function=search><parameter=q>\n\n 5 <b>"\n\n</parameter><parameter=n>\n5\n</parameter>
<parameter=on>\nTrue\n</parameter><parameter=list>\n["</parameter>", "\\""]\n</parameter><parameter=id>7</parameter>
<parameter=any>\n{"a": 1}\n</parameter><parameter=other>\nwords\n</parameter></function></tool_call>`,
      { calls: coder },
      {
        calls: [
          {
            name: "search",
            arguments: String.raw`{"q": "\n 5 <b>\"\n", "n": 5, "on": true, "list": ["</parameter>", "\""], "id": "7", "any": {"a": 1}, "other": "words"}`,
          },
        ],
      },
    ],
    [
      "calls with values of other types than were asked for",
      "<function=search><parameter=n>\nfive\n</parameter><parameter=id>\nNone\n</parameter><parameter=on>\n1\n</parameter></function>",
      { calls: coder },
      { calls: [{ name: "search", arguments: '{"n": "five", "id": null, "on": "1"}' }] },
    ],
    [
      "calls as GLM does",
      "<tool_call>search\n<arg_key>q</arg_key>\n<arg_value>x</arg_value>\n</tool_call>\n<tool_call>write</tool_call>",
      { calls: glm },
      { calls: [search, { name: "write", arguments: "{}" }] },
    ],
    [
      "calls as GLM does now, with texts as they are",
      "<tool_call>search<arg_key>q</arg_key><arg_value>\nx\n</arg_value><arg_key>n</arg_key><arg_value>2</arg_value></tool_call>",
      { calls: glm },
      { calls: [{ name: "search", arguments: String.raw`{"q": "\nx\n", "n": 2}` }] },
    ],
    [
      "has a call's mark in its form",
      `{"a": "<tool_call>${call}</tool_call>"}`,
      { callsFirst: true },
      { text: `{"a": "<tool_call>${call}</tool_call>"}` },
    ],
    [
      "calls where it may have a form",
      `<think>a</think>\n<tool_call>${call}</tool_call>\n<tool_call>${call}</tool_call>`,
      { callsFirst: true },
      { reasoning: "a", calls: [search, search] },
    ],
    [
      "has a form that looks like Llama's calls",
      `{"name": "Ada", "q": "<|python_tag|>${call}"}`,
      { calls: llama, callsFirst: true },
      { text: `{"name": "Ada", "q": "<|python_tag|>${call}"}` },
    ],
    ["is JSON", ' {"name": "Ada", "age": 36}', { calls: llama }, { text: ' {"name": "Ada", "age": 36}' }],
    ["is code", '<|python_tag|>print("x")', { calls: llama }, { text: '<|python_tag|>print("x")' }],
  ])("that %s", (_, text, options, expected) => {
    expect(message(text, options)).toEqual(expected);
  });

  it.each([
    ["is no JSON", "<tool_call>search(x)</tool_call> so"],
    ["breaks off", '<tool_call>\n{"name": "search", "arguments": {"q": "x'],
    ["breaks in its arguments", '<tool_call>{"name": "search", "arguments": {"q": x}}</tool_call>'],
    ["breaks behind its arguments", '<tool_call>{"name": "search", "arguments": {"q": 1}, ,}</tool_call>'],
    ["has no name", '<tool_call>{"arguments": {}}</tool_call>'],
    ["has a name that is none", '<tool_call>{"name": 5, "arguments": {}}</tool_call>'],
    ["has arguments that are no object", '<tool_call>{"name": "search", "arguments": [1]}</tool_call>'],
    ["has arguments twice", '<tool_call>{"name": "search", "arguments": {}, "parameters": {}}</tool_call>'],
    ["has half a character", String.raw`<tool_call>{"name": "sea\ud800rch", "arguments": {}}</tool_call>`],
    ["is empty", "<tool_call></tool_call>"],
    ["has not begun", "<tool_call>"],
    ["is nested without an end", `<tool_call>{"name": "search", "arguments": ${'{"a":'.repeat(200)}`],
  ])("whose call %s is text as it was written", (_, text) => {
    expect(message(text)).toEqual({ text });
  });

  it.each<[string, string, CallSyntax]>([
    ["breaks off in a value", "<tool_call><function=search><parameter=q>\nx", coder],
    ["breaks off behind a value", "<tool_call><function=search><parameter=q>x</parameter>", coder],
    ["has an argument twice", `<function=search>${"<parameter=q>x</parameter>".repeat(2)}</function>`, coder],
    ["has words between its arguments", "<function=search>so<parameter=q>x</parameter></function>", coder],
    ["has an argument without a name", "<function=search><parameter=>x</parameter></function>", coder],
    ["is JSON", `<tool_call>${call}</tool_call>`, coder],
    ["is JSON", `<tool_call>${call}</tool_call>`, glm],
    ["has no value", "<tool_call>search<arg_key>q</arg_key></tool_call>", glm],
    ["has no name", "<tool_call><arg_key>q</arg_key><arg_value>x</arg_value></tool_call>", glm],
  ])("whose arguments come one by one: what %s is text as it was written", (_, text, calls) => {
    expect(message(text, { calls })).toEqual({ text });
  });

  it("gives a text among arguments before it is whole", () => {
    const pieces = ["<function=search><parameter=q>\none", " two\n</para", " 😀\n", "</parameter>"];
    const reader = createAnswerReader({ reasoning: undefined, calls: coder, tools });
    expect(pieces.map((piece) => merge(reader.push(piece)).at(-1))).toEqual([
      { type: "arguments", index: 0, text: '{"q": "one' },
      { type: "arguments", index: 0, text: " two" },
      { type: "arguments", index: 0, text: String.raw`\n</para 😀` },
      { type: "arguments", index: 0, text: '"' },
    ]);
  });

  it("keeps the calls before one that is none", () => {
    const text = `<tool_call>${call}</tool_call>\n<tool_call>{"name": </tool_call>`;
    expect(message(text)).toEqual({ calls: [search], text: '<tool_call>{"name": </tool_call>' });
  });

  it("gives arguments before they are whole", () => {
    const pieces = ['<tool_call>{"name": "write", "arg', 'uments": {"text": "one', " two"];
    const reader = createAnswerReader({ reasoning: undefined, calls: hermesCalls, tools });
    const given = pieces.map((piece) => reader.push(piece));
    expect(given[1]!.at(-1)).toEqual({ type: "arguments", index: 0, text: '{"text": "one' });
    expect(merge(given.flat())).toEqual([
      { type: "call", index: 0, name: "write" },
      { type: "arguments", index: 0, text: '{"text": "one two' },
    ]);
  });

  const words = fc.constantFrom(
    ...[
      "<think>",
      "</think>",
      "<tool_call>",
      "</tool_call>",
      "[TOOL_CALLS]",
      "[ARGS]",
      "<|python_tag|>",
      "<",
      "\n",
      " ",
    ],
    ...[
      "{",
      "}",
      "[",
      "]",
      '"',
      ",",
      ":",
      ";",
      '"name"',
      '"search"',
      '"arguments"',
      '"q"',
      "x",
      "1",
      "-2.5e3",
      "null",
      "\\u00e9",
    ],
    ...[
      ...["<function=search>", "<parameter=", "q>", "n>", "list>", "</parameter>", "</function>", "\ud83d\ude00"],
      ...["search\n<arg_key>", "q</arg_key>", "<arg_value>", "</arg_value>"],
      call,
      `<tool_call>${call}</tool_call>`,
      '{"name": "search", "parameters": {}}',
      "search",
      "é😀",
      " ".repeat(600),
    ],
  );

  it("has the same parts however it is cut, and all of its calls are JSON", () => {
    const cases = fc.record({
      calls: fc.constantFrom(hermesCalls, mistral, mistralNamed, llama, deepSeek, coder, glm),
      thinks: fc.boolean(),
      callsFirst: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(words, { maxLength: 24 }), fc.infiniteStream(fc.nat(7)), cases, (said, cuts, options) => {
        const text = said.join("");
        const pieces: string[] = [];
        for (let at = 0; at < text.length; ) {
          const length = cuts.next().value as number;
          pieces.push(text.slice(at, at + length));
          at += length;
        }
        const whole = merge(read([text], options));
        expect(merge(read(pieces, options))).toEqual(whole);
        for (const part of read(pieces, options)) {
          if (part.type === "text" || part.type === "failed") expect(text.startsWith(part.text, part.at)).toBe(true);
        }
        for (const { name, arguments: args } of joinParts(whole).calls) {
          expect(name).not.toBe("");
          expect(typeof JSON.parse(args)).toBe("object");
        }
        // Nothing of what is no whitespace gets lost but marks and calls.
        if (!whole.some(({ type }) => type === "called")) {
          const { text: given, reasoning } = joinParts(whole);
          const bare = (text: string) => text.replaceAll(/<think>|<\/think>|\s/g, "");
          expect(bare(reasoning + given)).toBe(bare(text));
        }
      }),
      { numRuns: 3000 },
    );
  });
});
