import { createHash } from "node:crypto";
import { counted, GrokError } from "../errors.ts";
import { openDataFolder } from "./data/data-folder.ts";
import { fileOf, partsOf } from "./parts.ts";
import { type RowFormat, readRows } from "./rows.ts";
import type { Choices } from "./scores.ts";
import type { Task } from "./task.ts";
import type { Row } from "./template.ts";

/** A text whose log-likelihood is wanted behind another. */
export interface Pair {
  readonly context: string;
  readonly continuation: string;
}

export interface Question extends Choices {
  readonly row: Row;
  /** Which part of the task it is of, where it has some. */
  readonly part: string | undefined;
  /** Index in the part, or else in the task. */
  readonly index: number;
  /** What each of the contexts begins with, once before everything. */
  readonly description: string;
  /** One a choice. */
  readonly pairs: readonly Pair[];
}

export interface Questions {
  readonly list: readonly Question[];
  /** A hash of all that the questions follow from: the task, its data, the shots. */
  readonly key: string;
}

/** SHA-256 of what has a form as JSON, hexadecimal. */
export function hashOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex");
}

/**
 * The questions of a task, each behind `shots` answered ones with an empty line after each: the first of its file of examples, or
 * else the first others of the same file. In a conversation nothing stands between a question and its choices.
 * @throws GrokError `io`; `format` naming the file and the line; `argument` for more shots than there are.
 */
export function readQuestions(task: Task, data: string, shots: number, chat = false): Questions {
  const hash = createHash("sha256").update(JSON.stringify([task.text, shots]));
  const folder = openDataFolder(data, task);
  const read = (file: string, part: string | undefined, format: RowFormat = task.format) => {
    const path = folder.pathOf(fileOf(file, part));
    const text = folder.read(fileOf(file, part));
    hash.update(JSON.stringify(text));
    const rows = readRows(text, path, format);
    return { path, rows: rows.map((row) => (part === undefined ? row : { ...row, fields: { ...row.fields, part } })) };
  };
  if (task.kind === "text" && shots > 0) {
    throw new GrokError("argument", `shots is ${shots}, and the texts of ${task.name} stand alone`, {
      option: "shots",
    });
  }
  if (task.kind === "text" && chat) {
    throw new GrokError("argument", `chat: the texts of ${task.name} ask nothing`, { option: "chat" });
  }
  const list = partsOf(task).flatMap((part) => {
    const { path, rows } = read(task.data, part);
    const { examples } = task;
    const others = examples === undefined;
    const answered = shots === 0 ? { path, rows: [] } : others ? { path, rows } : readShots(examples, part);
    if (shots >= answered.rows.length + Number(!others) && shots > 0) {
      const message = `shots is ${shots}, and ${answered.path} has ${counted(answered.rows.length, "question")}${others ? ": one is asked, the others can be shots" : ""}`;
      throw new GrokError("argument", message, {
        option: "shots",
        path: answered.path,
        questions: answered.rows.length,
      });
    }
    const shown = answered.rows.slice(0, shots + 1).map((row) => showAnswered(task, row));
    return rows.map((row, index): Question => {
      const before = shown.filter((_, shot) => !others || shot !== index).slice(0, shots);
      const description = task.description(row);
      const asked = ask(task, row, `${description}${before.join("")}`, chat ? "" : task.delimiter);
      return { ...asked, description, part, index };
    });
  });
  return { list, key: hash.digest("hex") };

  function readShots({ data: file, lines }: NonNullable<Task["examples"]>, part: string | undefined) {
    return read(file, part, { ...task.format, lines });
  }
}

function showAnswered(task: Task, row: Row): string {
  const { pairs, answer } = ask(task, row, "", task.delimiter);
  const { context, continuation } = pairs[answer[0]!]!;
  // The harness does so also where the continuation brings a space of its own.
  return `${context}${task.kind === "continuation" ? task.delimiter : ""}${continuation}\n\n`;
}

type Put = Pick<Question, "row" | "pairs" | "answer" | "choices">;

function ask(task: Task, row: Row, before: string, between: string): Put {
  const choices = task.choices(row);
  const pairs = choices.map((choice): Pair => {
    const chosen = task.kind === "choice" ? { ...row, fields: { ...row.fields, choice } } : row;
    const delimiter = task.kind === "choice" ? between : "";
    return { context: `${before}${task.context(chosen)}`, continuation: `${delimiter}${task.continuation(chosen)}` };
  });
  const answer = task.answer(row, choices.length);
  if (task.kind !== "text") return { row, pairs, answer, choices };
  const text = pairs[0]!.continuation;
  const cleaned = task.clean.reduce((all, { pattern, by }) => all.replace(pattern, by), text);
  return { row, pairs: [{ context: "", continuation: cleaned }], answer, choices: [text] };
}
