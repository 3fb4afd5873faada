import { GrokError } from "../errors.ts";
import type { Grammar } from "../grammar/grammar.ts";
import { isText, typesOf } from "./answer/argument-value.ts";
import type { TaggedSyntax } from "./answer/syntax.ts";
import type { ToolDefinition } from "./types.ts";

/** What may stand between parts of a call. */
export const spaces: Grammar = { repeat: { regex: "[ \\n]" }, max: 2 };

/** Marks as grammars, which may be control tokens. */
interface Marks {
  readonly mark: (mark: string) => Grammar;
  readonly upTo: (mark: string) => Grammar;
}

type Schema = Readonly<Record<string, unknown>>;

/** What a schema of arguments may say that arguments which come one by one, each at most once and no others, are held to. */
const heldTo: ReadonlySet<string> = new Set([
  ...["type", "properties", "required", "additionalProperties", "$defs", "definitions"],
  ...["title", "description", "$schema", "$id", "$comment", "default", "examples", "strict"],
]);

/**
 * Arguments of a call that stand between marks, in the order of the tool's schema; of a tool that is not held to it any.
 * @throws GrokError `unsupported` naming what of the schema cannot be held to
 */
export function taggedArguments(
  syntax: TaggedSyntax,
  tool: ToolDefinition,
  isHeld: boolean,
  { mark, upTo }: Marks,
): readonly Grammar[] {
  const argument = (name: Grammar, value: readonly Grammar[]): Grammar => ({
    sequence: [
      ...[spaces, mark(syntax.key), name],
      ...syntax.value.flatMap((one, index) => (index === 0 ? [mark(one)] : [spaces, mark(one)])),
      ...value,
    ],
  });
  const anyText = [upTo(syntax.end)];
  if (!isHeld) return [{ repeat: argument({ regex: '[^\\s<>"=]{1,64}' }, anyText) }];

  const { name: toolName, parameters = {} } = tool.function;
  const root = parameters as Schema;
  const refuse = (what: string): never => {
    const message = `tools: the parameters of ${toolName}: ${what}, which cannot be held to in the way this model calls`;
    throw new GrokError("unsupported", message, { option: "tools", tool: toolName });
  };
  const unheld = Object.keys(root).find((key) => !heldTo.has(key));
  if (unheld !== undefined) refuse(`they have ${JSON.stringify(unheld)}`);
  const properties = (root.properties ?? {}) as Schema;
  const required = (root.required ?? []) as readonly string[];
  const names = new Set([...Object.keys(properties), ...required]);
  return [...names].map((name): Grammar => {
    if (!/^[^\s<>"=]+$/.test(name)) refuse(`${JSON.stringify(name)} is a name between marks`);
    const schema = Object.hasOwn(properties, name) ? properties[name] : {};
    const value = isText(typesOf(schema, root))
      ? textOf(schema)
      : [spaces, { schema: withDefinitions(schema), tool: toolName }, spaces, mark(syntax.end)];
    const one = argument({ text: name }, value);
    return required.includes(name) ? one : { repeat: one, max: 1 };
  });

  /** A schema alone still refers to what its root defines. */
  function withDefinitions(schema: unknown): unknown {
    if (typeof schema !== "object" || schema === null) return schema;
    const { $defs, definitions } = root;
    return { ...schema, ...($defs !== undefined && { $defs }), ...(definitions !== undefined && { definitions }) };
  }

  /** A text as it is, up to its mark, which it does not have in it. */
  function textOf(schema: unknown): readonly Grammar[] {
    const lines: readonly Grammar[] = syntax.padded ? [{ text: "\n" }] : [];
    const text: Grammar = { plain: withDefinitions(schema), tool: toolName };
    return [{ all: [{ sequence: [...lines, text, ...lines, mark(syntax.end)] }, upTo(syntax.end)] }];
  }
}
