import { createHash } from "node:crypto";
import { identify } from "../bytes/file-identity.ts";
import { GrokError } from "../errors.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { anyKinds, type OptionKinds, readOptions, readPlain } from "../generate/arguments.ts";
import type { LanguageModel } from "../generate/types.ts";
import { adapterFiles } from "../model/lora/read.ts";
import { checkList, checkText, checkTexts, checkWhole } from "../options.ts";
import { createConversation, type Put, putAsText } from "./conversation.ts";
import { doubtsOf } from "./doubts.ts";
import { prepareGeneration } from "./generation/prepare.ts";
import { isGeneration } from "./generation/task.ts";
import { intervalOf } from "./intervals.ts";
import { countBytes, countWords } from "./lengths.ts";
import { compareParts, summarizeParts } from "./parts.ts";
import { type Answered, beginResult, type PreparedTask, type TaskResult } from "./prepared.ts";
import { hashOf, type Question, readQuestions } from "./questions.ts";
import { noRecords, openRecords, type Records, readRecords } from "./records.ts";
import { type Answer, estimate, isOwn, type QuestionRecord, scoreQuestion, summarize } from "./scores.ts";
import { openTask, type Task } from "./task.ts";
import { type EncodedPair, encodePair, encodeWindows } from "./tokens.ts";

export interface EvaluateOptions {
  /** Folder of the tasks' data. */
  readonly data: string;
  /** Answered questions in front of each. Default: what the task says, mostly none. */
  readonly shots?: number;
  /** Most questions of each task, or of each of its parts, the first ones. Default: all. */
  readonly limit?: number;
  /** Answers to each question that are drawn at random, where a task counts how many of several are right. Default: one, the likeliest. */
  readonly samples?: number;
  /** Temperature of answers that are drawn. Default: what the task says. */
  readonly temperature?: number;
  /**
   * Ask by the model's chat template: for models that answer. Default false: a question is a text that the model goes on with.
   */
  readonly chat?: boolean;
  /**
   * Run programs that the model writes without a cage around them, as yourself: they may do whatever you may. Default false: where there is
   * no cage (bubblewrap), tasks with programs are refused.
   */
  readonly unsafeCode?: boolean;
  /**
   * File that keeps each question's record, a JSON line each. Where there is one of the same model, tasks and data, what is in it is not
   * computed again.
   */
  readonly records?: string;
  /** File of another run's records: figures are compared with it, question by question. */
  readonly against?: string;
  readonly signal?: AbortSignal;
  /** Told after each question: of the one task, how many are done, those of an earlier run with them. */
  readonly onProgress?: (progress: EvaluateProgress) => void;
}

export interface EvaluateProgress {
  readonly task: string;
  readonly done: number;
  readonly questions: number;
  /** Of `done`, those that the file of records had. */
  readonly kept: number;
}

const optionKinds: OptionKinds<EvaluateOptions> = {
  ...anyKinds(["data", "shots", "limit", "samples", "temperature", "records", "against"]),
  ...{ chat: "flag", unsafeCode: "flag", signal: "signal", onProgress: "function" },
};

/** Questions that are scored together: enough to fill passes, and little is lost with an interruption. */
const batchQuestions = 64;

/**
 * What a model scores on tasks with known answers, by the log-likelihood of each choice: prompts and scores are those of
 * lm-evaluation-harness. The figures do not depend on what is computed together.
 *
 * @param tasks names of the package's tasks, or files of further ones (`*.json`).
 * @throws GrokError `argument`; `io` and `format` naming the file and the line; `capacity`; `cancelled`.
 */
export async function evaluate(
  model: LanguageModel,
  tasks: readonly string[],
  options: EvaluateOptions,
): Promise<readonly TaskResult[]> {
  const asking = readPlain("tasks", tasks);
  checkList("tasks", asking);
  checkTexts("tasks", asking);
  const read = readOptions("evaluate", options, optionKinds);
  const { data, shots, limit, chat = false, records: path, against: other, signal, onProgress } = read;
  checkText("data", data);
  if (shots !== undefined) checkWhole("shots", shots, 0, 1000);
  if (limit !== undefined) checkWhole("limit", limit, 1, Number.MAX_SAFE_INTEGER);
  if (path !== undefined) checkText("records", path);
  if (other !== undefined) checkText("against", other);
  const put = chat ? createConversation(model) : putAsText;
  // All of them first: what is wrong with the last one is known before the first has taken an hour.
  const asked = [...new Set(asking)].map((name) => {
    const task = openTask(name);
    return isGeneration(task) ? prepareGeneration(task, read) : prepareScoring(task, read);
  });
  const names = asked.map(({ task }) => task);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new GrokError("argument", `tasks: two are called ${twice}`, { option: "tasks" });
  const against = other === undefined ? undefined : readRecords(other);
  for (const { task, keyFor } of asked) against?.begin(task, keyFor(model), () => true);
  for (const { begin } of asked) await begin?.();
  const records = path === undefined ? noRecords : openRecords(path, computedBy(model));
  try {
    const results: TaskResult[] = [];
    for (const { task, keyFor, answer } of asked) {
      const onDone = (done: number, questions: number, kept: number) => {
        onProgress?.({ task, done, questions, kept });
      };
      const result = await answer(model, records, { put, against, signal, onDone });
      results.push(report(result, keyFor(model)));
    }
    return results;
  } finally {
    records.close();
  }
}

function report({ parts, ...result }: Answered, key: string): TaskResult {
  const { guessing } = result;
  const metrics = withIntervals(result);
  const of = Object.entries(parts ?? {}).map(([name, part]) => {
    const reported = { ...part, metrics: withIntervals(part) };
    return [name, { ...reported, doubts: doubtsOf({ ...reported, guessing }) }];
  });
  const doubts = doubtsOf({ ...result, metrics });
  return { ...result, key, metrics, doubts, ...(parts && { parts: Object.fromEntries(of) }) };
}

function withIntervals({ metrics, questions }: Pick<Answered, "metrics" | "questions">): TaskResult["metrics"] {
  const reported = Object.entries(metrics).map(([metric, figure]) => [
    metric,
    { ...figure, interval: intervalOf(metric, figure, questions) },
  ]);
  return Object.fromEntries(reported);
}

function prepareScoring(
  task: Task,
  { data, shots = 0, chat = false, limit = Number.MAX_SAFE_INTEGER }: EvaluateOptions,
): PreparedTask {
  const { list, key: asked } = readQuestions(task, data, shots, chat);
  const keyFor = ({ chatTemplate }: LanguageModel) => (chat ? hashOf([asked, chatTemplate]) : asked);
  const questions = list.filter(({ index }) => index < limit);
  return {
    task: task.name,
    keyFor,
    async answer(model, records, { put, against, signal, onDone }) {
      const key = keyFor(model);
      const others = against?.begin(task.name, key, (record: QuestionRecord) => isWhole(task, record));
      const of = await answerAll(model, put, task, questions, key, records, signal, onDone);
      return {
        ...beginResult(task, { shots, chat, questions: of.length, available: list.length }),
        ...summarizeParts(task.parts, task.metrics, of, summarize),
        guessing: task.kind === "choice" ? meanOf(questions.map(chance)) : undefined,
        truncated: of.filter(({ truncated }) => truncated).length,
        ...(others && compareParts(task.parts, task.metrics, of, others, estimate)),
      };
    },
  };
}

/** What one who guesses has right of it. */
const chance = ({ answer, pairs }: Question) => answer.length / pairs.length;

/** Records of all questions, in their order; those that are kept already are not computed. */
async function answerAll(
  model: LanguageModel,
  put: Put,
  task: Task,
  questions: readonly Question[],
  key: string,
  records: Records,
  signal: AbortSignal | undefined,
  onDone: (done: number, questions: number, kept: number) => void,
): Promise<readonly QuestionRecord[]> {
  const known = new Map(records.begin(task.name, key, (record: QuestionRecord) => isWhole(task, record)));
  const open = [...questions.keys()].filter((index) => !known.has(index));
  const kept = questions.length - open.length;
  let done = kept;
  // Whose texts are the same is asked once: records told in few words are often alike.
  const alike = new Map<string, number[]>();
  for (const index of open) {
    const { description, pairs } = questions[index]!;
    const key = hashOf([description, pairs]);
    const members = alike.get(key);
    if (members === undefined) alike.set(key, [index]);
    else members.push(index);
  }
  const groups = [...alike.values()];
  /** Written in the questions' order, whichever is done first. */
  const early = new Map<number, QuestionRecord>();
  let next = 0;
  for (let start = 0; start < groups.length; start += batchQuestions) {
    const batch = groups.slice(start, start + batchQuestions).map((members) => {
      const question = questions[members[0]!]!;
      return { members, question, texts: encodeQuestion(model, put, task, question) };
    });
    const places = batch.flatMap(({ texts }, at) => texts.map((_, choice) => ({ at, choice })));
    const answers = batch.map(({ question, texts }) => ({
      logprobs: new Array<number>(question.pairs.length).fill(0),
      greedy: true,
      left: texts.length,
    }));
    await model.score(
      batch.flatMap(({ texts }) => texts),
      {
        // Only who has no choices asks what the model would have said itself.
        ...(task.kind === "continuation" && { top: 1 }),
        ...(signal && { signal }),
        onScored(text, logprobs, top) {
          const { at, choice } = places[text]!;
          const { members, texts } = batch[at]!;
          const answer = answers[at]!;
          // All windows of a text are of its one likelihood.
          answer.logprobs[task.kind === "text" ? 0 : choice]! += logprobs.reduce((sum, value) => sum + value, 0);
          const { tokens, from } = texts[choice]!;
          if (task.kind === "continuation") answer.greedy = top.every(([best], i) => best?.token === tokens[from + i]);
          if (--answer.left > 0) return;
          const truncated = texts.some(({ truncated }) => truncated);
          for (const index of members) early.set(index, recordOf(task, questions[index]!, index, answer, truncated));
          for (let record = early.get(open[next]!); record !== undefined; record = early.get(open[++next]!)) {
            known.set(record.question, record);
            records.add(record);
            onDone(++done, questions.length, kept);
          }
        },
      },
    );
  }
  return [...questions.keys()].map((index) => known.get(index)!);
}

function recordOf(
  { name, kind, metrics }: Task,
  question: Question,
  index: number,
  answer: Answer,
  truncated: boolean,
): QuestionRecord {
  const [text] = question.choices;
  return {
    ...{ task: name, ...(question.part !== undefined && { part: question.part }), question: index },
    ...{ line: question.row.line, answer: question.answer, logprobs: answer.logprobs },
    ...(kind === "text" && { words: countWords(text!), bytes: countBytes(text!) }),
    scores: scoreQuestion(metrics, question, answer),
    truncated,
  };
}

function isWhole({ kind, metrics }: Task, { answer, logprobs, scores, words, bytes }: QuestionRecord): boolean {
  return (
    [answer, logprobs].every((list) => Array.isArray(list) && list.length > 0 && list.every(Number.isFinite)) &&
    metrics.filter(isOwn).every((metric) => Number.isFinite(scores?.[metric])) &&
    (kind !== "text" || [words, bytes].every(Number.isFinite))
  );
}

function encodeQuestion(
  model: LanguageModel,
  put: Put,
  { kind }: Task,
  { description, pairs, row }: Question,
): readonly EncodedPair[] {
  const read = (context: string) => put({ description, question: context.slice(description.length), begun: "" });
  try {
    if (kind === "text") return encodeWindows(model.tokenizer, pairs[0]!.continuation, model.info.contextLength);
    return pairs.map(({ context, continuation }) =>
      encodePair(model.tokenizer, { context: read(context), continuation }, model.info.contextLength),
    );
  } catch (error) {
    if (!(error instanceof GrokError)) throw error;
    throw new GrokError(error.code, `${row.path}: line ${row.line}: ${error.message}`, error.details, error);
  }
}

/** What values follow from beside the questions: the model's files, and with what they are computed. */
export function computedBy({ path, info }: LanguageModel): string {
  const file = openGguf(path);
  file.close();
  const { backend, isa, kvType, contextLength } = info;
  const adapters = info.adapters.map(({ scale }, i) => ({
    scale,
    files: identify(adapterFiles(info.adapterPaths[i]!)),
  }));
  const how = JSON.stringify({ model: identify(file.paths), backend, isa, kvType, contextLength, adapters });
  return createHash("sha256").update(how).digest("hex");
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
