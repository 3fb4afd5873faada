import type { Fields } from "../../bytes/json-fields.ts";
import { type BaseTask, readBaseTask } from "../base-task.ts";
import { isText, type Lines, readLines, readTexts } from "../entries.ts";
import { readTemplate, type Template } from "../template.ts";
import { type Filter, readFilters } from "./filters.ts";
import { readScoring, type Scoring } from "./scoring.ts";

/** A task whose questions are answered in the model's own words: what it is asked, how it answers, and what is made of the answer. */
export interface GenerationTask extends BaseTask {
  readonly prompt: Template;
  /** How the answer begins, behind the prompt; in a conversation the model's own answer does. Mostly with nothing. */
  readonly begin: Template;
  /** Answered questions in front of each, where nobody says how many, and where they come from. */
  readonly shots: number;
  readonly examples: Examples | undefined;
  readonly generate: Generate;
  /** What is taken of an answer, by the name of the way; no filter takes all of it. */
  readonly filters: ReadonlyMap<string, Filter>;
  readonly scoring: Scoring;
  readonly metrics: readonly string[];
}

/** Where answered questions come from, and how an answer stands behind its question. */
export interface Examples {
  readonly from: /** Rows of the task's own file. */
    | { readonly rows: readonly Readonly<Record<string, unknown>>[] }
    /** A file of questions in the folder of data: its first ones, or for each question others, as lm-evaluation-harness draws them by a seed. */
    | { readonly data: string; readonly lines: Lines | undefined; readonly seed: number | undefined }
    /** A text in the folder of data: what stands behind a line of hyphens, then blocks, each a question and its answer behind these words. */
    | { readonly text: string; readonly question: string; readonly answer: string };
  readonly answer: Template;
  /** Between a question and its answer, and behind each answer. */
  readonly delimiter: string;
}

/** How an answer is generated. */
export interface Generate {
  /** Texts that end it. */
  readonly until: readonly string[];
  readonly maxTokens: number;
  /** How several answers to a question are drawn, by default; undefined where there is only ever one, the likeliest. */
  readonly sampling: { readonly temperature: number; readonly topP: number } | undefined;
}

/** Whether a task's file is one of these: it has a prompt in place of a context. */
export function isGeneration(task: object): task is GenerationTask {
  return "prompt" in task;
}

/** @throws GrokError `argument` naming the file and the entry. */
export function readGenerationTask(fields: Fields, text: string): GenerationTask {
  const scoring = readScoring(fields);
  const filters = readFilters(fields);
  const task: GenerationTask = {
    ...readBaseTask(fields, text),
    prompt: readTemplate(fields, "prompt"),
    begin: readTemplate(fields, "begin", fields.value("begin", "a text", isText, "") as string),
    shots: fields.integer("shots", 0, 1000, 0),
    examples: readExamples(fields),
    generate: readGenerate(fields.object("generate")),
    filters,
    scoring,
    metrics: scoring.metrics([...filters.keys()], 1),
  };
  if (task.shots > 0 && task.examples === undefined) fields.fail("shots", "there are no examples");
  fields.finish();
  return task;
}

function readExamples(all: Fields): Examples | undefined {
  const fields = all.object("examples", {});
  const answer = fields.text("answer", null);
  if (answer === undefined) {
    fields.finish();
    return undefined;
  }
  const rows = fields.value("rows", "a list of objects", isRows, null);
  const data = fields.text("data", null);
  const text = fields.text("text", null);
  const examples: Examples = {
    answer: readTemplate(fields, "answer"),
    delimiter: fields.value("delimiter", "a text", isText, " ") as string,
    from:
      rows !== undefined
        ? { rows: rows as readonly Readonly<Record<string, unknown>>[] }
        : data !== undefined
          ? { data, lines: readLines(fields), seed: fields.integer("seed", 0, 2 ** 32 - 1, null) }
          : text !== undefined
            ? { text, question: fields.text("question"), answer: fields.text("behind") }
            : fields.fail("rows", "expected rows, data or text"),
  };
  fields.finish();
  return examples;
}

function isRows(value: unknown): boolean {
  return Array.isArray(value) && value.every((row) => typeof row === "object" && row !== null && !Array.isArray(row));
}

function readGenerate(fields: Fields): Generate {
  const sampling = fields.object("sampling", {});
  const temperature = sampling.number("temperature", 0, 100, 0);
  const generate = {
    until: readTexts(fields, "until") ?? [],
    maxTokens: fields.integer("maxTokens", 1),
    sampling: temperature === 0 ? undefined : { temperature, topP: sampling.number("topP", 0, 1, 1) },
  };
  sampling.finish();
  fields.finish();
  return generate;
}
