import { decodeText } from "../bytes/text.ts";
import { readTextBytes } from "../bytes/text-file.ts";
import { GrokError } from "../errors.ts";
import { anyKinds, type OptionKinds, readOptions } from "../generate/arguments.ts";
import type { LanguageModel } from "../generate/types.ts";
import { checkText } from "../options.ts";
import { computedBy } from "../tasks/evaluate.ts";
import { openTask, type Task } from "../tasks/task.ts";
import { encodePair } from "../tasks/tokens.ts";
import { findFunctions, type Language, type SourceFunction } from "./functions.ts";
import { measurePrecision, type Precision, shareOf } from "./precision.ts";
import { type LeftOut, listSources, type SourceFile } from "./source-files.ts";

export interface ScanOptions {
  /** Least share of "yes" beside "no" that is a finding. Default 0.5: what the model holds to be likelier. */
  readonly threshold?: number;
  /** Language of the questions. Default `en`. */
  readonly language?: "en" | "es";
  /** Records that `evaluate` kept of `sven` (`sven_es`) with the same model: how right it is at the threshold. */
  readonly records?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ScanProgress) => void;
}

/** What is done. */
export interface ScanProgress {
  readonly functions: number;
  /** How many files were looked into, of how many. */
  readonly files: number;
  readonly of: number;
}

export interface Finding {
  /** Such as `CWE-89`. */
  readonly cwe: string;
  readonly file: string;
  readonly function: string;
  readonly firstLine: number;
  readonly lastLine: number;
  /** Of "yes" beside "no". */
  readonly share: number;
}

export interface ScanResult {
  /** The likeliest first. */
  readonly findings: readonly Finding[];
  readonly files: number;
  readonly functions: number;
  readonly leftOut: readonly LeftOut[];
  readonly threshold: number;
  /** Undefined where nothing was measured. */
  readonly precision: Precision | undefined;
}

const optionKinds: OptionKinds<ScanOptions> = {
  ...anyKinds(["threshold", "language", "records"]),
  ...{ signal: "signal", onProgress: "function" },
};

/** Weaknesses that the task `sven` knows (its CWEs), by what a language can be open to. */
const memory = ["CWE-125", "CWE-190", "CWE-416", "CWE-476", "CWE-787"];
const input = ["CWE-022", "CWE-078", "CWE-079", "CWE-089"];
const weaknesses: Readonly<Record<Language, readonly string[]>> = {
  ...{ c: [...memory, "CWE-022", "CWE-078"], javascript: input, python: input },
};

/** Functions that are asked about together: their beginnings are computed once for all questions. */
const atOnce = 16;

/**
 * Asks a model of every function below a path whether it is open to each weakness that its language can have, as the task `sven` does. What
 * comes is a suspicion: how often it is right is the model's affair, and measured by `records` alone.
 * @throws GrokError `argument`; `io`; `cancelled`
 */
export async function scanSources(model: LanguageModel, path: string, options: ScanOptions = {}): Promise<ScanResult> {
  const read = readOptions("scanSources", options, optionKinds);
  const { threshold = 0.5, language = "en", records, signal, onProgress } = read;
  checkText("path", path);
  if (typeof threshold !== "number" || !(threshold >= 0 && threshold <= 1)) {
    throw new GrokError("argument", `threshold is ${threshold}, expected 0 to 1`, { option: "threshold" });
  }
  if (language !== "en" && language !== "es") {
    throw new GrokError("argument", `language is ${language}, expected en or es`, { option: "language" });
  }
  const name = language === "en" ? "sven" : "sven_es";
  const task = openTask(name) as Task;
  const precision = records === undefined ? undefined : measurePrecision(records, computedBy(model), name, threshold);
  const { files, leftOut } = listSources(path);
  const missing: LeftOut[] = [...leftOut];
  const findings: Finding[] = [];
  let functions = 0;
  for (const { looked, batch } of inBatches(files, missing)) {
    const questions = batch.flatMap(({ file, of }) =>
      weaknesses[file.language].flatMap((cwe) => {
        const texts = encode(model, task, file, of, cwe);
        return texts === undefined ? [] : [{ file, of, cwe, texts }];
      }),
    );
    const shares = await ask(model, questions, signal);
    for (const [i, { file, of, cwe }] of questions.entries()) {
      if (shares[i]! < threshold) continue;
      const { name, firstLine, lastLine } = of;
      // As MITRE writes it; the task's questions have leading zeros.
      const number = `CWE-${Number(cwe.slice("CWE-".length))}`;
      findings.push({ cwe: number, file: file.name, function: name, firstLine, lastLine, share: shares[i]! });
    }
    for (const { file, of } of batch) {
      const all = weaknesses[file.language].length;
      const asked = questions.filter((question) => question.of === of).length;
      if (asked === all) continue;
      const rest = asked === 0 ? "" : ` with some questions: ${asked} of ${all} were asked`;
      missing.push({
        name: `${file.name}:${of.firstLine}`,
        why: `${of.name} is longer than what the model reads${rest}`,
      });
    }
    functions += batch.length;
    onProgress?.({ functions, files: looked, of: files.length });
  }
  findings.sort((a, b) => b.share - a.share);
  return {
    ...{ findings, files: files.length, functions, leftOut: missing },
    ...{ threshold, precision },
  };
}

interface Found {
  readonly file: SourceFile;
  readonly of: SourceFunction;
}

/** Functions of files that are read one after the other: no more of a tree is in memory than a file and a batch. */
function* inBatches(files: readonly SourceFile[], leftOut: LeftOut[]) {
  let batch: Found[] = [];
  for (const [index, file] of files.entries()) {
    for (const of of functionsOf(file, leftOut)) {
      batch.push({ file, of });
      if (batch.length < atOnce) continue;
      yield { looked: index, batch };
      batch = [];
    }
  }
  yield { looked: files.length, batch };
}

function functionsOf({ path, name, language }: SourceFile, leftOut: LeftOut[]): readonly SourceFunction[] {
  const bytes = readTextBytes(path);
  try {
    return findFunctions(decodeText(bytes, path), language);
  } catch (error) {
    if (!(error instanceof GrokError)) throw error;
    leftOut.push({ name, why: "no UTF-8" });
    return [];
  }
}

/** A question's two answers as tokens; undefined where the model cannot read all of it. */
function encode(model: LanguageModel, task: Task, file: SourceFile, { text, firstLine }: SourceFunction, cwe: string) {
  const row = { path: file.path, line: firstLine, fields: { value: text, cwe } };
  const pairs = ["no", "yes"].map((_, i) => {
    const choice = task.choices(row)[i]!;
    const fields = { ...row.fields, choice };
    const continuation = `${task.delimiter}${task.continuation({ ...row, fields })}`;
    return encodePair(model.tokenizer, { context: task.context(row), continuation }, model.info.contextLength);
  });
  return pairs.some(({ truncated }) => truncated) ? undefined : pairs;
}

/** Of each question the share of its second answer. */
async function ask(
  model: LanguageModel,
  questions: readonly { readonly texts: readonly ReturnType<typeof encodePair>[] }[],
  signal: AbortSignal | undefined,
): Promise<readonly number[]> {
  const sums = questions.map(() => [0, 0]);
  if (questions.length === 0) return [];
  await model.score(
    questions.flatMap(({ texts }) => texts),
    {
      ...(signal && { signal }),
      onScored(text, logprobs) {
        sums[text >> 1]![text & 1] = logprobs.reduce((total, value) => total + value, 0);
      },
    },
  );
  return sums.map(shareOf);
}
