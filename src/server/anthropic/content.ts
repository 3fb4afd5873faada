import { z } from "zod";
import { GrokError } from "../../errors.ts";
import type { ChatMessage } from "../../generate/types.ts";
import { textOfParts } from "../tools.ts";

const named = (what: string) => ({ error: ({ input }: { readonly input?: unknown }) => `${nameOf(input)}: ${what}` });

function nameOf(input: unknown): string {
  const { type } = (input ?? {}) as { readonly type?: unknown };
  return typeof type === "string" ? `is ${JSON.stringify(type)}` : "has no type";
}

const textBlock = z.looseObject({ type: z.literal("text"), text: z.string() });
const onlyText = z.discriminatedUnion("type", [textBlock], named("only text can be read here"));
const texts = z.union([z.string(), z.array(onlyText)]);

const block = z.discriminatedUnion(
  "type",
  [
    textBlock,
    z.looseObject({ type: z.literal("thinking"), thinking: z.string() }),
    z.looseObject({ type: z.literal("redacted_thinking") }),
    z.looseObject({
      type: z.literal("tool_use"),
      id: z.string(),
      name: z.string(),
      input: z.record(z.string(), z.unknown()),
    }),
    z.looseObject({
      type: z.literal("tool_result"),
      tool_use_id: z.string(),
      content: texts.nullish(),
      is_error: z.boolean().nullish(),
    }),
  ],
  named("text, thoughts, calls of tools and their results can be read here"),
);

type Block = z.infer<typeof block>;

export const systemText = texts;
export const message = z.strictObject({
  role: z.enum(["user", "assistant"]),
  content: z.union([z.string(), z.array(block).min(1)]),
});

type Message = z.infer<typeof message>;

/** A conversation as templates are given it. @throws GrokError `argument` where the last word is not the user's */
export function messagesOf(
  system: z.infer<typeof systemText> | undefined,
  messages: readonly Message[],
): readonly ChatMessage[] {
  if (messages.at(-1)!.role === "assistant") {
    const message = "the last message is the assistant's: an answer that has begun is not continued here";
    throw new GrokError("argument", `messages: ${message}`, { option: "messages" });
  }
  const told = textOfParts(system);
  return [...(told === "" ? [] : [{ role: "system", content: told }]), ...messages.flatMap(messagesIn)];
}

function messagesIn({ role, content }: Message): ChatMessage[] {
  if (typeof content === "string") return [{ role, content }];
  const text = textOfParts(all(content, "text"));
  if (role === "user") {
    const results = all(content, "tool_result").map(resultOf);
    return [...results, ...(text === "" && results.length > 0 ? [] : [{ role, content: text }])];
  }
  const calls = all(content, "tool_use").map(({ id, name, input }) => ({
    ...{ id, type: "function", function: { name, arguments: input } },
  }));
  const thoughts = all(content, "thinking").map(({ thinking }) => thinking);
  return [
    {
      ...{ role, content: text },
      ...(thoughts.length > 0 && { reasoning_content: thoughts.join("\n") }),
      ...(calls.length > 0 && { tool_calls: calls }),
    },
  ];
}

function resultOf({
  tool_use_id: id,
  content,
  is_error: failed,
}: Extract<Block, { type: "tool_result" }>): ChatMessage {
  const text = textOfParts(content);
  // Templates have no word for it.
  const said = failed && !/^\W*(tool_use_)?error/i.test(text) ? `Error: ${text}` : text;
  return { role: "tool", tool_call_id: id, content: said };
}

function all<T extends Block["type"]>(blocks: readonly Block[], type: T): Extract<Block, { type: T }>[] {
  return blocks.filter((block): block is Extract<Block, { type: T }> => block.type === type);
}
