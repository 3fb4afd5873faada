import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ioError } from "../bytes/io-error.ts";
import { parseJson } from "../bytes/json.ts";
import { createFields, type Fields, show } from "../bytes/json-fields.ts";
import { readTextFile } from "../bytes/text-file.ts";
import { GrokError } from "../errors.ts";
import { nearestName } from "../options.ts";
import { type BaseTask, readBaseTask } from "./base-task.ts";
import { areTexts, isText, type Lines, readLines, readPattern } from "./entries.ts";
import { type GenerationTask, isGeneration, readGenerationTask } from "./generation/task.ts";
import { fileOf, partsOf } from "./parts.ts";
import { isMetric, type Metric, metricsOf, type TaskKind } from "./scores.ts";
import { failRow, type Row, readTemplate, type Template } from "./template.ts";

/** What is asked of a model: where the questions are, what it is shown of each, and what counts. */
export interface Task extends BaseTask {
  /** Where answered questions to put in front come from; undefined: the others of `data`. */
  readonly examples: { readonly data: string; readonly lines: Lines | undefined } | undefined;
  readonly kind: TaskKind;
  /** What stands once before everything. */
  readonly description: Template;
  /** What stands before the continuation whose log-likelihood counts. A row has each choice in turn as `choice`. */
  readonly context: Template;
  readonly continuation: Template;
  /** The text between the two; where there are no choices in shots alone, as lm-evaluation-harness has it. */
  readonly delimiter: string;
  choices(row: Row): readonly string[];
  /** Indices of the right choices. */
  answer(row: Row, choices: number): readonly number[];
  /** What a text to be predicted is made of a document, step by step. */
  readonly clean: readonly { readonly pattern: RegExp; readonly by: string }[];
  readonly metrics: readonly Metric[];
}

/** The tasks that come with the package, a file each. */
const folder = fileURLToPath(new URL("../../tasks", import.meta.url));

/** Names of the package's tasks. @throws GrokError `io` */
export function listTasks(): readonly string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    throw ioError("list", folder, error);
  }
  return names
    .filter((name) => name.endsWith(".json"))
    .map((name) => name.slice(0, -".json".length))
    .sort();
}

/** A task by its name, or in a file of its own (`*.json`). @throws GrokError `argument`, `io` */
export function openTask(name: string): Task | GenerationTask {
  if (name.endsWith(".json")) return readTask(name);
  const names = listTasks();
  if (names.includes(name)) return readTask(join(folder, `${name}.json`));
  const message = `there is no task ${JSON.stringify(name)}, did you mean ${nearestName(name, names)}?`;
  throw new GrokError("argument", message, { task: name, tasks: names });
}

/** The files that a task needs of the folder of data, each once. */
export function filesOf(task: Task | GenerationTask): readonly string[] {
  const files = [task.data, ...examplesOf(task)];
  return [...new Set(files.flatMap((file) => partsOf(task).map((part) => fileOf(file, part))))];
}

function examplesOf(task: Task | GenerationTask): readonly string[] {
  const from = isGeneration(task) ? task.examples?.from : task.examples;
  if (from === undefined || "rows" in from) return [];
  return ["data" in from ? from.data : from.text];
}

function readTask(path: string): Task | GenerationTask {
  const text = readTextFile(path);
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new GrokError("argument", `${path}: no JSON: ${(error as Error).message}`, { path }, error);
  }
  const fields = createFields(value, path, "");
  if (typeof value === "object" && value !== null && "prompt" in value) return readGenerationTask(fields, text);
  const choices = readChoices(fields);
  const whole = fields.text("text", null);
  const kind: TaskKind = choices !== undefined ? "choice" : whole !== undefined ? "text" : "continuation";
  const metrics = metricsOf(kind);
  const task: Task = {
    ...readBaseTask(fields, text),
    examples: readExamples(fields),
    kind,
    description: readTemplate(fields, "description", fields.value("description", "a text", isText, "") as string),
    context: kind === "text" ? () => "" : readTemplate(fields, "context"),
    continuation: kind === "text" ? readTemplate(fields, "text", whole) : readTemplate(fields, "continuation"),
    delimiter: kind === "text" ? "" : (fields.value("delimiter", "a text", isText, " ") as string),
    choices: choices ?? (() => [""]),
    answer: kind === "choice" ? readAnswer(fields) : () => [0],
    clean: kind === "text" ? readClean(fields) : [],
    metrics: fields.value("metrics", `a list of some of ${metrics.join(", ")}`, (list) => {
      const some = Array.isArray(list) && list.length > 0 && new Set(list).size === list.length;
      return some && list.every((metric) => isMetric(metric) && metrics.includes(metric));
    }) as readonly Metric[],
  };
  fields.finish();
  return task;
}

function readExamples(all: Fields): Task["examples"] {
  if (all.value("examples", "an object", () => true, null) === undefined) return undefined;
  const fields = all.object("examples");
  const examples = { data: fields.text("data"), lines: readLines(fields) };
  fields.finish();
  return examples;
}

function readClean(fields: Fields): Task["clean"] {
  const isPair = (value: unknown) => Array.isArray(value) && value.length === 2 && value.every(isText);
  const pairs = fields.value(
    "clean",
    "a list of [pattern, text in its place]",
    (list) => Array.isArray(list) && list.every(isPair),
    [],
  );
  return (pairs as [string, string][]).map(([pattern, by]) => ({ pattern: readPattern(fields, "clean", pattern), by }));
}

/** A list of templates, a choice each, or one that gives the choices as JSON. */
function readChoices(fields: Fields): Task["choices"] | undefined {
  const found = fields.value(
    "choices",
    "a text or a list of texts",
    (value) => (isText(value) && value !== "") || areTexts(value),
    null,
  );
  if (found === undefined) return undefined;
  if (typeof found !== "string") {
    const templates = (found as string[]).map((text) => readTemplate(fields, "choices", text));
    return (row) =>
      checkChoices(
        row,
        templates.map((template) => template(row)),
      );
  }
  const template = readTemplate(fields, "choices", found);
  return (row) => checkChoices(row, parseEntry(row, "choices", template(row)));
}

function checkChoices(row: Row, list: unknown): readonly string[] {
  if (areTexts(list) && list.length > 1) return list;
  return failRow(row, `choices: expected a list of at least two texts, found ${show(list)}`);
}

/** A template that gives the right choice's index, or several as JSON. */
function readAnswer(fields: Fields): Task["answer"] {
  const template = readTemplate(fields, "answer");
  return (row, choices) => {
    const value = parseEntry(row, "answer", template(row));
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    const isIndex = (index: unknown) => Number.isInteger(index) && Number(index) >= 0 && Number(index) < choices;
    if (list.length > 0 && list.every(isIndex)) return list as readonly number[];
    return failRow(
      row,
      `answer: expected a whole number from 0 to ${choices - 1}, or a list of some, found ${show(value)}`,
    );
  };
}

function parseEntry(row: Row, entry: string, text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    return failRow(row, `${entry}: expected JSON, found ${show(text)}`, error as Error);
  }
}
