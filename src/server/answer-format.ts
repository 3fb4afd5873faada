import { z } from "zod";
import { GrokError } from "../errors.ts";
import type { Grammar } from "../grammar/grammar.ts";

/** A JSON Schema, whose own words are looked at where it is read. */
export const jsonSchema = z.union([z.record(z.string(), z.unknown()), z.boolean()]);

/** OpenAI's forms of an answer. A schema is always held to, `strict` or not. */
export const responseFormat = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("text") }),
  z.strictObject({ type: z.literal("json_object") }),
  z.strictObject({
    type: z.literal("json_schema"),
    json_schema: z.strictObject({
      name: z.string().nullish(),
      description: z.string().nullish(),
      strict: z.boolean().nullish(),
      schema: jsonSchema.optional(),
    }),
  }),
]);

/** What other servers have beside OpenAI's: llama.cpp's `grammar`, vLLM's `guided_...`. */
export const grammarFields = {
  response_format: responseFormat.nullish(),
  grammar: z.string().min(1).nullish(),
  guided_json: z.union([jsonSchema, z.string()]).nullish(),
  guided_regex: z.string().nullish(),
  guided_choice: z.array(z.string()).min(1).max(1024).nullish(),
};

/** The same in the newer API, where a schema stands beside its name. */
export const responseTextFormat = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("text") }),
  z.strictObject({ type: z.literal("json_object") }),
  z.strictObject({
    type: z.literal("json_schema"),
    name: z.string().nullish(),
    description: z.string().nullish(),
    strict: z.boolean().nullish(),
    schema: jsonSchema,
  }),
]);

type GrammarFields = z.infer<z.ZodObject<typeof grammarFields>>;

/** @throws GrokError `argument` for more than one of them */
export function grammarOf(fields: GrammarFields): Grammar | undefined {
  const { response_format: format, grammar, guided_json: json, guided_regex: regex, guided_choice: choice } = fields;
  const asked: [string, Grammar | undefined][] = [
    ["response_format", format == null ? undefined : grammarOfFormat(format)],
    ["grammar", grammar == null ? undefined : { gbnf: grammar }],
    ["guided_json", json == null ? undefined : { schema: typeof json === "string" ? parseSchema(json) : json }],
    ["guided_regex", regex == null ? undefined : { regex }],
    ["guided_choice", choice == null ? undefined : { choice: choice.map((text) => ({ text })) }],
  ];
  const [first, second] = asked.filter(([, given]) => given !== undefined);
  if (first === undefined || second === undefined) return first?.[1];
  throw new GrokError("argument", `${second[0]} does not go with ${first[0]}`, { option: second[0] });
}

function grammarOfFormat(format: z.infer<typeof responseFormat>): Grammar | undefined {
  if (format.type !== "json_schema") return format.type === "text" ? undefined : { json: true };
  const { schema } = format.json_schema;
  return schema === undefined ? { json: true } : { schema };
}

export function grammarOfTextFormat(format: z.infer<typeof responseTextFormat>): Grammar | undefined {
  if (format.type === "json_schema") return { schema: format.schema };
  return format.type === "text" ? undefined : { json: true };
}

function parseSchema(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = `guided_json is no JSON: ${(error as Error).message}`;
    throw new GrokError("argument", message, { option: "guided_json" }, error);
  }
}
