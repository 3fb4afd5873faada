import { type Fields, show } from "../bytes/json-fields.ts";
import { GrokError } from "../errors.ts";

/** One line of a file of data: its fields, and where it stands for messages. */
export interface Row {
  readonly path: string;
  /** From 1. */
  readonly line: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Makes a text of a row's fields. @throws GrokError `format` naming the file and the line. */
export type Template = (row: Row) => string;

/** `{{field}}`, `{{field[0]}}`, or `{{field | after "Passage: "}}`: what stands behind this beginning, which has to be there. */
const place = /\{\{\s*(\w+(?:\[\d+\])?)\s*(?:\|\s*after\s+"([^"]*)"\s*)?\}\}/g;

/**
 * Reads a template: text that stands as it is, with a row's fields between double braces.
 * @returns what is wrong with it, where something is.
 */
export function parseTemplate(text: string): Template | { readonly wrong: string } {
  const pieces: (string | { readonly field: string; readonly after: string })[] = [];
  let end = 0;
  for (const match of text.matchAll(place)) {
    pieces.push(text.slice(end, match.index), { field: match[1]!, after: match[2] ?? "" });
    end = match.index + match[0].length;
  }
  pieces.push(text.slice(end));
  const strange = pieces.find((piece) => typeof piece === "string" && /\{\{|\}\}/.test(piece));
  if (strange !== undefined) return { wrong: `expected {{field}} or {{field | after "text"}}, found ${show(strange)}` };
  return (row) =>
    pieces.map((piece) => (typeof piece === "string" ? piece : behind(piece.after, piece.field, row))).join("");
}

/** An entry that is a template. @throws GrokError `argument` naming it. */
export function readTemplate(fields: Fields, key: string): Template {
  const template = parseTemplate(fields.text(key));
  return typeof template === "function" ? template : fields.fail(key, template.wrong);
}

function behind(beginning: string, field: string, row: Row): string {
  const [, name, index] = /^(\w+)(?:\[(\d+)\])?$/.exec(field)!;
  const whole = readField(row, name!);
  const value = index === undefined || !Array.isArray(whole) ? whole : whole[Number(index)];
  if (typeof value !== "string") return failRow(row, field, `a text, found ${show(value)}`);
  if (!value.startsWith(beginning)) {
    return failRow(row, field, `a text that begins with ${show(beginning)}, found ${show(value)}`);
  }
  return value.slice(beginning.length);
}

export function readField(row: Row, field: string): unknown {
  return Object.hasOwn(row.fields, field) ? row.fields[field] : undefined;
}

export function failRow({ path, line }: Row, field: string, expected: string): never {
  throw new GrokError("format", `${path}: line ${line}: ${field}: expected ${expected}`, { path, line, field });
}
