import { type Command, Option } from "commander";
import { readTextFile } from "../bytes/text-file.ts";
import type { Grammar } from "../grammar/grammar.ts";
import { usageError } from "./exit.ts";
import { path, text } from "./values.ts";

/** What answers have to be. */
export interface GrammarFlags {
  readonly jsonSchema?: string;
  readonly regex?: string;
  readonly grammar?: string;
}

export function addGrammar(command: Command): void {
  command
    .addOption(
      new Option("--json-schema <file>", "answer with JSON that is valid by this JSON Schema")
        .argParser(path())
        .conflicts(["regex", "grammar"]),
    )
    .addOption(
      new Option("--regex <expression>", "answer with a match of this regular expression")
        .argParser(text())
        .conflicts(["grammar"]),
    )
    .addOption(
      new Option("--grammar <file>", "answer with what this grammar allows, in GBNF, llama.cpp's notation").argParser(
        path(),
      ),
    );
}

/** @throws GrokError `io`, `format` of a file; `argument` where a schema is no JSON */
export function readGrammar({ jsonSchema, regex, grammar }: GrammarFlags): Grammar | undefined {
  if (regex !== undefined) return { regex };
  if (grammar !== undefined) return { gbnf: readTextFile(grammar) };
  if (jsonSchema === undefined) return undefined;
  try {
    return { schema: JSON.parse(readTextFile(jsonSchema)) };
  } catch (error) {
    if (error instanceof SyntaxError) throw usageError(`${jsonSchema}: no JSON: ${error.message}`);
    throw error;
  }
}
