import { GrokError } from "../../errors.ts";
import type { RowFormat } from "../rows.ts";
import type { Fields } from "./parquet.ts";

/**
 * Rows as the text of a file that `readRows` reads as these rows, piece by piece: CSV, TSV, one JSON object, documents, or JSON lines, by
 * the file's name and format as there.
 * @throws GrokError `format` for what a format cannot hold.
 */
export async function* writeRows(
  rows: AsyncIterable<Fields>,
  file: string,
  { columns, documents, list }: RowFormat,
): AsyncGenerator<Uint8Array> {
  const bytes = (text: string) => Buffer.from(text);
  if (list !== undefined) {
    let before = `{${JSON.stringify(list)}: [\n`;
    for await (const row of rows) {
      yield bytes(`${before}${JSON.stringify(row)}`);
      before = ",\n";
    }
    return yield bytes("\n]}\n");
  }
  const line = documents !== undefined ? documentOf : lineOf(file, columns);
  let names = columns;
  for await (const row of rows) {
    if (names === undefined && line === csvLine) {
      names = Object.keys(row);
      yield bytes(csvLine(Object.fromEntries(names.map((name) => [name, name])), names, file));
    }
    yield bytes(line(row, names ?? [], file));
  }
}

type Line = (row: Fields, names: readonly string[], file: string) => string;

function lineOf(file: string, columns: readonly string[] | undefined): Line {
  if (file.endsWith(".csv") || (file.endsWith(".txt") && columns !== undefined)) return csvLine;
  return file.endsWith(".tsv") ? tsvLine : (row) => `${JSON.stringify(row)}\n`;
}

const csvLine: Line = (row, names, file) =>
  `${names.map((name) => `"${cellOf(row, name, file).replaceAll('"', '""')}"`).join(",")}\n`;

const tsvLine: Line = (row, names, file) => {
  const cells = names.map((name) => cellOf(row, name, file));
  const broken = names.find((_, at) => /[\t\r\n]/.test(cells[at]!));
  if (broken === undefined) return `${cells.join("\t")}\n`;
  throw new GrokError("format", `${file}: ${broken} has a tab or a line end in it, which TSV cannot hold`, { file });
};

const documentOf: Line = (row, _, file) => cellOf(row, "document", file).replace(/\n?$/, "\n");

function cellOf(row: Fields, name: string, file: string): string {
  const value = Object.hasOwn(row, name) ? row[name] : undefined;
  if (typeof value === "string" || typeof value === "number") return String(value);
  throw new GrokError(
    "format",
    `${file}: expected ${name} to be a text or a number in ${JSON.stringify(row).slice(0, 200)}`,
    { file },
  );
}
