/** How a family of models writes that it calls tools. Whitespace between the parts does not matter. */
export type CallSyntax = ObjectSyntax | NamedSyntax | TaggedSyntax;

/** JSON objects that have a tool's name and its arguments, or a list of them. */
export interface ObjectSyntax {
  readonly kind: "object";
  readonly open: string;
  /** Absent: calls go on to the end of the answer. */
  readonly close?: string;
  /** Whether an answer that begins with such an object is a call also without `open`. */
  readonly bare?: boolean;
  /** How the template writes what may be written in several ways: calls in a list, with their type first, and where arguments stand. */
  readonly list?: boolean;
  readonly typed?: boolean;
  readonly field?: "arguments" | "parameters";
}

/** A tool's name, then its arguments. */
export interface NamedSyntax {
  readonly kind: "named";
  /** Around all calls. */
  readonly open?: string;
  readonly close?: string;
  /** Of each call: before its name, between that and the arguments, and after these. */
  readonly before: string;
  readonly between: string;
  readonly after?: string;
}

/** A tool's name, then its arguments one by one: texts as they are, all else as JSON. */
export interface TaggedSyntax {
  readonly kind: "tagged";
  /** Around a call, or several. A model may leave `open` out. */
  readonly open?: string;
  readonly close?: string;
  /** Of each call: before its name, what ends that (absent: whitespace, or a mark), and after the arguments. */
  readonly before: string;
  readonly named?: string;
  readonly after: string;
  /** Of each argument: before its name, between that and the value, which may be two marks, and after it. */
  readonly key: string;
  readonly value: readonly [string] | readonly [string, string];
  readonly end: string;
  /** Whether a value stands on lines of its own: the breaks around it are no part of it. */
  readonly padded?: boolean;
}

/** Where a model's thoughts begin and end. */
export interface ReasoningSyntax {
  readonly open: string;
  readonly close: string;
}

/** How the answers of a model are to be read. */
export interface AnswerSyntax {
  readonly reasoning: ReasoningSyntax | undefined;
  /** Undefined: the template writes calls in a way that is not known here. */
  readonly calls: CallSyntax | undefined;
}

/** What Nous Research's Hermes models began and many follow; a model whose template knows no tools is asked for it in plain words. */
export const hermesCalls: ObjectSyntax = { kind: "object", open: "<tool_call>", close: "</tool_call>" };

const taggedCalls = (open: string, close: string): TaggedSyntax => ({
  ...{ kind: "tagged", open, close, before: "<function=", named: ">", after: "</function>" },
  ...{ key: "<parameter=", value: [">"], end: "</parameter>" },
});

/** What a template makes of a call of `name` with arguments, by which its way is known. */
const forms = (name: string): readonly (readonly [RegExp, CallSyntax])[] => {
  const object = `(\\{\\s*"type":\\s*"function",\\s*|\\{\\s*)"name":\\s*"${name}"`;
  const deepSeek: NamedSyntax = {
    kind: "named",
    ...{ open: "<｜tool▁calls▁begin｜>", close: "<｜tool▁calls▁end｜>", after: "<｜tool▁call▁end｜>" },
    ...{ before: "<｜tool▁call▁begin｜>", between: "<｜tool▁sep｜>" },
  };
  return [
    [new RegExp(`<tool_call>\\s*\\[?\\s*${object}`), hermesCalls],
    [new RegExp(`<tool_calls>\\s*${object}`), { kind: "object", open: "<tool_calls>", close: "</tool_calls>" }],
    [new RegExp(`<\\|tool_call\\|>\\s*\\[?\\s*${object}`), { kind: "object", open: "<|tool_call|>" }],
    [new RegExp(`\\[TOOL_CALLS\\]\\s*\\[?\\s*${object}`), { kind: "object", open: "[TOOL_CALLS]" }],
    [
      new RegExp(`\\[TOOL_CALLS\\]\\s*${name}.*\\[ARGS\\]`),
      { kind: "named", before: "[TOOL_CALLS]", between: "[ARGS]" },
    ],
    [new RegExp(`<｜tool▁call▁begin｜>${name}<｜tool▁sep｜>\\s*\\{`), deepSeek],
    [
      new RegExp(`<｜tool▁call▁begin｜>function<｜tool▁sep｜>${name}\\s*\`\`\`json`),
      {
        ...deepSeek,
        ...{
          before: `${deepSeek.before}function${deepSeek.between}`,
          between: "```json",
          after: `\`\`\`${deepSeek.after}`,
        },
      },
    ],
    // Qwen3-Coder's, which later models have too.
    [new RegExp(`<tool_call>\\s*<function=${name}>\\s*<parameter=`), taggedCalls("<tool_call>", "</tool_call>")],
    [
      new RegExp(`<seed:tool_call>\\s*<function=${name}>\\s*<parameter=`),
      taggedCalls("<seed:tool_call>", "</seed:tool_call>"),
    ],
    [
      new RegExp(`<minimax:tool_call>\\s*<invoke name="${name}">\\s*<parameter name="`),
      {
        ...{ kind: "tagged", open: "<minimax:tool_call>", close: "</minimax:tool_call>" },
        ...{ before: '<invoke name="', named: '">', after: "</invoke>" },
        ...{ key: '<parameter name="', value: ['">'], end: "</parameter>" },
      },
    ],
    [
      new RegExp(`<tool_call>\\s*${name}\\s*<arg_key>`),
      {
        ...{ kind: "tagged", before: "<tool_call>", after: "</tool_call>" },
        ...{ key: "<arg_key>", value: ["</arg_key>", "<arg_value>"], end: "</arg_value>" },
      },
    ],
    // Llama 3: the object alone, or behind the token for what is to be run.
    [new RegExp(`(^|[>\\s])${object},\\s*"parameters":`), { kind: "object", open: "<|python_tag|>", bare: true }],
  ];
};

/**
 * @param rendered what a template makes of a conversation in which `name` is called, with the text `value` as the only argument.
 * Undefined: nothing that is known here.
 */
export function callSyntaxIn(rendered: string, name: string, value: string): CallSyntax | undefined {
  for (const [form, syntax] of forms(name)) {
    const match = form.exec(rendered);
    if (match === null) continue;
    if (syntax.kind === "named") return syntax;
    if (syntax.kind === "tagged") {
      const behind = rendered.slice(match.index);
      if (behind.includes(`\n${value}\n${syntax.end}`)) return { ...syntax, padded: true };
      return behind.includes(`${value}${syntax.end}`) ? syntax : undefined;
    }
    const field = /"(arguments|parameters)":/.exec(rendered.slice(match.index))?.[1];
    return {
      ...syntax,
      ...(/\[\s*\{/.test(match[0]) && { list: true }),
      ...(/"type":/.test(match[0]) && { typed: true }),
      ...(field === "parameters" && { field }),
    };
  }
  return undefined;
}

const reasoningForms: readonly ReasoningSyntax[] = [
  { open: "<think>", close: "</think>" },
  { open: "[THINK]", close: "[/THINK]" },
  { open: "<seed:think>", close: "</seed:think>" },
];

/** @param template its source: who knows where thoughts end takes them out of earlier answers, or shows how to write them. */
export function reasoningSyntaxIn(template: string): ReasoningSyntax | undefined {
  return reasoningForms.find(({ close }) => template.includes(close));
}

/** The marks of a syntax: where a vocabulary has control tokens of these names, they are to be read as text. */
export function marksOf({ reasoning, calls }: AnswerSyntax): readonly string[] {
  const ofCalls = (): readonly (string | undefined)[] => {
    if (calls === undefined) return [];
    const around = [calls.open, calls.close];
    if (calls.kind === "object") return around;
    if (calls.kind === "named") return [...around, calls.before, calls.between, calls.after];
    return [...around, calls.before, calls.named, calls.after, calls.key, ...calls.value, calls.end];
  };
  const marks = [reasoning?.open, reasoning?.close, ...ofCalls()].filter((mark) => mark !== undefined);
  // One mark may be several tokens, as in DeepSeek's `<｜tool▁call▁begin｜>function<｜tool▁sep｜>`; Mistral writes ids nobody needs.
  return marks.flatMap((mark) => [mark, ...(mark.match(/<｜[^｜]*｜>/g) ?? [])]).concat("[CALL_ID]");
}
