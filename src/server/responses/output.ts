import type { TokenLogprob } from "../../engine/request.ts";
import type { AnswerPart } from "../../generate/answer/parts.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { type ListedToken, listLogprobs } from "../openai/fields.ts";
import { sealThoughts } from "./items.ts";

export interface OutputOptions {
  /** Of the response, from which items have theirs. */
  readonly id: string;
  /** Tools that are given a text in place of arguments. */
  readonly custom: ReadonlySet<string>;
  /** Whether thoughts are given sealed too. */
  readonly seals: boolean;
  /** Of the model that writes. */
  readonly tokenizer: Tokenizer;
  readonly emit: (type: string, data: object) => void;
}

/** Makes items of what comes, and tells of each step by the names that OpenAI has for its events. */
export interface Output {
  push(part: AnswerPart): void;
  /** @param broken whether what came last is not whole. @returns all items */
  end(broken: boolean): readonly object[];
}

interface Open {
  readonly kind: "text" | "reasoning" | "call" | "custom";
  readonly item: Record<string, unknown>;
  text: string;
  /** Of the tokens of a text, where these were asked for. */
  readonly logprobs: ListedToken[];
}

/** As events have them. */
const withoutBytes = (listed: readonly ListedToken[]) =>
  listed.map(({ bytes: _, top_logprobs: top, ...entry }) => ({
    ...entry,
    top_logprobs: top.map(({ bytes: __, ...other }) => other),
  }));

export function createOutput({ id, custom, seals, tokenizer, emit }: OutputOptions): Output {
  const items: object[] = [];
  let open: Open | undefined;

  const place = () => ({ item_id: open!.item.id, output_index: items.length });
  const inPart = () => ({ ...place(), content_index: 0 });
  const outputText = (text: string, logprobs: readonly ListedToken[] = []) => ({
    ...{ type: "output_text", text, annotations: [], logprobs },
  });
  const thought = (text: string) => ({ type: "reasoning_text", text });

  function begin(kind: Open["kind"], prefix: string, rest: Record<string, unknown>): void {
    close();
    const item = { id: `${prefix}_${id}_${items.length}`, ...rest };
    open = { kind, item, text: "", logprobs: [] };
    emit("response.output_item.added", { output_index: items.length, item });
    const part = kind === "text" ? outputText("") : kind === "reasoning" ? thought("") : undefined;
    if (part !== undefined) emit("response.content_part.added", { ...inPart(), part });
  }

  const deltas = {
    text: "response.output_text.delta",
    reasoning: "response.reasoning_text.delta",
    call: "response.function_call_arguments.delta",
    custom: "response.custom_tool_call_input.delta",
  };

  function add(text: string, given: readonly TokenLogprob[] = []): void {
    open!.text += text;
    const { kind } = open!;
    const logprobs = listLogprobs(tokenizer, given);
    open!.logprobs.push(...logprobs);
    const isPart = kind === "text" || kind === "reasoning";
    emit(deltas[kind], {
      ...{ ...(isPart ? inPart() : place()), delta: text },
      ...(kind === "text" && { logprobs: withoutBytes(logprobs) }),
    });
  }

  function close(status = "completed"): void {
    if (open === undefined) return;
    const { kind, item, text, logprobs } = open;
    if (kind === "call") {
      emit("response.function_call_arguments.done", { ...place(), name: item.name, arguments: text });
      finish({ ...item, status, arguments: text });
    } else if (kind === "custom") {
      emit("response.custom_tool_call_input.done", { ...place(), input: text });
      finish({ ...item, status, input: text });
    } else if (kind === "text") {
      emit("response.output_text.done", { ...inPart(), text, logprobs: withoutBytes(logprobs) });
      emit("response.content_part.done", { ...inPart(), part: outputText(text, logprobs) });
      finish({ ...item, status, content: [outputText(text, logprobs)] });
    } else {
      emit("response.reasoning_text.done", { ...inPart(), text });
      emit("response.content_part.done", { ...inPart(), part: thought(text) });
      finish({ ...item, content: [thought(text)], ...(seals && { encrypted_content: sealThoughts(text) }) });
    }
  }

  function finish(item: object): void {
    emit("response.output_item.done", { output_index: items.length, item });
    items.push(item);
    open = undefined;
  }

  /** A custom tool's text stands in its arguments' JSON, which has to be whole before it is read. */
  let held: { readonly name: string; readonly index: number; text: string } | undefined;

  function push(part: AnswerPart): void {
    switch (part.type) {
      case "text":
        if (open?.kind !== "text") begin("text", "msg", messageItem());
        add(part.text, part.logprobs);
        break;
      case "reasoning":
        if (open?.kind !== "reasoning") begin("reasoning", "rs", { type: "reasoning", summary: [] });
        add(part.text);
        break;
      case "call":
        if (custom.has(part.name)) held = { name: part.name, index: part.index, text: "" };
        else begin("call", "fc", callItem("function_call", part.index, part.name, { arguments: "" }));
        break;
      case "arguments":
        if (held === undefined) add(part.text);
        else held.text += part.text;
        break;
      case "called":
        if (held !== undefined) {
          begin("custom", "ctc", callItem("custom_tool_call", held.index, held.name, { input: "" }));
          add(inputOf(held.text));
          held = undefined;
        }
        close();
        break;
      case "failed":
        if (held === undefined) close("incomplete");
        held = undefined;
        begin("text", "msg", messageItem());
        add(part.text, part.logprobs);
    }
  }

  const messageItem = () => ({ type: "message", status: "in_progress", role: "assistant", content: [] });
  const callItem = (type: string, index: number, name: string, rest: object) => ({
    ...{ type, status: "in_progress", call_id: `call_${id}_${index}`, name, ...rest },
  });

  return {
    push,
    end(broken) {
      close(broken ? "incomplete" : "completed");
      return items;
    },
  };
}

/** What the model wrote for a custom tool: its one text, or what it made of the arguments itself. */
function inputOf(args: string): string {
  const { input } = JSON.parse(args) as { readonly input?: unknown };
  return typeof input === "string" ? input : args;
}
