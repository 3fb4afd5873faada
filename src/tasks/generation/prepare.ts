import { GrokError } from "../../errors.ts";
import type { LanguageModel } from "../../generate/types.ts";
import { checkWhole } from "../../options.ts";
import { type CodeRunner, createCodeRunner } from "../code/cage.ts";
import { compareParts, summarizeParts } from "../parts.ts";
import { beginResult, type PreparedTask } from "../prepared.ts";
import { hashOf } from "../questions.ts";
import type { Drawing } from "./answer.ts";
import { readPrompts } from "./questions.ts";
import { askAll, estimateAnswers, type GenerationRecord, isWhole, summarizeAnswers } from "./run.ts";
import type { GenerationTask } from "./task.ts";

export interface GenerationTaskOptions {
  /** Folder of the tasks' data. */
  readonly data: string;
  readonly shots?: number;
  /** Most questions of each part. */
  readonly limit?: number;
  /** Answers to each question, drawn at random where there are several. Default 1. */
  readonly samples?: number;
  /** Temperature of several answers. Default: what the task says. */
  readonly temperature?: number;
  /** Whether it is asked by its chat template. Default false. */
  readonly chat?: boolean;
  /** Run what the model writes without a cage. Default false. */
  readonly unsafeCode?: boolean;
}

/** @throws GrokError `io`, `format`, `argument` */
export function prepareGeneration(task: GenerationTask, options: GenerationTaskOptions): PreparedTask {
  const { data, chat = false, limit = Number.MAX_SAFE_INTEGER } = options;
  const shots = options.shots ?? task.shots;
  const drawing = drawingOf(task, options);
  const { list, key: asks } = readPrompts(task, data, shots);
  const keyFor = ({ chatTemplate }: LanguageModel) => hashOf([asks, drawing ?? null, ...(chat ? [chatTemplate] : [])]);
  const metrics = task.scoring.metrics([...task.filters.keys()], drawing?.samples ?? 1);
  const { language } = task.scoring;
  let run: CodeRunner = () => Promise.reject(new GrokError("internal", `${task.name}: nothing here runs programs`));
  const asked = new Map([...list.entries()].filter(([, { index }]) => index < limit));
  return {
    ...{ task: task.name, keyFor },
    async begin() {
      if (language !== undefined) run = await createCodeRunner([language], { unsafe: options.unsafeCode === true });
    },
    async answer(model, records, { put, against, signal, onDone }) {
      const key = keyFor(model);
      const others = against?.begin(task.name, key, (record: GenerationRecord) => isWhole(record, metrics));
      const of = await askAll(model, task, asked, drawing, key, records, {
        ...{ put, metrics, run, signal },
        onDone: (done, kept) => onDone(done, asked.size, kept),
      });
      return {
        ...beginResult(task, { shots, chat, questions: of.length, available: list.length }),
        ...summarizeParts(task.parts, metrics, of, summarizeAnswers),
        guessing: undefined,
        truncated: of.filter(({ truncated }) => truncated).length,
        limited: of.flatMap(({ answers }) => answers).filter(({ limited }) => limited).length,
        samples: drawing?.samples ?? 1,
        ...(others && compareParts(task.parts, metrics, of, others, estimateAnswers)),
      };
    },
  };
}

function drawingOf(task: GenerationTask, { samples = 1, temperature }: GenerationTaskOptions): Drawing {
  checkWhole("samples", samples, 1, 1000);
  const { sampling } = task.generate;
  if (samples === 1) return undefined;
  if (sampling === undefined) {
    const message = `samples is ${samples}, and ${task.name} takes one answer to a question, the likeliest`;
    throw new GrokError("argument", message, { option: "samples" });
  }
  return { samples, temperature: temperature ?? sampling.temperature, topP: sampling.topP };
}
