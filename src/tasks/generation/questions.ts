import { createHash } from "node:crypto";
import { join } from "node:path";
import { show } from "../../bytes/json-fields.ts";
import { counted, GrokError } from "../../errors.ts";
import type { Asking } from "../conversation.ts";
import { openDataFolder } from "../data/data-folder.ts";
import { fileOf, partsOf } from "../parts.ts";
import { createPythonRandom } from "../python/random.ts";
import { readRows } from "../rows.ts";
import type { Row } from "../template.ts";
import type { Examples, GenerationTask } from "./task.ts";

/** What a model is asked, and the row of data that it comes from. */
export interface Prompted extends Asking {
  readonly row: Row;
  /** Which part of the task; undefined where it has none. */
  readonly part: string | undefined;
  /** Index in the part. */
  readonly index: number;
}

export interface PromptedQuestions {
  readonly list: readonly Prompted[];
  /** A hash of all that the questions follow from: the task, its data, the shots. */
  readonly key: string;
}

/**
 * The questions of a task, each behind `shots` answered ones.
 * @throws GrokError `io`; `format` naming the file and the line; `argument` for more shots than there are.
 */
export function readPrompts(task: GenerationTask, folder: string, shots: number): PromptedQuestions {
  const hash = createHash("sha256").update(JSON.stringify([task.text, shots]));
  const data = openDataFolder(folder, task);
  const read = (path: string) => {
    const text = data.read(path);
    hash.update(JSON.stringify(text));
    return text;
  };
  const list = partsOf(task).flatMap((part) => {
    const path = fileOf(task.data, part);
    const rows = readRows(read(path), join(folder, path), task.format);
    const { description, before } =
      shots === 0 && !isText(task.examples) ? nothingBefore : readExamples(task, part, folder, read, shots);
    return rows.map((row, index): Prompted => {
      const question = `${before()}${task.prompt(row)}`;
      return { row, part, index, description, question, begun: task.begin(row) };
    });
  });
  return { list, key: hash.digest("hex") };
}

/** A text brings words in front of its examples, which stand there without any. */
function isText(examples: Examples | undefined): boolean {
  return examples !== undefined && "text" in examples.from;
}

/** What stands in front of each question, one after the other, and in front of everything. */
interface Before {
  readonly description: string;
  readonly before: () => string;
}

const nothingBefore: Before = { description: "", before: () => "" };

function readExamples(
  { examples, format, prompt, begin, name }: GenerationTask,
  part: string | undefined,
  folder: string,
  read: (path: string) => string,
  shots: number,
): Before {
  if (examples === undefined) {
    throw new GrokError("argument", `shots is ${shots}, and ${name} has no examples`, { option: "shots" });
  }
  const { from, answer, delimiter } = examples;
  const shown = (row: Row) => `${prompt(row)}${begin(row)}${delimiter}${answer(row)}\n\n`;
  const first = (rows: readonly Row[], description = "") => {
    enough(rows);
    const text = rows.slice(0, shots).map(shown).join("");
    return { description, before: () => text };
  };
  if ("rows" in from) return first(from.rows.map((fields, index) => ({ path: name, line: index + 1, fields })));
  if ("text" in from) {
    const path = fileOf(from.text, part);
    const { head, rows } = readBlocks(read(path), join(folder, path), from);
    return first(rows, head);
  }
  const path = fileOf(from.data, part);
  const rows = readRows(read(path), join(folder, path), { ...format, lines: from.lines });
  if (from.seed === undefined) return first(rows);
  enough(rows);
  const random = createPythonRandom(from.seed);
  const drawn = () => random.sample(rows.length, shots).map((index) => shown(rows[index]!));
  return { description: "", before: () => drawn().join("") };

  function enough(rows: readonly Row[]): void {
    if (shots <= rows.length) return;
    const message = `shots is ${shots}, and ${name} has ${counted(rows.length, "example")}`;
    throw new GrokError("argument", message, { option: "shots", examples: rows.length });
  }
}

/** A text's words in front, and its examples as rows with `input` and `target`. */
function readBlocks(
  text: string,
  path: string,
  { question, answer }: { readonly question: string; readonly answer: string },
) {
  const fail = (what: string): never => {
    throw new GrokError("format", `${path}: expected ${what}`, { path });
  };
  const body = /^-+\n([\s\S]*)/m.exec(text)?.[1] ?? fail("a line of hyphens");
  const [head, ...blocks] = body.split(`\n\n${question}`);
  const rows = blocks.map((block, index): Row => {
    const at = block.indexOf(answer);
    if (at < 0) return fail(`${show(answer)} in example ${index + 1}`);
    return {
      path,
      line: index + 1,
      fields: { input: block.slice(0, at), target: block.slice(at + answer.length).trim() },
    };
  });
  return { head: `${head}\n\n`, rows };
}
