import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import type { GrokError } from "../errors.ts";
import { compileGrammar } from "../grammar/compile.ts";
import { accepts, automatonOf, createNumbers, randomText } from "../grammar/grammar.case.ts";
import type { Grammar } from "../grammar/grammar.ts";
import { createAnswerReader } from "./answer/answer-reader.ts";
import { joinParts } from "./answer/parts.ts";
import { type AnswerSyntax, type CallSyntax, hermesCalls } from "./answer/syntax.ts";
import { type AnswerGrammarOptions, answerGrammar } from "./answer-grammar.ts";
import type { ToolChoice, ToolDefinition } from "./types.ts";

const weather = {
  type: "object",
  properties: { city: { $ref: "#/$defs/city" }, days: { type: "integer", minimum: 1, maximum: 7 } },
  required: ["city"],
  additionalProperties: false,
  $defs: { city: { enum: ["Kyoto", 'Na"ra'] } },
};
const note = {
  properties: {
    text: { type: "string", maxLength: 5 },
    tags: { type: "array", items: { $ref: "#/$defs/tag" }, maxItems: 2 },
  },
  required: ["text"],
  $defs: { tag: { type: "string", pattern: "^[a-c]+$" } },
};
const tool = (name: string, parameters?: object, strict?: boolean): ToolDefinition => ({
  type: "function",
  function: { name, ...(parameters && { parameters: { ...parameters } }), ...(strict && { strict }) },
});
const schemas: Readonly<Record<string, object>> = {
  get_weather: weather,
  "take-note": note,
  now: { type: "object", additionalProperties: false },
};
const tools = [tool("get_weather", weather), tool("take-note", note), tool("now")];

const deepSeek: CallSyntax = {
  ...{ kind: "named", open: "<｜tool▁calls▁begin｜>", close: "<｜tool▁calls▁end｜>" },
  ...{ before: "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", between: "```json", after: "```<｜tool▁call▁end｜>" },
};
const syntaxes: Readonly<Record<string, CallSyntax>> = {
  Hermes: hermesCalls,
  "Hermes with types": { ...hermesCalls, typed: true },
  "Mistral's list": { kind: "object", open: "[TOOL_CALLS]", list: true },
  "Mistral's names": { kind: "named", before: "[TOOL_CALLS]", between: "[ARGS]" },
  Phi: { kind: "object", open: "<|tool_call|>" },
  Llama: { kind: "object", open: "<|python_tag|>", bare: true, field: "parameters" },
  DeepSeek: deepSeek,
  "Qwen3-Coder": {
    ...{ kind: "tagged", open: "<tool_call>", close: "</tool_call>", before: "<function=", named: ">" },
    ...{ after: "</function>", key: "<parameter=", value: [">"], end: "</parameter>", padded: true },
  },
  GLM: {
    ...{ kind: "tagged", before: "<tool_call>", after: "</tool_call>" },
    ...{ key: "<arg_key>", value: ["</arg_key>", "<arg_value>"], end: "</arg_value>" },
  },
};
const several = new Set([
  "Hermes",
  "Hermes with types",
  "Mistral's list",
  "Mistral's names",
  "DeepSeek",
  "Qwen3-Coder",
  "GLM",
]);
const isMark = (text: string) => /^(<\|\w+\|>|<\/?\w+>|\[[A-Z_]+\]|<｜[^｜]+｜>)$/.test(text);

const ajv = new Ajv2020({ strict: false });
const valid = new Map(Object.entries(schemas).map(([name, schema]) => [name, ajv.compile(schema)]));

interface Case {
  readonly choice: ToolChoice;
  readonly parallel?: boolean;
  readonly offered?: readonly ToolDefinition[];
  readonly isControl?: (mark: string) => boolean;
  readonly syntax: AnswerSyntax;
  readonly form?: Grammar;
}

const optionsOf = ({
  choice,
  parallel = true,
  offered = tools,
  isControl = () => false,
  syntax,
  form,
}: Case): AnswerGrammarOptions => ({
  ...{ syntax, choice, parallel, tools: offered, isControl, form, beginning: "before a thought" },
});

/** What is read of answers that a grammar allows, every other of which begins so. */
function* answersOf(one: Case, count = 60, begin?: Uint8Array) {
  const automaton = automatonOf(answerGrammar(optionsOf(one))!);
  const random = createNumbers(7);
  const offered = new Map((one.offered ?? tools).map((tool) => [tool.function.name, tool.function.parameters]));
  for (let i = 0; i < count; i++) {
    const answer = randomText(automaton, random, 3000, i % 2 === 0 ? begin : undefined)?.replaceAll("\ufffd", "");
    if (answer === undefined) continue;
    const reader = createAnswerReader({
      ...one.syntax,
      tools: offered,
      callsFirst: one.form !== undefined,
      held: true,
    });
    yield { answer, ...joinParts([...reader.push(answer), ...reader.end()]) };
  }
}

const marks = [
  ["text", () => false],
  ["control tokens", isMark],
] as const;
const cases = Object.entries(syntaxes).flatMap(([name, calls]) =>
  marks.map(([kind, isControl]) => ({ name, kind, isControl, syntax: { reasoning: undefined, calls } })),
);

describe("answers that are to call", () => {
  it.each(cases)("as $name, marks being $kind, are valid calls and nothing else", ({ name, isControl, syntax }) => {
    const counts = new Set<number>();
    const called = new Set<string>();
    for (const { answer, text, calls } of answersOf({ choice: "required", isControl, syntax })) {
      expect([answer, text.trim()]).toEqual([answer, ""]);
      for (const { name, arguments: args } of calls) {
        expect([answer, valid.get(name)!(JSON.parse(args))]).toEqual([answer, true]);
        called.add(name);
      }
      counts.add(Math.min(2, calls.length));
    }
    expect([...counts].sort()).toEqual(several.has(name) ? [1, 2] : [1]);
    expect([...called].sort()).toEqual(Object.keys(schemas).sort());
  });

  it.each(cases)("as $name, marks being $kind, call once where several are not wanted, or one is named", (one) => {
    for (const choice of ["required", { name: "take-note" }] as const) {
      const answers = [...answersOf({ ...one, choice, parallel: choice !== "required" }, 20)];
      expect(answers.length).toBeGreaterThan(10);
      for (const { answer, text, calls } of answers) {
        expect([answer, text.trim(), calls.length]).toEqual([answer, "", 1]);
        if (choice !== "required") expect(calls[0]!.name).toBe("take-note");
      }
    }
  });
});

it.each(cases.filter(({ syntax }) => syntax.calls?.kind === "tagged"))(
  "texts between marks, as $name writes them, marks being $kind, are what their schemas say",
  ({ isControl, syntax }) => {
    const { end } = syntax.calls as { readonly end: string };
    const text = { type: "string" };
    const properties = {
      a: { ...text, pattern: "^[a-c<>/]+$", minLength: 2, maxLength: 30 },
      b: { anyOf: [{ const: `x${end.slice(0, -1)}` }, { ...text, pattern: "^[a<]{0,3}<b>$" }] },
      c: { ...text, minLength: 3, maxLength: 5 },
      d: { allOf: [{ $ref: "#/$defs/date" }, { ...text, pattern: "^2026" }] },
      e: { enum: ["one\n", "\ntwo", `x${end}`] },
      f: {
        oneOf: [
          { ...text, maxLength: 2 },
          { ...text, minLength: 4, pattern: "^é+$" },
        ],
      },
    };
    const $defs = { date: { ...text, format: "date" } };
    const schema = { type: "object", properties, required: Object.keys(properties), $defs };
    const check = new Ajv2020({ strict: false, formats: { date: /^\d{4}-\d\d-\d\d$/ } }).compile(schema);
    const offered = [tool("f", schema)];
    const seen = new Set<string>();
    for (const { answer, text, calls } of answersOf(
      { choice: "required", parallel: false, offered, isControl, syntax },
      40,
    )) {
      expect([answer, text.trim(), calls.length]).toEqual([answer, "", 1]);
      const args = JSON.parse(calls[0]!.arguments);
      expect([answer, args, check(args)]).toEqual([answer, args, true]);
      seen.add(args.e);
    }
    expect([...seen].sort()).toEqual(["\ntwo", "one\n"]);
  },
);

describe("answers that may call strict tools", () => {
  const offered = [tool("get_weather", weather, true), tool("take-note", note)];

  it.each(cases)("as $name, marks being $kind, are text and calls, valid ones", ({ isControl, syntax }) => {
    const kinds = new Set<string>();
    const { open, before } = syntax.calls as { readonly open?: string; readonly before?: string };
    const mark = open ?? before!;
    const begin = Buffer.concat([Buffer.from("So "), Buffer.from(isControl(mark) ? [0xff] : []), Buffer.from(mark)]);
    for (const { answer, calls } of answersOf({ choice: "auto", offered, isControl, syntax }, 80, begin)) {
      if (answer.includes(mark) || calls.length > 0) expect([answer, calls.length > 0]).toEqual([answer, true]);
      for (const { name, arguments: args } of calls) {
        if (name === "get_weather") expect([answer, valid.get(name)!(JSON.parse(args))]).toEqual([answer, true]);
      }
      kinds.add(calls.length > 0 ? "calls" : "text");
    }
    expect([...kinds].sort()).toEqual(["calls", "text"]);
  });

  it("may think before, of calls too, in any words", () => {
    const reasoning = { open: "<think>", close: "</think>" };
    const automaton = automatonOf(
      answerGrammar(optionsOf({ choice: "auto", offered, syntax: { reasoning, calls: hermesCalls } }))!,
    );
    const call = '<tool_call>{"name": "get_weather", "arguments": {"city": "Kyoto"}}</tool_call>';
    expect(accepts(automaton, `<think>A <tool_call> perhaps.</think>\n\nSo. ${call} And ${call}`)).toBe(true);
    expect(accepts(automaton, `<think>Hm.</think>${call.replace("Kyoto", "Oslo")}`)).toBe(false);
    expect(accepts(automaton, "No <think> or <tool.")).toBe(true);
    expect(accepts(automaton, "No <tool_call>")).toBe(false);
  });

  it("are held to some of the tools where the others are not allowed", () => {
    const syntax = { reasoning: undefined, calls: hermesCalls };
    const names = ["now"];
    const begin = Buffer.from("So <tool_call>");
    const kinds = new Set<number>();
    for (const { calls } of answersOf({ choice: { names, mode: "auto" }, syntax }, 40, begin)) {
      expect(calls.every(({ name }) => names.includes(name))).toBe(true);
      kinds.add(Math.min(1, calls.length));
    }
    expect([...kinds].sort()).toEqual([0, 1]);
    const must = [...answersOf({ choice: { names: ["now", "take-note"], mode: "required" }, syntax }, 40)];
    expect(new Set(must.flatMap(({ calls }) => calls.map(({ name }) => name)))).toEqual(new Set(["now", "take-note"]));
    for (const { text, calls } of must) expect([text.trim(), calls.length > 0]).toEqual(["", true]);
  });

  it("are free where none is strict", () => {
    expect(answerGrammar(optionsOf({ choice: "auto", syntax: { reasoning: undefined, calls: hermesCalls } }))).toBe(
      undefined,
    );
  });
});

describe("answers that may call, and have a form where they do not", () => {
  const offered = [tool("get_weather", weather, true), tool("take-note", note)];
  const form: Grammar = {
    schema: {
      type: "object",
      properties: { said: { enum: ["<tool_call>", "[TOOL_CALLS]", "<think>"] }, n: { type: "integer" } },
      required: ["said", "n"],
    },
  };
  const isForm = ajv.compile((form as { readonly schema: object }).schema);

  it.each(cases)("as $name, marks being $kind, are the one or the other", ({ isControl, syntax }) => {
    const kinds = new Set<string>();
    for (const { answer, text, calls } of answersOf({ choice: "auto", offered, form, isControl, syntax }, 80)) {
      if (calls.length === 0) expect([answer, isForm(JSON.parse(text))]).toEqual([answer, true]);
      else expect([answer, text.trim()]).toEqual([answer, ""]);
      for (const { name, arguments: args } of calls) {
        expect([answer, name !== "get_weather" || valid.get(name)!(JSON.parse(args))]).toEqual([answer, true]);
      }
      kinds.add(calls.length > 0 ? "calls" : "form");
    }
    expect([...kinds].sort()).toEqual(["calls", "form"]);
  });

  it("only call where they must, and have the form alone where there are no tools", () => {
    const syntax = { reasoning: undefined, calls: hermesCalls };
    for (const { calls } of answersOf({ choice: "required", form, syntax }, 20))
      expect(calls.length).toBeGreaterThan(0);
    const alone = { choice: "auto", form, syntax, offered: [] } as const;
    expect(answerGrammar(optionsOf(alone))).toBe(form);
  });

  it("think before, also where a prompt has opened the thought, and not where it has closed it", () => {
    const syntax = { reasoning: { open: "<think>", close: "</think>" }, calls: hermesCalls };
    const options = optionsOf({ choice: "auto", offered, form: { text: "{}" }, syntax });
    const held = (beginning: AnswerGrammarOptions["beginning"]) =>
      automatonOf(answerGrammar({ ...options, beginning })!);
    const call = '<tool_call>{"name": "take-note", "arguments": {}}</tool_call>';
    for (const answer of ["{}", call]) {
      const answers = [answer, `Hm.</think>\n\n${answer}`, `<think>Hm.</think>\n${answer}`];
      const allowed = (["in text", "in a thought", "before a thought"] as const).map((beginning) =>
        answers.map((one) => accepts(held(beginning), one)),
      );
      expect(allowed).toEqual([
        [true, false, false],
        [false, true, true],
        [true, false, true],
      ]);
    }
  });
});

describe("what cannot be held to", () => {
  const hold = (choice: unknown, offered: readonly ToolDefinition[] = tools, calls: CallSyntax = hermesCalls) => {
    try {
      compileGrammar(
        answerGrammar(optionsOf({ choice: choice as ToolChoice, offered, syntax: { reasoning: undefined, calls } }))!,
      );
    } catch (error) {
      return [(error as GrokError).code, (error as GrokError).message];
    }
    return [];
  };

  it.each([
    [
      "a schema",
      "required",
      [tools[0]!, tool("f", { properties: { a: { not: {} } } })],
      "unsupported",
      /^tools: the parameters of f: schema #\/properties\/a\/not/,
    ],
    [
      "arguments that are no object",
      "required",
      [tool("f", { type: "string" })],
      "argument",
      /parameters of f have the type "string"/,
    ],
    ["no tools", "required", [], "argument", /toolChoice is required, but there are no tools/],
    ["a tool that is not there", { name: "f" }, tools, "argument", /toolChoice names f, which is no tool/],
    ["another choice", "any", tools, "argument", /toolChoice is the text "any"/],
    ["nothing", null, tools, "argument", /toolChoice is null/],
  ] as const)("%s", (_, choice, offered, code, message) => {
    expect(hold(choice, offered)).toEqual([code, expect.stringMatching(message)]);
  });

  it("a name that a template cannot write", () => {
    expect(hold("required", [tool("a tool")])).toEqual([]);
    const tagged = syntaxes["Qwen3-Coder"]!;
    const named = [tool("f", { properties: { "a b": {} } })];
    expect(hold("required", named, tagged)).toEqual(["unsupported", expect.stringMatching(/of f: "a b" is a name/)]);
    const patterned = [tool("f", { properties: { a: { type: "string", pattern: "(?=x)" } } })];
    expect(hold("required", patterned, tagged)).toEqual([
      "unsupported",
      expect.stringMatching(/of f: .*looking ahead/),
    ]);
    const marked = [tool("f", { properties: { a: { enum: ["</parameter>"] } } })];
    expect(hold("required", marked, tagged)).toEqual(["unsupported", expect.stringMatching(/nothing meets together/)]);
    const counted = [tool("f", { minProperties: 1 })];
    expect(hold("required", counted, tagged)).toEqual(["unsupported", expect.stringMatching(/f: .*"minProperties"/)]);
    expect(hold("required", [tool("a tool")], deepSeek)).toEqual([
      "argument",
      expect.stringMatching(/no way to call "a tool"/),
    ]);
  });
});
