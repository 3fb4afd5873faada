import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ioError } from "../bytes/io-error.ts";
import { parseJson } from "../bytes/json.ts";
import { createFields } from "../bytes/json-fields.ts";
import { readTextFile } from "../bytes/text-file.ts";
import { GrokError } from "../errors.ts";
import { nearestName } from "../options.ts";
import { type GenerationTask, readGenerationTask } from "./generation/task.ts";
import { readTemplate, type Template } from "./template.ts";

/**
 * Of each question a score by log-likelihood: whether the right choice is the likeliest (`acc`), the same by log-likelihood divided by the
 * choice's characters (`acc_norm`); without choices, whether the continuation is what the model would say (`acc`), and how well it is
 * predicted (`perplexity`).
 */
export type Metric = "acc" | "acc_norm" | "perplexity";

/** What is asked of a model: where the questions are, what it is shown of each, and what counts. */
export interface Task {
  readonly name: string;
  /** In a few words, what is measured. */
  readonly about: string;
  /** Whose prompts these are. */
  readonly like: string | undefined;
  /** File of the questions, JSON lines, in the folder of data; where it is to be had. */
  readonly data: string;
  readonly source: string;
  /** What to know of the data. */
  readonly note: string | undefined;
  /** Field that lists a question's choices: each in turn is `{{choice}}`. Undefined where there is one continuation, the right one. */
  readonly choices: string | undefined;
  /** Field with the index of the right choice. */
  readonly answer: string | undefined;
  /** What stands before the continuation whose log-likelihood counts. */
  readonly context: Template;
  readonly continuation: Template;
  /** The text between the two; where there are no choices in shots alone, as lm-evaluation-harness has it. */
  readonly delimiter: string;
  readonly metrics: readonly Metric[];
  /** The task's file as it was read: all that its questions follow from beside the data. */
  readonly text: string;
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
  const choices = fields.text("choices", null);
  const allowed: readonly Metric[] = choices === undefined ? ["acc", "perplexity"] : ["acc", "acc_norm"];
  const metrics = fields.value("metrics", `a list of some of ${allowed.join(", ")}`, (list) => {
    const some = Array.isArray(list) && list.length > 0 && new Set(list).size === list.length;
    return some && list.every((metric) => (allowed as readonly unknown[]).includes(metric));
  });
  const task: Task = {
    name: fields.text("name"),
    about: fields.text("about"),
    like: fields.text("like", null),
    data: fields.text("data"),
    source: fields.text("source"),
    note: fields.text("note", null),
    choices,
    answer: choices === undefined ? undefined : fields.text("answer"),
    context: readTemplate(fields, "context"),
    continuation: readTemplate(fields, "continuation"),
    delimiter: fields.text("delimiter", " "),
    metrics: metrics as readonly Metric[],
    text,
  };
  fields.finish();
  return task;
}
