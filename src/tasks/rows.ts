import { parseJson } from "../bytes/json.ts";
import { type Fields, show } from "../bytes/json-fields.ts";
import { GrokError } from "../errors.ts";
import { type Lines, readLines, readPattern, readTexts } from "./entries.ts";
import { failRow, type Row } from "./template.ts";

/** What a file of data does not say itself. */
export interface RowFormat {
  /** Names of the columns of a .csv or .tsv file whose first line has none; a .txt file that has some is CSV. */
  readonly columns?: readonly string[] | undefined;
  /** Of a text without rows: the lines that begin a document. Each is a row with the one field `document`. */
  readonly documents?: RegExp | undefined;
  /** The field with the list of rows where a file is one JSON object. */
  readonly list?: string | undefined;
  /** The lines that count; in a list, its items. Default: all. */
  readonly lines?: Lines | undefined;
  /** Fields that make a question each of every row: `field` is its name, `value` what is in it. */
  readonly each?: readonly string[] | undefined;
}

/** The entries of a task's file that say how its data are read. @throws GrokError `argument` */
export function readRowFormat(fields: Fields): RowFormat {
  const documents = fields.text("documents", null);
  return {
    columns: readTexts(fields, "columns"),
    documents: documents === undefined ? undefined : readPattern(fields, "documents", documents),
    list: fields.text("list", null),
    lines: readLines(fields),
    each: readTexts(fields, "each"),
  };
}

/**
 * Rows of a file by its format or its name: a list in JSON, a text of documents, CSV (RFC 4180), TSV without quotes, or JSON lines.
 * Letters of column names that no template could name (spaces, say) are `_`.
 * @throws GrokError `format` naming the file and the line
 */
export function readRows(text: string, path: string, format: RowFormat = {}): readonly Row[] {
  const rows = readAll(text, path, format);
  if (rows.length === 0) throw new GrokError("format", `${path}: empty, expected a question a line`, { path });
  if (format.lines === undefined) return unfold(rows, format.each);
  const [first, last] = format.lines;
  const within = rows.filter(({ line }) => line >= first && line <= last);
  if (within.length > 0) return unfold(within, format.each);
  throw new GrokError("format", `${path}: expected questions in lines ${first} to ${last}`, { path, first, last });
}

function unfold(rows: readonly Row[], each: readonly string[] | undefined): readonly Row[] {
  if (each === undefined) return rows;
  return rows.flatMap((row) =>
    each.map((field) => {
      const value = Object.hasOwn(row.fields, field) ? row.fields[field] : failRow(row, `expected a field ${field}`);
      return { ...row, fields: { ...row.fields, field, value } };
    }),
  );
}

function readAll(text: string, path: string, { columns, documents, list }: RowFormat): readonly Row[] {
  if (list !== undefined) return readList(text, path, list);
  if (documents !== undefined) return readDocuments(text, path, documents);
  if (path.endsWith(".csv") || (path.endsWith(".txt") && columns !== undefined))
    return nameColumns(readCsv(text, path), path, columns);
  if (path.endsWith(".tsv")) return nameColumns(readTsv(text), path, columns);
  return readJsonLines(text, path);
}

function readList(text: string, path: string, list: string): readonly Row[] {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new GrokError("format", `${path}: expected JSON: ${(error as Error).message}`, { path }, error);
  }
  const rows = isObject(value) && Object.hasOwn(value, list) ? value[list] : undefined;
  if (!Array.isArray(rows) || !rows.every(isObject)) {
    throw new GrokError("format", `${path}: ${list}: expected a list of objects, found ${show(rows)}`, { path });
  }
  return rows.map((fields, index) => ({ path, line: index + 1, fields }));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readJsonLines(text: string, path: string): readonly Row[] {
  return text.split("\n").flatMap((content, index) => {
    const line = index + 1;
    return content.trim() === "" ? [] : [{ path, line, fields: readObject(content, path, line) }];
  });
}

/** @throws GrokError `format` where a line is no JSON object. */
export function readObject(content: string, path: string, line: number): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parseJson(content);
  } catch (error) {
    const message = `${path}: line ${line}: expected a JSON object: ${(error as Error).message}`;
    throw new GrokError("format", message, { path, line }, error);
  }
  if (isObject(value)) return value;
  throw new GrokError("format", `${path}: line ${line}: expected a JSON object, found ${show(value)}`, { path, line });
}

interface Cells {
  readonly line: number;
  readonly cells: readonly string[];
}

function nameColumns(records: readonly Cells[], path: string, columns: readonly string[] | undefined): readonly Row[] {
  const names = columns ?? records[0]?.cells.map((name) => name.trim().replace(/\W/g, "_")) ?? [];
  return (columns === undefined ? records.slice(1) : records).map(({ line, cells }): Row => {
    if (cells.length !== names.length) {
      const message = `${path}: line ${line}: expected ${names.length} columns (${names.join(", ")}), found ${cells.length}`;
      throw new GrokError("format", message, { path, line });
    }
    return { path, line, fields: Object.fromEntries(names.map((name, at) => [name, cells[at]])) };
  });
}

function readTsv(text: string): readonly Cells[] {
  return text
    .split(/\r?\n/)
    .flatMap((content, index) => (content === "" ? [] : [{ line: index + 1, cells: content.split("\t") }]));
}

/** What ends a plain cell, or does not belong into one. */
const special = /[",\r\n]/g;

function readCsv(text: string, path: string): readonly Cells[] {
  const records: Cells[] = [];
  let cells: string[] = [];
  let [line, began] = [1, 1];
  const fail = (): never => {
    throw new GrokError("format", `${path}: line ${line}: expected a cell, quoted where it has quotes`, { path, line });
  };
  // By searching, as long as a cell may be: an expression would need memory for each of its characters.
  for (let at = 0; at < text.length || cells.length > 0; ) {
    const start = at;
    if (text[at] === '"') {
      at = text.indexOf('"', at + 1);
      while (at >= 0 && text[at + 1] === '"') at = text.indexOf('"', at + 2);
      if (at < 0) fail();
      at++;
      cells.push(text.slice(start + 1, at - 1).replaceAll('""', '"'));
    } else {
      special.lastIndex = at;
      at = special.exec(text)?.index ?? text.length;
      cells.push(text.slice(start, at));
    }
    const end = text.startsWith("\r\n", at) ? "\r\n" : (text[at] ?? "");
    if (!["", ",", "\n", "\r\n"].includes(end)) fail();
    at += end.length;
    line += text.slice(start, at).split("\n").length - 1;
    if (end === ",") continue;
    if (cells.length > 1 || cells[0] !== "") records.push({ line: began, cells });
    cells = [];
    began = line;
  }
  return records;
}

function readDocuments(text: string, path: string, begins: RegExp): readonly Row[] {
  const lines = text.split("\n");
  const starts = lines.flatMap((line, index) => (line.search(begins) >= 0 ? [index] : []));
  return [0, ...starts]
    .map((start, at): Row => {
      const document = lines.slice(start, starts[at] ?? lines.length).join("\n");
      return { path, line: start + 1, fields: { document } };
    })
    .filter(({ fields }) => String(fields.document).trim() !== "");
}
