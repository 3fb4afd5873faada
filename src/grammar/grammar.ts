/**
 * What an answer has to be, as plain data: one of the forms below.
 */
export type Grammar =
  /** Any JSON object. */
  | { readonly json: true }
  /** JSON that is valid by a JSON Schema (draft 2020-12; what 7 and 2019-09 have in common with it). */
  | {
      readonly schema: unknown;
      /** The tool whose arguments these are: errors name it. */
      readonly tool?: string;
    }
  /** A text that a JSON Schema of strings allows, as it is: without quotation marks. */
  | {
      readonly plain: unknown;
      /** As above. */
      readonly tool?: string;
    }
  /** A match, from beginning to end, of an ECMAScript regular expression. */
  | { readonly regex: string }
  /** A grammar in GBNF, llama.cpp's notation, whose whole is the rule `root`. */
  | { readonly gbnf: string }
  /** This text. */
  | { readonly text: string }
  /** A control token, such as `<|python_tag|>`, by its name. */
  | { readonly control: string }
  /** Any text up to the first place where this one is, and with it. */
  | { readonly until: string }
  /** Any text that does not have this one in it. */
  | { readonly without: string }
  /** One after the other. */
  | { readonly sequence: readonly Grammar[] }
  /** One of several. */
  | { readonly choice: readonly Grammar[] }
  /** All of several at once. */
  | { readonly all: readonly Grammar[] }
  /** As often as said: `min`, 0 where it is absent, to `max`, without end where that is. */
  | { readonly repeat: Grammar; readonly min?: number; readonly max?: number };
