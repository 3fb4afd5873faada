import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { isGeneration } from "./generation/task.ts";
import { countBytes, countWords } from "./lengths.ts";
import { compareParts, partsOf, summarizeParts } from "./parts.ts";
import { type Question, readQuestions } from "./questions.ts";
import { readRows } from "./rows.ts";
import type { QuestionRecord } from "./scores.ts";
import { estimate, type Metric, scoreQuestion, summarize } from "./scores.ts";
import { listTasks, openTask, type Task } from "./task.ts";
import { encodeWindows } from "./tokens.ts";

interface Asked {
  /** One, where all have the same. */
  readonly contexts: readonly string[];
  readonly continuations: readonly string[];
}

interface Answered {
  readonly questions: readonly (Asked & {
    readonly shots?: Asked;
    readonly logprobs: readonly number[];
    readonly greedy: boolean;
    readonly scores: Readonly<Partial<Record<Metric, number>>>;
  })[];
  readonly figures: Readonly<Partial<Record<Metric, number>>>;
  readonly errors: Readonly<Partial<Record<Metric, number>>>;
}

interface Files {
  readonly files: Readonly<Record<string, string>>;
}

interface Subjects extends Files {
  readonly parts: Readonly<Record<string, Answered>>;
  readonly groups: Readonly<Record<string, { readonly value: number; readonly error: number }>>;
}

interface Texts extends Files {
  readonly questions: readonly {
    readonly text: string;
    readonly words: number;
    readonly bytes: number;
    readonly logprob: number;
  }[];
  readonly figures: Readonly<Partial<Record<Metric, number>>>;
  readonly all: readonly { readonly sha256: string; readonly words: number; readonly bytes: number }[];
  readonly windows: readonly {
    readonly tokens: number;
    readonly read: number;
    readonly windows: readonly (readonly [number[], number[]])[];
  }[];
}

const vectors = join(import.meta.dirname, "../../test/vectors/eval");
const root = mkdtempSync(join(tmpdir(), "grok1-tasks-"));
const folder = join(root, "data");
afterAll(() => rmSync(root, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

function readVector<T extends Files>(name: string): T {
  const vector = JSON.parse(readFileSync(join(vectors, `${name}.json`), "utf8")) as T;
  for (const [file, text] of Object.entries(vector.files)) write(file, text);
  return vector;
}

const openScoring = (name: string) => openTask(name) as Task;

const pairsOf = ({ contexts, continuations }: Asked) =>
  Array.from({ length: Math.max(contexts.length, continuations.length) }, (_, i) => ({
    context: contexts[i] ?? contexts[0],
    continuation: continuations[i] ?? continuations[0],
  }));

function checkPrompts(
  task: Task,
  shots: number,
  list: readonly Question[],
  behindShots: readonly Question[],
  expected: Answered,
) {
  expect(list.map(({ pairs }) => pairs)).toEqual(expected.questions.map(pairsOf));
  const some = expected.questions.filter((question) => question.shots !== undefined);
  expect(some.length, `${task.name} behind ${shots}`).toBeGreaterThan(0);
  expect(behindShots.slice(0, some.length).map(({ pairs }) => pairs)).toEqual(
    some.map((question) => pairsOf(question.shots!)),
  );
}

/** What the harness calls them. */
const theirsOf = (metric: Metric): Metric => (metric === "mass" ? "acc" : metric === "token_f1" ? "f1" : metric);

/** Records of the answers that were drawn, checked against what the harness scores them. */
function answerAsDrawn(task: Task, list: readonly Question[], { questions }: Answered): readonly QuestionRecord[] {
  return list.map((question, index) => {
    const { logprobs, greedy, scores: expected } = questions[index]!;
    const scores = scoreQuestion(task.metrics, question, { logprobs, greedy });
    for (const [metric, value] of Object.entries(expected)) {
      const ours = task.metrics.find((each) => theirsOf(each) === metric)!;
      expect(scores[ours]).toBeCloseTo(value, 12);
    }
    return { task: task.name, question: index, line: 1, answer: question.answer, logprobs, scores, truncated: false };
  });
}

function checkFigures(task: Task, records: readonly QuestionRecord[], { figures, errors }: Answered): void {
  for (const metric of task.metrics) {
    const theirs = theirsOf(metric);
    const { value, error } = summarize(metric, records);
    expect(value).toBeCloseTo(figures[theirs]!, 10);
    if (errors[theirs] !== undefined) expect(error).toBeCloseTo(errors[theirs], 12);
  }
}

const others = listTasks().filter((name) => {
  const task = openTask(name);
  return !["mmlu", "wikitext"].includes(name) && !isGeneration(task) && task.like !== undefined;
});

describe.each(others)("%s", (name) => {
  const vector = readVector<Answered & Files>(name);
  const task = openScoring(name);

  it("asks what lm-evaluation-harness asks", () => {
    checkPrompts(task, 2, readQuestions(task, folder, 0).list, readQuestions(task, folder, 2).list, vector);
  });

  it("scores as lm-evaluation-harness does, with its standard errors", () => {
    checkFigures(task, answerAsDrawn(task, readQuestions(task, folder, 0).list, vector), vector);
  });
});

describe("mmlu", () => {
  const { parts, groups } = readVector<Subjects>("mmlu");
  const task = openScoring("mmlu");

  it("asks of each subject what lm-evaluation-harness asks, behind examples of their own", () => {
    expect([...partsOf(task)].sort()).toEqual(Object.keys(parts).sort());
    const [plain, behind] = [readQuestions(task, folder, 0).list, readQuestions(task, folder, 1).list];
    for (const [part, expected] of Object.entries(parts)) {
      const of = (list: readonly Question[]) => list.filter((question) => question.part === part);
      checkPrompts(task, 1, of(plain), of(behind), expected);
    }
    expect(() => readQuestions(task, folder, 2)).toThrow(/shots is 2, and .*abstract_algebra_dev\.csv has 1 question$/);
  });

  it("has the harness's figures of its groups, weighted by size, with pooled errors", () => {
    const { list } = readQuestions(task, folder, 0);
    const records = Object.entries(parts).flatMap(([part, expected]) => {
      const of = list.filter((question) => question.part === part);
      return answerAsDrawn(task, of, expected).map((record) => ({ ...record, part }));
    });
    const { metrics, parts: figures } = summarizeParts(task.parts, task.metrics, records, summarize);
    for (const [name, { value, error }] of Object.entries(groups)) {
      const { acc } = name === "mmlu" ? metrics : figures![name]!.metrics;
      expect(acc!.value).toBeCloseTo(value, 12);
      expect(acc!.error).toBeCloseTo(error, 12);
    }
    expect(figures!.anatomy!.metrics).toEqual({
      acc: summarize(
        "acc",
        records.filter(({ part }) => part === "anatomy"),
      ),
    });
    // Beside another run that has only anatomy, all of it wrong.
    const own = records.map((record, question) => ({ ...record, question }));
    const others = own.filter(({ part }) => part === "anatomy").map((one) => ({ ...one, scores: { acc: 0 } }));
    const beside = new Map(others.map((record) => [record.question, record]));
    const { paired, pairedParts } = compareParts(task.parts, task.metrics, own, beside, estimate);
    expect(Object.keys(pairedParts!)).toEqual(["stem", "anatomy"]);
    expect(pairedParts!.stem).toEqual(paired);
    expect(paired.acc!.difference).toBeCloseTo(figures!.anatomy!.metrics.acc!.value, 12);
  });
});

describe("wikitext", () => {
  const vector = readVector<Texts>("wikitext");
  const task = openScoring("wikitext");
  const describeTexts = (list: readonly Question[]) =>
    list.map(({ pairs, choices: [document] }) => ({
      ...{ text: pairs[0]!.continuation, words: countWords(document!), bytes: countBytes(document!) },
    }));

  it("cleans and counts documents as lm-evaluation-harness does, and has its perplexities", () => {
    const { list } = readQuestions(task, folder, 0);
    const { questions, figures } = vector;
    expect(describeTexts(list)).toEqual(questions.map(({ text, words, bytes }) => ({ text, words, bytes })));
    const records = questions.map(
      ({ words, bytes, logprob }, question): QuestionRecord => ({
        ...{ task: "wikitext", question, line: 1, answer: [0], logprobs: [logprob], scores: {}, words, bytes },
        truncated: false,
      }),
    );
    for (const metric of task.metrics) expect(summarize(metric, records).value / figures[metric]!).toBeCloseTo(1, 12);
    expect(() => readQuestions(task, folder, 1)).toThrow(/shots is 1, and the texts of wikitext stand alone/);
  });

  const shared = join(import.meta.dirname, "../../../shared/data/eval");
  it.skipIf(!existsSync(shared))(
    "makes of the whole file what the harness makes of it (skipped without the shared data)",
    () => {
      const texts = describeTexts(readQuestions(task, shared, 0).list);
      const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
      expect(texts.map(({ text, ...counts }) => ({ sha256: sha256(text), ...counts }))).toEqual(vector.all);
    },
  );

  it.each(vector.windows)("predicts $tokens tokens in the harness's windows of $read", ({ tokens, read, windows }) => {
    const tokenizer = {
      bos: 0,
      eos: undefined,
      addBos: false,
      encode: () => Int32Array.from({ length: tokens }, (_, i) => i + 1),
    };
    const ours = encodeWindows(tokenizer as never, "", read).map((window) => [
      [...window.tokens.subarray(0, window.from)],
      [...window.tokens.subarray(window.from)],
    ]);
    expect(ours).toEqual(windows);
  });
});

it("the mass of right choices is told of texts whose likelihoods are too small for a number", () => {
  const question = { choices: ["a", "b"], answer: [1] };
  const { mass } = scoreQuestion(["mass"], question, { logprobs: [-800, -801], greedy: false });
  expect(mass).toBeCloseTo(1 / (1 + Math.E), 12);
});

describe("a task's file and its data", () => {
  const whole = {
    ...{ name: "own", about: "a test", data: "own.jsonl", source: "nowhere" },
    ...{ context: "{{q}}", choices: "{{c | tojson}}", continuation: "{{choice}}", answer: "{{a}}", metrics: ["acc"] },
  };
  const file = (changes: object) => write("own.json", JSON.stringify({ ...whole, ...changes }));
  const rows = (...lines: readonly string[]) => {
    write("own.jsonl", lines.join("\n"));
    return () => readQuestions(openScoring(file({})), folder, 0);
  };
  const good = '{"q": "1 + 1 =", "c": ["2", "three"], "a": 0}';

  it.each([
    [{ metrics: ["bits_per_byte"] }, /own\.json: metrics: expected a list of some of acc, acc_norm/],
    [{ metrics: ["perplexity"] }, /metrics: expected/],
    [{ metrics: [] }, /metrics: expected/],
    [{ context: "{{q" }, /own\.json: context: .*unexpected|own\.json: context: /],
    [{ context: "{{q | larger}}" }, /own\.json: context: .*larger/],
    [{ parts: { a: ["x"], b: ["x"] } }, /parts: a name is there twice/],
    [
      {
        choices: undefined,
        answer: undefined,
        context: undefined,
        continuation: undefined,
        text: "{{q}}",
        metrics: ["acc"],
      },
      /metrics: expected a list of some of word_perplexity/,
    ],
    [{ answer: undefined }, /answer: expected a text, found nothing/],
    [{ choices: undefined }, /answer: there is no such entry/],
    [{ shots: 5 }, /shots: there is no such entry/],
  ])("a mistake in the task is named: %j", (changes, message) => {
    expect(() => openTask(file(changes))).toThrow(message);
  });

  it.each([
    ["{", /own\.jsonl: line 2: expected a JSON object/],
    ["[]", /own\.jsonl: line 2: expected a JSON object, found \[\]/],
    ['{"c": ["2", "3"], "a": 0}', /own\.jsonl: line 2: context: .*'q' is undefined/],
    ['{"q": "x", "c": ["2"], "a": 0}', /line 2: choices: expected a list of at least two texts/],
    ['{"q": "x", "c": ["2", ""], "a": 0}', /line 2: choices: expected a list of at least two texts/],
    ['{"q": "x", "a": 0}', /line 2: choices: /],
    [
      '{"q": "x", "c": ["2", "3"], "a": 2}',
      /line 2: answer: expected a whole number from 0 to 1, or a list of some, found 2/,
    ],
    ['{"q": "x", "c": ["2", "3"], "a": "second"}', /line 2: answer: expected JSON, found "second"/],
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
      /piqa\.jsonl: there is no such file, which piqa needs/,
    );
  });

  it("a template keeps the newline at its end, and what rows say is no template", () => {
    rows('{"q": "{{a}}", "c": ["2", "3"], "a": 0}');
    const [{ pairs }] = readQuestions(openScoring(file({ context: "<{{ q }}>\n" })), folder, 0).list as [Question];
    expect(pairs[0]!.context).toBe("<{{a}}>\n");
  });
});

describe("readRows", () => {
  const fieldsOf = (text: string, path: string, columns?: readonly string[]) =>
    readRows(text, path, { columns }).map(({ line, fields }) => ({ line, ...fields }));

  it("reads CSV with quotes, line ends within and without, and a header", () => {
    const text = 'Best Answer,b\r\n"a ""quoted""\n cell",\r\n,"x, y"\n';
    expect(fieldsOf(text, "x.csv")).toEqual([
      { line: 2, Best_Answer: 'a "quoted"\n cell', b: "" },
      { line: 4, Best_Answer: "", b: "x, y" },
    ]);
    expect(fieldsOf("1,2\n3,4", "x.csv", ["a", "b"])).toEqual([
      { line: 1, a: "1", b: "2" },
      { line: 2, a: "3", b: "4" },
    ]);
  });

  it("reads TSV as it stands, and refuses rows of another width and open quotes", () => {
    expect(fieldsOf('a\tb\n"x\ty"\n', "x.tsv")).toEqual([{ line: 2, a: '"x', b: 'y"' }]);
    expect(() => fieldsOf("a,b\n1,2\n1\n", "x.csv")).toThrow(/x\.csv: line 3: expected 2 columns \(a, b\), found 1/);
    // As long as a cell may be, and as many as there may be on a line.
    const long = `x\n"y"`.repeat(2_000_000);
    const [only] = readRows(`a,b\n"${long.replaceAll('"', '""')}",1\n`, "x.csv");
    expect(only!.fields.a === long).toBe(true);
    expect(() => fieldsOf(`a\n"${long}`, "x.csv")).toThrow(/x\.csv: line 2: expected a cell/);
    expect(() => fieldsOf(`a\n${"1,".repeat(300_000)}`, "x.csv")).toThrow(/expected 1 columns \(a\), found 300001/);
    expect(() => fieldsOf('a,b\n"1,2\n', "x.csv")).toThrow(/x\.csv: line 2: expected a cell/);
    expect(() => fieldsOf("a,b\n", "x.csv")).toThrow(/x\.csv: empty/);
  });
});
