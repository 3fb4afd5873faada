import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { isGeneration } from "./generation/task.ts";
import { readQuestions } from "./questions.ts";
import { scoreQuestion, summarize } from "./scores.ts";
import { listTasks, type Metric, openTask, type Task } from "./task.ts";
import { parseTemplate } from "./template.ts";

interface Vector {
  readonly questions: readonly {
    readonly row: Readonly<Record<string, unknown>>;
    readonly pairs: readonly (readonly [context: string, continuation: string])[];
    readonly shots?: readonly (readonly [context: string, continuation: string])[];
    readonly logprobs: readonly number[];
    readonly greedy: boolean;
    readonly scores: Readonly<Partial<Record<Metric, number>>>;
  }[];
  readonly errors: Readonly<Partial<Record<Metric, number>>>;
}

const vectors = join(import.meta.dirname, "../../test/vectors/eval");
const folder = mkdtempSync(join(tmpdir(), "grok1-tasks-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

const tuples = (pairs: readonly { readonly context: string; readonly continuation: string }[]) =>
  pairs.map(({ context, continuation }) => [context, continuation]);

const openScoring = (name: string) => openTask(name) as Task;

describe.each(listTasks().filter((name) => !isGeneration(openTask(name))))("%s", (name) => {
  const { questions, errors } = JSON.parse(readFileSync(join(vectors, `${name}.json`), "utf8")) as Vector;
  const task = openScoring(name);
  write(task.data, questions.map(({ row }) => `${JSON.stringify(row)}\n`).join(""));

  it("asks what lm-evaluation-harness asks", () => {
    const { list } = readQuestions(task, folder, 0);
    expect(list.map(({ pairs }) => tuples(pairs))).toEqual(questions.map(({ pairs }) => pairs));
    const { list: behindShots } = readQuestions(task, folder, 2);
    for (const [i, { shots }] of questions.entries()) {
      if (shots !== undefined) expect(tuples(behindShots[i]!.pairs)).toEqual(shots);
    }
  });

  it("scores as lm-evaluation-harness does, with its standard errors", () => {
    const { list } = readQuestions(task, folder, 0);
    const scores = list.map((question, i) => scoreQuestion(task.metrics, question, questions[i]!));
    expect(scores).toEqual(questions.map((question) => question.scores));
    for (const [metric, error] of Object.entries(errors)) {
      expect(summarize(metric as Metric, scores).error).toBeCloseTo(error, 12);
    }
  });
});

describe("a task's file and its data", () => {
  const whole = {
    ...{ name: "own", about: "a test", data: "own.jsonl", source: "nowhere" },
    ...{ context: "{{q}}", choices: "c", continuation: "{{choice}}", answer: "a", metrics: ["acc"] },
  };
  const file = (changes: object) => write("own.json", JSON.stringify({ ...whole, ...changes }));
  const rows = (...lines: readonly string[]) => {
    write("own.jsonl", lines.join("\n"));
    return () => readQuestions(openScoring(file({})), folder, 0);
  };
  const good = '{"q": "1 + 1 =", "c": ["2", "three"], "a": 0}';

  it.each([
    [{ metrics: ["f1"] }, /own\.json: metrics: expected a list of some of acc, acc_norm/],
    [{ metrics: ["perplexity"] }, /metrics: expected/],
    [{ metrics: [] }, /metrics: expected/],
    [{ context: "{{q" }, /own\.json: context: expected \{\{field\}\}/],
    [{ context: "{{q | upper}}" }, /context: expected \{\{field\}\}/],
    [{ answer: undefined }, /answer: expected a text, found nothing/],
    [{ choices: undefined }, /answer: there is no such entry/],
    [{ shots: 5 }, /shots: there is no such entry/],
  ])("a mistake in the task is named: %j", (changes, message) => {
    expect(() => openTask(file(changes))).toThrow(message);
  });

  it.each([
    ["{", /own\.jsonl: line 2: expected a JSON object/],
    ["[]", /own\.jsonl: line 2: expected a JSON object, found \[\]/],
    ['{"q": 7, "c": ["2", "3"], "a": 0}', /own\.jsonl: line 2: q: expected a text, found 7/],
    ['{"c": ["2", "3"], "a": 0}', /line 2: q: expected a text, found nothing/],
    ['{"q": "x", "c": ["2"], "a": 0}', /line 2: c: expected a list of at least two texts/],
    ['{"q": "x", "c": ["2", ""], "a": 0}', /line 2: c: expected a list of at least two texts/],
    ['{"q": "x", "c": ["2", "3"], "a": 2}', /line 2: a: expected a whole number from 0 to 1, found 2/],
    ['{"q": "x", "c": ["2", "3"], "a": "0"}', /line 2: a: expected a whole number/],
  ])("a mistake in the data is named: %s", (line, message) => {
    expect(rows(good, line)).toThrow(message);
  });

  it("empty lines are none; an empty file, more shots than questions and unknown names are refused", () => {
    expect(rows("", good, "", good, "")().list.map(({ row }) => row.line)).toEqual([2, 4]);
    expect(() => readQuestions(openScoring(file({})), folder, 2)).toThrow(
      /shots is 2, and .*own\.jsonl has 2 questions/,
    );
    expect(rows("")).toThrow(/own\.jsonl: empty/);
    expect(() => openTask("piqua")).toThrow('there is no task "piqua", did you mean piqa?');
    expect(() => readQuestions(openScoring("piqa"), join(folder, "none"), 0)).toThrow(
      /piqa\.jsonl: cannot open: no such file/,
    );
  });

  it("a template cuts off what has to be there", () => {
    const template = parseTemplate('<{{ a }}|{{b | after "B: "}}>') as (row: object) => string;
    const row = { path: "x.jsonl", line: 3 };
    expect(template({ ...row, fields: { a: "{{b}}", b: "B: c" } })).toBe("<{{b}}|c>");
    expect(() => template({ ...row, fields: { a: "", b: "c" } })).toThrow(
      'x.jsonl: line 3: b: expected a text that begins with "B: "',
    );
  });
});
