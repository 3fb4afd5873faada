import type { LanguageModel } from "../generate/types.ts";
import type { Put } from "./conversation.ts";
import type { Doubt } from "./doubts.ts";
import type { ReportedFigure } from "./intervals.ts";
import type { PairedFigure } from "./paired.ts";
import type { OtherRecords, Records } from "./records.ts";
import type { Figure } from "./scores.ts";

/** A task whose questions are read: what is wrong with its file or its data is known. */
export interface PreparedTask {
  readonly task: string;
  /** What has to be there beside the data, and is tried. @throws GrokError `unsupported` */
  begin?(): Promise<void>;
  /** A hash of all that what a model is asked follows from: the task's file, its data, shots, drawing, the chat template. Hexadecimal. */
  keyFor(model: LanguageModel): string;
  /** Has a model answer the questions that the records do not have. */
  answer(model: LanguageModel, records: Records, options: AnswerOptions): Promise<Answered>;
}

/** A result whose intervals and doubts are still to be told. */
export interface Answered extends Omit<TaskResult, "key" | "metrics" | "doubts" | "parts"> {
  readonly metrics: Readonly<Record<string, Figure>>;
  readonly parts?: Readonly<Record<string, PartFigures>>;
}

/** What a result begins with: which task, how it was asked, and how much of it. */
export function beginResult(
  { name, about, like }: { readonly name: string } & Pick<TaskResult, "about" | "like">,
  asked: Pick<TaskResult, "shots" | "chat" | "questions" | "available">,
): Pick<TaskResult, "task" | "about" | "like" | "shots" | "chat" | "questions" | "available"> {
  return { task: name, about, like, ...asked };
}

export interface AnswerOptions {
  /** How a question reaches the model. */
  readonly put: Put;
  /** Another run's records, to compare with. */
  readonly against: OtherRecords | undefined;
  readonly signal: AbortSignal | undefined;
  /** Told after each question how many are done, of how many, and how many the records had. */
  onDone(done: number, questions: number, kept: number): void;
}

export interface TaskResult {
  readonly task: string;
  /** What it measures. */
  readonly about: string;
  /** Whose prompts it has, and in which version, such as `lm-evaluation-harness piqa 1.0`; undefined where they are nobody's. */
  readonly like: string | undefined;
  /** SHA-256 of all that what was asked follows from: the task's file, its data, shots, drawing, the chat template. Records have it too. */
  readonly key: string;
  readonly shots: number;
  /** Whether it was asked by the model's chat template. */
  readonly chat: boolean;
  /** How many were asked, and how many the data have. */
  readonly questions: number;
  readonly available: number;
  readonly metrics: Readonly<Record<string, ReportedFigure>>;
  /** What guessing would have of `acc`; undefined where there are no choices. */
  readonly guessing: number | undefined;
  /** Questions whose beginning did not fit the model's context. */
  readonly truncated: number;
  /** Answers that ran into the most tokens they may have; absent where nothing is generated. */
  readonly limited?: number;
  /** How many answers there are to each question; absent where nothing is generated. */
  readonly samples?: number;
  /** Which of its figures mean little, and why. */
  readonly doubts: readonly Doubt[];
  /** The same figures of each part, where the task has some. */
  readonly parts?: Readonly<Record<string, PartResult>>;
  /** The metrics beside another run's, where there is one to compare with. */
  readonly paired?: Readonly<Record<string, PairedFigure>>;
  /** The same of each part, where the task has some. */
  readonly pairedParts?: Readonly<Record<string, Readonly<Record<string, PairedFigure>>>>;
}

export interface PartFigures {
  readonly questions: number;
  /** Of a group of parts, their names. */
  readonly members?: readonly string[];
  readonly metrics: Readonly<Record<string, Figure>>;
}

export interface PartResult extends Omit<PartFigures, "metrics"> {
  readonly metrics: Readonly<Record<string, ReportedFigure>>;
  /** Where guessing counts, it is that of the whole task. */
  readonly doubts: readonly Doubt[];
}
