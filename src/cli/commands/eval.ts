import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";
import type { Command } from "commander";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { checkDestination } from "../../bytes/destination.ts";
import { counted } from "../../errors.ts";
import type { LanguageModel } from "../../generate/types.ts";
import { canDownload, missingFiles, openDataFolder } from "../../tasks/data/data-folder.ts";
import type { Doubt } from "../../tasks/doubts.ts";
import { evaluate } from "../../tasks/evaluate.ts";
import { renderEvaluation } from "../../tasks/page/page.ts";
import type { PartResult, TaskResult } from "../../tasks/prepared.ts";
import { filesOf, listTasks, openTask } from "../../tasks/task.ts";
import { usageError } from "../exit.ts";
import { findInstallation } from "../installation.ts";
import { catchInterrupt } from "../interrupt.ts";
import { type ModelOptions, modelFiles, openModel, requireModel, warnOfModel } from "../open-model.ts";
import { addSettings, pick } from "../settings.ts";
import { createProgress, escapeLine, formatSeconds, jsonDocument, table } from "../terminal.ts";
import { adapterList, integer, number, path } from "../values.ts";

interface EvalCommandOptions extends ModelOptions {
  readonly data?: string;
  readonly shots?: number;
  readonly limit?: number;
  readonly samples?: number;
  readonly temperature?: number;
  readonly chat?: true;
  readonly unsafeCode?: true;
  readonly records?: string;
  readonly against?: string;
  readonly html?: string;
  readonly list?: true;
  readonly json?: true;
}

export function addEval(program: Command): void {
  const command = program
    .command("eval")
    .description("What a model scores on tasks with known answers; prompts and scores are lm-evaluation-harness's.")
    .argument("[tasks]", "names with commas between them, or files of tasks of your own (.json)")
    .option("-d, --data <folder>", "where the tasks' data are", path())
    .option(
      "--shots <n>",
      "answered questions in front of each (default: what the task says, mostly 0)",
      integer(0, 1000),
    )
    .option("--limit <n>", "ask only the first n questions of each task, or of each of its parts", integer(1))
    .option(
      "--samples <n>",
      "draw n answers to each question, for pass@k (default: 1, the likeliest)",
      integer(1, 1000),
    )
    .option("--temperature <t>", "of answers that are drawn (default: what the task says)", number(0))
    .option(
      "--lora <file[:scale]>",
      "low-rank adapter to use: PEFT's folder or safetensors file; can be given several times",
      adapterList(),
    )
    .option("--chat", "ask by the model's chat template, for models that answer")
    .option("--unsafe-code", "run programs that the model writes without a cage: they may do whatever you may")
    .option("--records <file>", "keep each question's record (JSON lines), and go on from those that are there", path())
    .option("--against <records>", "compare with another run's records, question by question", path())
    .option("--html <file>", "write a page too, to be opened in a browser: with charts", path())
    .option("--list", "say which tasks there are, which have their data, and where to get the others'")
    .option("--json", "print one JSON document");
  addSettings(command, ["model", "context", "backend", "threads", "isa", "kvType", "memory"]);
  command.action((tasks: string | undefined, options: EvalCommandOptions) =>
    options.list ? list(options) : run(tasks, options),
  );
}

function list({ data, json }: EvalCommandOptions): void {
  const tasks = listTasks().map((name) => {
    const task = openTask(name);
    const { about, like, metrics, source, note } = task;
    const missing = data === undefined ? filesOf(task) : missingFiles(task, filesOf(task), data);
    const download = missing.some((file) => canDownload(task, file));
    const by = missing.filter((file) => !canDownload(task, file));
    const file = task.data.replaceAll("{{part}}", "*");
    return { name, about, like, metrics, file, source, note, there: missing.length === 0, missing, download, by };
  });
  if (json) {
    process.stdout.write(`${jsonDocument(tasks.map(({ by: _, ...task }) => task))}\n`);
    return;
  }
  const where = data === undefined ? "FOLDER" : escapeLine(data);
  process.stdout.write(
    table(tasks.map(({ name, about, there }) => [name, there ? "there" : "missing", escapeLine(about)])),
  );
  const some = tasks.filter(({ download }) => download).map(({ name }) => name);
  if (some.length > 0) {
    process.stdout.write(`\nWhat Hugging Face has of it:\n  grok1 pull-data ${some.join(",")} --data ${where}\n`);
  }
  const rest = tasks.filter(({ by }) => by.length > 0);
  if (rest.length === 0) return;
  process.stdout.write(
    `\nWhat else is missing belongs into ${data === undefined ? "the folder that --data names" : where}:\n`,
  );
  const places = rest.map(({ by, source, note }) => {
    const more = by.length === 1 ? "" : ` and ${by.length - 1} more`;
    return `${by[0]}${more}\n  from ${source}\n${note === undefined ? "" : `  ${note}\n`}`;
  });
  process.stdout.write([...new Set(places)].join(""));
}

async function run(given: string | undefined, options: EvalCommandOptions): Promise<void> {
  if (given === undefined) throw usageError("no task: name some, such as piqa,hellaswag; --list says which there are");
  const { data, records, against, html, json } = options;
  if (data === undefined) throw usageError("no data: --data names their folder; --list says what belongs into it");
  const tasks = given.split(",").map((name) => name.trim());
  const file = requireModel(options);
  for (const written of [records, html]) {
    if (written === undefined) continue;
    const inPlace = written === records;
    checkDestination(written, modelFiles(file, options.lora), "the model", { inPlace });
    checkDestination(
      written,
      tasks.flatMap((name) => {
        const task = openTask(name);
        return filesOf(task).map(openDataFolder(data, task).pathOf);
      }),
      "a task's data",
    );
  }
  if (html !== undefined) {
    checkDestination(
      html,
      [records, against].filter((path) => path !== undefined),
      "a file of records",
    );
  }
  using interrupt = catchInterrupt();
  await using model = await openModel(file, options);
  warnOfModel(model);
  const progress = createProgress(process.stderr, process.env);
  const start = performance.now();
  let began = { task: "", at: start };
  try {
    const results = await evaluate(model, tasks, {
      ...{ data, ...pick(options, ["shots", "limit", "samples", "temperature", "chat", "unsafeCode"]) },
      ...pick(options, ["records", "against"]),
      signal: interrupt.signal,
      onProgress({ task, done, questions, kept }) {
        if (task !== began.task) began = { task, at: performance.now() };
        const left = ((performance.now() - began.at) / 1000 / (done - kept)) * (questions - done);
        progress.show(`${task}  question ${done} of ${questions}  ${formatSeconds(left)} left`);
      },
    });
    progress.clear();
    const seconds = (performance.now() - start) / 1000;
    if (html !== undefined) {
      const { version } = findInstallation();
      await writeAtomic(html, [Buffer.from(renderEvaluation({ model, results, seconds, version, against }))]);
    }
    if (json) {
      const how = { version: findInstallation().version, ...settingsOf(options, model), files: await hashFiles(file) };
      process.stdout.write(`${jsonDocument({ model: file, data, results, seconds, ...how })}\n`);
    } else process.stdout.write(render(file, results, seconds));
  } finally {
    progress.clear();
  }
}

/** What a result follows from beside model, tasks and data, so that somebody else can have it again. */
function settingsOf(options: EvalCommandOptions, { info, description }: LanguageModel) {
  const { backend, isa, threads, kvType, contextLength, adapters, adapterPaths } = info;
  const given = pick(options, ["shots", "limit", "samples", "temperature"]);
  return {
    ...{ name: description.name, architecture: description.architecture },
    settings: {
      ...{ shots: null, limit: null, samples: null, temperature: null, ...given },
      ...{ chat: options.chat ?? false, unsafeCode: options.unsafeCode ?? false },
      ...{ backend, isa, threads, kvType, contextLength },
      adapters: adapters.map(({ scale }, i) => ({ path: adapterPaths[i], scale })),
    },
  };
}

/** Larger ones take minutes to read, and what of them is in memory would have to go. */
const mostHashedBytes = 4 * 2 ** 30;

/** A model's files with SHA-256, where they are not too large for it together. */
async function hashFiles(model: string) {
  const files = modelFiles(model).map((path) => ({ path, bytes: statSync(path).size }));
  const whole = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const hashed: object[] = [];
  for (const file of files) {
    const hash = createHash("sha256");
    if (whole <= mostHashedBytes) for await (const part of createReadStream(file.path)) hash.update(part as Uint8Array);
    hashed.push({ ...file, sha256: whole <= mostHashedBytes ? hash.digest("hex") : null });
  }
  return hashed;
}

const doubtWords: Readonly<Record<Doubt["why"], string>> = {
  ...{ chance: "may be chance", few: "few questions", limited: "answers cut off" },
};

function render(file: string, results: readonly TaskResult[], seconds: number): string {
  const rows = results
    .flatMap(withParts)
    .flatMap(({ task, shots, questions, guessing, metrics, doubts }) =>
      Object.entries(metrics).map(([metric, { value, error }]) => [
        ...[escapeLine(task), metric, value.toFixed(4), renderError(error), String(questions), String(shots)],
        guessing === undefined ? "" : guessing.toFixed(2),
        doubts.flatMap((doubt) => (doubt.metric === metric ? doubtWords[doubt.why] : [])).join(", "),
      ]),
    );
  const cut = results.reduce((sum, { truncated }) => sum + truncated, 0);
  const limited = results.reduce((sum, result) => sum + (result.limited ?? 0), 0);
  return `${escapeLine(basename(file))}, ${formatSeconds(seconds)}
${table([["task", "metric", "value", "error", "questions", "shots", "guessing", "doubt"], ...rows], [2, 4, 5, 6])}${
  cut === 0 ? "" : `${counted(cut, "question")} did not fit the model's context: their beginnings were left out\n`
}${limited === 0 ? "" : `${counted(limited, "answer")} ran into the most tokens that they may have: what was still to come is missing\n`}${renderPaired(results)}`;
}

/** A single question has none. */
const renderError = (error: number): string => (Number.isNaN(error) ? "" : `± ${error.toFixed(4)}`);

/** What the other run has, what this one has more, how much of it that is, and which questions changed. */
function renderPaired(results: readonly TaskResult[]): string {
  const share = (value: number) => `${(100 * value).toFixed(1)} %`;
  const all = results.flatMap(({ task, paired = {}, pairedParts = {} }) => [
    { task, paired },
    ...Object.entries(pairedParts).map(([name, part]) => ({ task: `  ${name}`, paired: part })),
  ]);
  const rows = all.flatMap(({ task, paired }) =>
    Object.entries(paired).map(([metric, { questions, other, difference, error, retained, changed, noise }]) => [
      ...[escapeLine(task), metric, String(questions), other.toFixed(4), difference.toFixed(4), renderError(error)],
      retained === undefined ? "" : `${share(retained.value)} (${share(retained.low)} to ${share(retained.high)})`,
      ...(changed === undefined ? ["", "", ""] : [`${changed.gained}`, `${changed.lost}`, changed.p.toPrecision(2)]),
      noise ? "noise" : "not noise",
    ]),
  );
  if (rows.length === 0) return "";
  const head = ["task", "metric", "questions", "other", "difference", "error", "retained", "gained", "lost", "p", ""];
  return `\nagainst the other run's records:\n${table([head, ...rows], [2, 3, 4, 5, 7, 8, 9])}`;
}

interface Row extends PartResult, Pick<TaskResult, "task" | "shots" | "guessing"> {}

/** A task's figures, and below them those of its parts. */
function withParts(result: TaskResult): readonly Row[] {
  const { shots, guessing, parts = {} } = result;
  return [result, ...Object.entries(parts).map(([name, part]) => ({ ...part, task: `  ${name}`, shots, guessing }))];
}
