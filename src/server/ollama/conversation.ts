import { z } from "zod";
import type { ToolCall } from "../../generate/answer/parts.ts";
import type { ChatMessage } from "../../generate/types.ts";

export const noPictures = z.array(z.unknown()).max(0, "only text can be read here").nullish();

export const message = z.looseObject({
  role: z.string(),
  content: z.string().default(""),
  images: noPictures,
  thinking: z.string().nullish(),
  tool_calls: z
    .array(
      z.looseObject({
        id: z.string().nullish(),
        function: z.looseObject({ name: z.string(), arguments: z.record(z.string(), z.unknown()).default({}) }),
      }),
    )
    .nullish(),
  tool_name: z.string().nullish(),
  tool_call_id: z.string().nullish(),
});

/**
 * Messages as templates are given them. Ollama's calls need no ids: a result is that of the first call of its name that has none yet, or of
 * the first call.
 */
export function messagesIn(messages: readonly z.infer<typeof message>[]): readonly ChatMessage[] {
  let open: { readonly id: string; readonly name: string }[] = [];
  let count = 0;
  return messages.map(({ thinking, tool_calls: calls, tool_name: tool, tool_call_id: of, images: _, ...said }) => {
    if (said.role === "tool") {
      const named = open.findIndex(({ id, name }) => (of == null ? name === tool : id === of));
      const [call] = open.splice(Math.max(0, named), 1);
      const name = tool ?? call?.name;
      return { ...said, tool_call_id: of ?? call?.id ?? `call_${count++}`, ...(name != null && { name }) };
    }
    const made = (calls ?? []).map(({ id, function: { name, arguments: args } }) => ({
      ...{ id: id ?? `call_${count++}`, type: "function", function: { name, arguments: args } },
    }));
    if (made.length > 0) open = made.map(({ id, function: { name } }) => ({ id, name }));
    return {
      ...said,
      ...(thinking && { reasoning_content: thinking }),
      ...(made.length > 0 && { tool_calls: made }),
    };
  });
}

/** A call as Ollama has it. */
export function callOut(request: string, { index, name, arguments: args }: ToolCall & { readonly index: number }) {
  return { id: `call_${request}_${index}`, function: { index, name, arguments: JSON.parse(args) as object } };
}
