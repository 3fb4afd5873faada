import type { Fields } from "../bytes/json-fields.ts";
import { GrokError } from "../errors.ts";
import { createTemplate } from "../template/template.ts";

/** One row of a file of data: its fields, and where it stands for messages. */
export interface Row {
  readonly path: string;
  /** From 1. */
  readonly line: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Makes a text of a row's fields. @throws GrokError `format` naming the file and the line. */
export type Template = (row: Row) => string;

/**
 * An entry of a task's file that is a Jinja template over a row's fields, as lm-evaluation-harness's are: a field that is not there is an
 * error, and a newline at the end stays.
 * @throws GrokError `argument` naming the entry
 */
export function readTemplate(fields: Fields, key: string, text = fields.text(key)): Template {
  // What Jinja cuts off is one newline at the very end.
  const template = parsed(() => createTemplate(text.endsWith("\n") ? `${text}{{ "" }}` : text, key));
  return (row) => {
    try {
      return template.render(row.fields, { strict: true }).text;
    } catch (error) {
      if (!(error instanceof GrokError)) throw error;
      return failRow(row, error.message, error);
    }
  };

  function parsed<T>(parse: () => T): T {
    try {
      return parse();
    } catch (error) {
      return fields.fail(key, (error as Error).message);
    }
  }
}

/** @throws GrokError `format` */
export function failRow({ path, line }: Row, what: string, cause?: Error): never {
  throw new GrokError("format", `${path}: line ${line}: ${what}`, { path, line }, cause);
}
