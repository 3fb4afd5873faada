import { createHash } from "node:crypto";
import { join } from "node:path";
import { parseJson } from "../bytes/json.ts";
import { show } from "../bytes/json-fields.ts";
import { readTextFile } from "../bytes/text-file.ts";
import { counted, GrokError } from "../errors.ts";
import type { Task } from "./task.ts";
import { failRow, type Row, readField } from "./template.ts";

/** A text whose log-likelihood is wanted behind another. */
export interface Pair {
  readonly context: string;
  readonly continuation: string;
}

export interface Question {
  readonly row: Row;
  /** One a choice. */
  readonly pairs: readonly Pair[];
  /** Index of the right one. */
  readonly answer: number;
  /** Characters (code points) of each choice. */
  readonly lengths: readonly number[];
}

export interface Questions {
  readonly list: readonly Question[];
  /** A hash of all that the questions follow from: the task, its data, the shots. */
  readonly key: string;
}

/**
 * The questions of a task, each behind `shots` answered ones, the first others of the same file, with an empty line after each.
 * @throws GrokError `io`; `format` naming the file and the line; `argument` for more shots than there are.
 */
export function readQuestions(task: Task, data: string, shots: number): Questions {
  const path = join(data, task.data);
  const text = readTextFile(path);
  const plain = readRows(text, path).map((row) => ask(task, row));
  if (shots >= plain.length) {
    const message = `shots is ${shots}, and ${path} has ${counted(plain.length, "question")}: one is asked, the others can be shots`;
    throw new GrokError("argument", message, { option: "shots", path, questions: plain.length });
  }
  const answered = plain.slice(0, shots + 1).map(({ pairs, answer }) => {
    const { context, continuation } = pairs[answer]!;
    // The harness does so also where the continuation brings a space of its own.
    return `${context}${task.choices === undefined ? task.delimiter : ""}${continuation}\n\n`;
  });
  const list = plain.map((question, index): Question => {
    const before = answered.filter((_, shot) => shot !== index).slice(0, shots);
    const pairs = question.pairs.map((pair) => ({ ...pair, context: `${before.join("")}${pair.context}` }));
    return { ...question, pairs };
  });
  const key = createHash("sha256")
    .update(JSON.stringify([task.text, text, shots]))
    .digest("hex");
  return { list, key };
}

/** JSON lines. @throws GrokError `format` naming the file and the line. */
export function readRows(text: string, path: string): readonly Row[] {
  const rows: Row[] = [];
  for (const [index, content] of text.split("\n").entries()) {
    if (content.trim() === "") continue;
    const line = index + 1;
    const fields = readObject(content, path, line);
    rows.push({ path, line, fields });
  }
  if (rows.length === 0) throw new GrokError("format", `${path}: empty, expected a question a line`, { path });
  return rows;
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
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new GrokError("format", `${path}: line ${line}: expected a JSON object, found ${show(value)}`, { path, line });
}

function ask(task: Task, row: Row): Question {
  if (task.choices === undefined) {
    const pair = { context: task.context(row), continuation: task.continuation(row) };
    return { row, pairs: [pair], answer: 0, lengths: [count(pair.continuation)] };
  }
  const choices = readField(row, task.choices);
  if (
    !Array.isArray(choices) ||
    choices.length < 2 ||
    !choices.every((choice) => typeof choice === "string" && choice)
  ) {
    return failRow(row, task.choices, `a list of at least two texts, found ${show(choices)}`);
  }
  const answer = readField(row, task.answer!);
  if (!Number.isInteger(answer) || Number(answer) < 0 || Number(answer) >= choices.length) {
    return failRow(row, task.answer!, `a whole number from 0 to ${choices.length - 1}, found ${show(answer)}`);
  }
  const pairs = choices.map((choice: string) => {
    const chosen = { ...row, fields: { ...row.fields, choice } };
    return { context: task.context(chosen), continuation: `${task.delimiter}${task.continuation(chosen)}` };
  });
  return { row, pairs, answer: answer as number, lengths: choices.map(count) };
}

/** As Python counts: by code points. */
function count(text: string): number {
  return [...text].length;
}
