import type { Expression } from "../expression.ts";
import type { Schema, SchemaDocument } from "./document.ts";
import type { Flat } from "./expand.ts";
import type { FactReader } from "./facts.ts";
import type { KeywordReader } from "./keywords.ts";
import type { createValidate } from "./validate.ts";

/** What compiling one type's keywords asks of the whole. */
export interface SchemaCompiler {
  readonly document: SchemaDocument;
  readonly reader: KeywordReader;
  readonly facts: FactReader;
  readonly expand: (schemas: readonly Schema[]) => readonly Flat[];
  /** Values that meet all of some schemas. */
  readonly valueFor: (schemas: readonly Schema[]) => Expression;
  /** Whether a value is valid by what is put together. */
  readonly fits: ReturnType<typeof createValidate>;
  /** Whether no text is what an expression without rules says. @throws GrokError `unsupported` where it takes long to find out */
  readonly isImpossible: (expression: Expression) => boolean;
  /** A new rule, to be defined later. */
  readonly addRule: (name: string) => { readonly rule: Expression; readonly define: (body: Expression) => void };
}
