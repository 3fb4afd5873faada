import { z } from "zod";
import { GrokError } from "../../errors.ts";
import type { ChatMessage } from "../../generate/types.ts";
import { textOfParts } from "../tools.ts";

const only = (what: string) => ({
  error: ({ input }: { readonly input?: unknown }) => {
    const { type } = (input ?? {}) as { readonly type?: unknown };
    return `${typeof type === "string" ? `is ${JSON.stringify(type)}` : "has no type"}: ${what}`;
  },
});

const textPart = z.looseObject({ type: z.enum(["input_text", "output_text", "text"]), text: z.string() });
const refusalPart = z.looseObject({ type: z.literal("refusal"), refusal: z.string() });
const onlyTexts = only("only texts can be read here");
const texts = z.union([z.string(), z.array(z.discriminatedUnion("type", [textPart], onlyTexts))]);

const message = z.looseObject({
  type: z.literal("message").default("message"),
  role: z.enum(["user", "assistant", "system", "developer"]),
  content: z.union([z.string(), z.array(z.discriminatedUnion("type", [textPart, refusalPart], onlyTexts))]),
});

const reasoning = z.looseObject({
  type: z.literal("reasoning"),
  content: z.array(z.looseObject({ type: z.literal("reasoning_text"), text: z.string() })).nullish(),
  encrypted_content: z.string().nullish(),
});

const result = { call_id: z.string(), output: texts };

const typed = z.discriminatedUnion(
  "type",
  [
    message.extend({ type: z.literal("message") }),
    reasoning,
    z.looseObject({ type: z.literal("function_call"), call_id: z.string(), name: z.string(), arguments: z.string() }),
    z.looseObject({ type: z.literal("custom_tool_call"), call_id: z.string(), name: z.string(), input: z.string() }),
    z.looseObject({ type: z.literal("function_call_output"), ...result }),
    z.looseObject({ type: z.literal("custom_tool_call_output"), ...result }),
  ],
  only("messages, thoughts, calls of functions and custom tools and their results can be read here"),
);

/** What a conversation consists of: an answer's items, given back, among them. Who says no type gives a message. */
export const item = z.preprocess(
  (value) =>
    typeof value === "object" && value !== null && !("type" in value) ? { ...value, type: "message" } : value,
  typed,
);

export type Item = z.infer<typeof item>;

/** Thoughts as they are given to who keeps a conversation itself: for this server alone to read. */
const seal = "grok1:";

export function sealThoughts(text: string): string {
  return seal + Buffer.from(text).toString("base64");
}

function thoughtsOf({ content, encrypted_content: sealed }: z.infer<typeof reasoning>): string {
  if (content?.length) return textOfParts(content);
  return sealed?.startsWith(seal) ? Buffer.from(sealed.slice(seal.length), "base64").toString() : "";
}

/** Arguments of a custom tool, which templates know as a function with one text. */
export const customArguments = (input: string) => JSON.stringify({ input });

interface Answer {
  text: string;
  thoughts: string;
  readonly calls: object[];
}

/**
 * Messages as templates are given them: thoughts, texts and calls that follow one another are one answer.
 * @throws GrokError `argument` for a result of a call that is not there
 */
export function messagesOf(items: readonly Item[]): readonly ChatMessage[] {
  const messages: ChatMessage[] = [];
  const called = new Set<string>();
  let answer: Answer | undefined;

  const flush = () => {
    if (answer === undefined) return;
    const { text, thoughts, calls } = answer;
    answer = undefined;
    if (text === "" && calls.length === 0) return;
    messages.push({
      ...{ role: "assistant", content: text },
      ...(thoughts !== "" && { reasoning_content: thoughts }),
      ...(calls.length > 0 && { tool_calls: calls }),
    });
  };
  const answering = (): Answer => {
    answer ??= { text: "", thoughts: "", calls: [] };
    return answer;
  };
  const call = (id: string, name: string, args: string) => {
    called.add(id);
    answering().calls.push({ id, type: "function", function: { name, arguments: args } });
  };

  for (const item of items) {
    switch (item.type) {
      case "reasoning":
        if (answer !== undefined && (answer.text !== "" || answer.calls.length > 0)) flush();
        answering().thoughts += thoughtsOf(item);
        break;
      case "message": {
        const { role, content } = item;
        const text = typeof content === "string" ? content : content.map(textOfPart).join("\n");
        if (role !== "assistant") {
          flush();
          messages.push({ role: role === "developer" ? "system" : role, content: text });
          break;
        }
        if (answer !== undefined && (answer.text !== "" || answer.calls.length > 0)) flush();
        answering().text = text;
        break;
      }
      case "function_call":
        // One that broke off is no call that a result could follow.
        if (item.status !== "incomplete") call(item.call_id, item.name, item.arguments);
        break;
      case "custom_tool_call":
        call(item.call_id, item.name, customArguments(item.input));
        break;
      default: {
        flush();
        const { call_id: id, output } = item;
        if (!called.has(id)) {
          throw new GrokError("argument", `input: there is no call ${JSON.stringify(id)} before its result`, {
            option: "input",
          });
        }
        messages.push({ role: "tool", tool_call_id: id, content: textOfParts(output) });
      }
    }
  }
  flush();
  return messages;
}

const textOfPart = (part: z.infer<typeof textPart> | z.infer<typeof refusalPart>) =>
  part.type === "refusal" ? part.refusal : part.text;
