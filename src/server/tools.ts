import { z } from "zod";
import type { FinishReason } from "../engine/request.ts";
import type { AnswerMessage } from "../generate/answer/parts.ts";
import type { GenerateResult, ToolDefinition } from "../generate/types.ts";

/** A tool as OpenAI and Ollama have it. */
export const functionTool = z.looseObject({
  type: z.literal("function", "only functions of the caller's own can be called here"),
  function: z.looseObject({
    name: z.string().min(1).max(128),
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.boolean().nullish(),
  }),
});

interface Described {
  readonly name: string;
  readonly description?: string | null | undefined;
  readonly parameters?: Readonly<Record<string, unknown>> | null | undefined;
  readonly strict?: boolean | null | undefined;
}

/** A tool as templates are given it. */
export function toolOf({ name, description, parameters, strict }: Described): ToolDefinition {
  return {
    type: "function",
    function: {
      ...{ name, ...(description != null && { description }) },
      parameters: parameters ?? { type: "object", properties: {} },
      ...(strict && { strict }),
    },
  };
}

/** Text parts as one text: most templates take nothing else. */
export function textOfParts(
  content: string | readonly { readonly text?: string | undefined }[] | null | undefined,
): string {
  return typeof content === "string" ? content : (content ?? []).map(({ text }) => text ?? "").join("\n");
}

/** Variables by which templates let a model think before it answers, or not; they know one of them, or none. */
export function thinkingVariables(thinks: boolean | undefined): Readonly<Record<string, boolean>> {
  return thinks === undefined ? {} : { enable_thinking: thinks, thinking: thinks };
}

/** What an answer consists of. */
export function messageOf({ message, text }: GenerateResult): AnswerMessage {
  return message ?? { text, reasoning: "", calls: [] };
}

/** Why an answer ended: where it calls tools, for that. */
export function endOf(reason: FinishReason, calls: number): "length" | "tools" | "stop" {
  if (reason === "length" || reason === "context") return "length";
  return calls > 0 ? "tools" : "stop";
}
