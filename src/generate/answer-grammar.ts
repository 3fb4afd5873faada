import { describeValue, GrokError } from "../errors.ts";
import type { Grammar } from "../grammar/grammar.ts";
import type { AnswerSyntax, CallSyntax, NamedSyntax, ObjectSyntax, TaggedSyntax } from "./answer/syntax.ts";
import { spaces, taggedArguments } from "./tagged-arguments.ts";
import type { ToolChoice, ToolDefinition } from "./types.ts";

/** Where an answer begins: in a thought that its prompt opened, where it may open one itself, or where nothing it says is one. */
export type Beginning = "in a thought" | "before a thought" | "in text";

export interface AnswerGrammarOptions {
  readonly syntax: AnswerSyntax;
  readonly tools: readonly ToolDefinition[];
  readonly choice: ToolChoice;
  /** What an answer that calls nothing has to be; undefined: any text. */
  readonly form: Grammar | undefined;
  /** Whether an answer may call several times. */
  readonly parallel: boolean;
  readonly beginning: Beginning;
  /** Whether a control token has this name. */
  readonly isControl: (mark: string) => boolean;
}

/**
 * What an answer has to be so that its calls are of these tools, with arguments that their schemas allow, and it has its form where
 * it calls nothing; behind a thought in any words. Undefined: it is free.
 * @throws GrokError `argument` for a choice that is none, or cannot be made of these tools
 */
export function answerGrammar(options: AnswerGrammarOptions): Grammar | undefined {
  const { syntax, beginning, isControl } = options;
  const answer = behindThought(options);
  const { reasoning } = syntax;
  if (answer === undefined || reasoning === undefined || beginning === "in text") return answer;
  const rest = [upTo(reasoning.close, isControl), { repeat: { text: "\n" }, max: 2 }, answer];
  if (beginning === "in a thought") return { sequence: rest };
  return { choice: [{ sequence: [markOf(reasoning.open, isControl), ...rest] }, answer] };
}

function behindThought({
  syntax,
  tools,
  choice,
  form,
  parallel,
  isControl,
}: AnswerGrammarOptions): Grammar | undefined {
  const { among, must, narrowed, one } = readChoice(choice, tools);
  if (!must && form === undefined && !narrowed && !among.some(isStrict)) return undefined;
  const { calls } = syntax;
  // A template with calls of an unknown kind has refused the tools before.
  if (calls === undefined || among.length === 0) return form;
  const writing: Writing = { tools: among, parallel: parallel && !one, holdsAll: must, isControl };
  if (must) return callsOf(calls, writing);
  return form === undefined ? textWithCalls(calls, writing) : { choice: [form, callsOf(calls, writing)] };
}

interface ReadChoice {
  /** The tools that may be called. */
  readonly among: readonly ToolDefinition[];
  /** Whether one of them must be. */
  readonly must: boolean;
  /** Whether the model knows of others. */
  readonly narrowed: boolean;
  /** Whether it is called once. */
  readonly one: boolean;
}

function readChoice(choice: ToolChoice, tools: readonly ToolDefinition[]): ReadChoice {
  const given = typeof choice === "object" && choice !== null ? choice : { mode: choice };
  const {
    name,
    names = name === undefined ? undefined : [name],
    mode = "required",
  } = given as Partial<Extract<ToolChoice, { name: string }> & Extract<ToolChoice, { names: unknown }>>;
  const areNames = names === undefined || (Array.isArray(names) && names.every((one) => typeof one === "string"));
  if ((mode !== "auto" && mode !== "required") || !areNames) {
    wrongChoice(`is ${describeValue(choice)}, expected "auto", "required", { name } or { names, mode }`);
  }
  const missing = names?.find((one) => !tools.some((tool) => tool.function.name === one));
  if (missing !== undefined) wrongChoice(`names ${missing}, which is no tool`);
  const among = names === undefined ? tools : tools.filter((tool) => names.includes(tool.function.name));
  if (mode === "required" && among.length === 0) wrongChoice("is required, but there are no tools");
  return { among, must: mode === "required", narrowed: among.length < tools.length, one: name !== undefined };
}

/** Any text up to a mark, and the mark; also where that is a control token, which is in no text. */
function upTo(mark: string, isControl: (mark: string) => boolean): Grammar {
  return isControl(mark) ? { sequence: [{ without: mark }, { control: mark }] } : { until: mark };
}

interface Writing extends Pick<AnswerGrammarOptions, "tools" | "parallel" | "isControl"> {
  /** Whether arguments are held to the schemas of all tools, and not of those alone that are `strict`. */
  readonly holdsAll: boolean;
}

const isStrict = ({ function: { strict } }: ToolDefinition) => strict === true;

function wrongChoice(what: string): never {
  throw new GrokError("argument", `toolChoice ${what}`, { option: "toolChoice" });
}

const colon: Grammar = { regex: ": ?" };
const comma: Grammar = { regex: ", ?" };
const json = (value: string): Grammar => ({ text: JSON.stringify(value) });

/** Control tokens, and what of a mark is text: DeepSeek's `<｜tool▁call▁begin｜>function<｜tool▁sep｜>` is both. */
function markOf(mark: string, isControl: (mark: string) => boolean): Grammar {
  const pieces = isControl(mark) ? [mark] : mark.split(/(<｜[^｜]*｜>)/).filter((piece) => piece !== "");
  return { sequence: pieces.map((piece) => (isControl(piece) ? { control: piece } : { text: piece })) };
}

const openOf = (syntax: CallSyntax) => (syntax.kind === "object" ? syntax.open : (syntax.open ?? syntax.before));

/** One call, or several where these are wanted and the way of writing them has it. */
function callsOf(syntax: CallSyntax, writing: Writing): Grammar {
  if (syntax.kind === "object" && syntax.bare) return objectCall(syntax, writing);
  const marked: Grammar = {
    sequence: [markOf(openOf(syntax), writing.isControl), spaces, behindMark(syntax, writing)],
  };
  const again = goesOn(syntax) && (syntax.kind !== "named" || syntax.open === undefined);
  return again ? several(marked, [spaces], writing) : marked;
}

/** Whether calls have an end that other text, or more calls, can be told from. */
const goesOn = (syntax: CallSyntax) => syntax.kind !== "object" || syntax.close !== undefined;

function several(item: Grammar, between: readonly Grammar[], { parallel }: Writing): Grammar {
  return parallel ? { sequence: [item, { repeat: { sequence: [...between, item] } }] } : item;
}

/** What comes behind the mark that opens calls, up to their end. */
function behindMark(syntax: CallSyntax, writing: Writing): Grammar {
  const { isControl } = writing;
  const close = syntax.close === undefined ? [] : [spaces, markOf(syntax.close, isControl)];
  if (syntax.kind === "object") {
    const call = objectCall(syntax, writing);
    const items = syntax.list ? [{ text: "[" }, several(call, [comma], writing), { text: "]" }] : [call];
    return { sequence: [...items, ...close] };
  }
  const call = syntax.kind === "named" ? namedCall(syntax, writing) : taggedCall(syntax, writing);
  if (syntax.open === undefined) return call;
  const marked: Grammar = { sequence: [markOf(syntax.before, isControl), call] };
  // Calls between marks have the outer ones each.
  return { sequence: [syntax.kind === "named" ? several(marked, [spaces], writing) : marked, ...close] };
}

function objectCall({ typed, field = "arguments" }: ObjectSyntax, writing: Writing): Grammar {
  const type: readonly Grammar[] = typed ? [json("type"), colon, json("function"), comma] : [];
  const calls = writing.tools.map((tool): Grammar => {
    const name: readonly Grammar[] = [json("name"), colon, json(tool.function.name), comma];
    return { sequence: [...type, ...name, json(field), colon, argumentsOf(tool, writing)] };
  });
  return { sequence: [{ text: "{" }, spaces, { choice: calls }, spaces, { text: "}" }] };
}

function namedCall({ between, after }: NamedSyntax, writing: Writing): Grammar {
  const { tools, isControl } = writing;
  const calls = tools.map((tool): Grammar => {
    return { sequence: [nameOf(tool), markOf(between, isControl), spaces, argumentsOf(tool, writing)] };
  });
  return { sequence: [{ choice: calls }, ...(after === undefined ? [] : [spaces, markOf(after, isControl)])] };
}

function taggedCall(syntax: TaggedSyntax, { tools, isControl, holdsAll }: Writing): Grammar {
  const { named, after } = syntax;
  const marks = { mark: (mark: string) => markOf(mark, isControl), upTo: (mark: string) => upTo(mark, isControl) };
  const calls = tools.map((tool): Grammar => {
    const args = taggedArguments(syntax, tool, holdsAll || isStrict(tool), marks);
    return { sequence: [nameOf(tool), ...(named === undefined ? [] : [markOf(named, isControl)]), ...args] };
  });
  return { sequence: [{ choice: calls }, spaces, markOf(after, isControl)] };
}

/** The name of a tool, where it stands without quotes. */
function nameOf({ function: { name } }: ToolDefinition): Grammar {
  if (/^[^\s"{}[\]<>]+$/.test(name)) return { text: name };
  const message = `tools: the model's chat template has no way to call ${JSON.stringify(name)}`;
  throw new GrokError("argument", message, { option: "tools" });
}

/** What says nothing of an object's members. */
const silent: ReadonlySet<string> = new Set(["type", "properties", "required", "title", "description", "$schema"]);

/** A JSON object that the tool's schema allows; of a tool that is not `strict` any, where calling is left to the model. */
function argumentsOf(tool: ToolDefinition, { holdsAll }: Writing): Grammar {
  if (!holdsAll && !isStrict(tool)) return { json: true };
  const { name, parameters = {} } = tool.function;
  const { type, properties = {} } = parameters;
  if (type !== undefined && type !== "object" && !(Array.isArray(type) && type.includes("object"))) {
    const message = `tools: the parameters of ${name} have the type ${JSON.stringify(type)}, expected "object"`;
    throw new GrokError("argument", message, { option: "tools", tool: name });
  }
  const schema = { ...parameters, type: "object" };
  // A tool without parameters: what any object is valid for is called with none.
  const takesNone =
    Object.keys(parameters).every((key) => silent.has(key)) && Object.keys(properties as object).length === 0;
  return { schema: takesNone ? { ...schema, additionalProperties: false } : schema, tool: name };
}

/** Text in which whatever begins as a call is one. */
function textWithCalls(syntax: CallSyntax, writing: Writing): Grammar {
  const { parallel, isControl } = writing;
  const open = openOf(syntax);
  const rest: Grammar = { sequence: [spaces, behindMark(syntax, writing)] };
  const call: Grammar = { sequence: [upTo(open, isControl), rest] };
  const text: Grammar =
    parallel && goesOn(syntax)
      ? { sequence: [{ repeat: call }, { without: open }] }
      : { choice: [{ without: open }, call] };
  if (syntax.kind !== "object" || !syntax.bare) return text;
  // What begins with a brace is a call also without the mark.
  const begin: Grammar = { regex: `\\s*[^\\s{${open[0] === "[" ? "\\[" : open[0]}]` };
  const marked: Grammar = { sequence: [{ regex: "\\s*" }, markOf(open, isControl), rest] };
  return { choice: [objectCall(syntax, writing), marked, { sequence: [begin, text] }, { regex: "\\s*" }] };
}
