import type { LanguageModel } from "../generate/types.ts";
import type { Put } from "./conversation.ts";
import type { Records } from "./records.ts";
import type { Figure } from "./scores.ts";

/** A task whose questions are read: what is wrong with its file or its data is known. */
export interface PreparedTask {
  readonly task: string;
  /** What has to be there beside the data, and is tried. @throws GrokError `unsupported` */
  begin?(): Promise<void>;
  /**
   * Has a model answer the questions that the records do not have.
   * @param put how a question reaches it.
   * @param onDone told after each question how many are done, of how many, and how many the records had.
   */
  answer(
    model: LanguageModel,
    put: Put,
    records: Records,
    signal: AbortSignal | undefined,
    onDone: (done: number, questions: number, kept: number) => void,
  ): Promise<TaskResult>;
}

export interface TaskResult {
  readonly task: string;
  readonly shots: number;
  /** Whether it was asked by the model's chat template. */
  readonly chat: boolean;
  /** How many were asked, and how many the data have. */
  readonly questions: number;
  readonly available: number;
  readonly metrics: Readonly<Record<string, Figure>>;
  /** What guessing would have of `acc`; undefined where there are no choices. */
  readonly guessing: number | undefined;
  /** Questions whose beginning did not fit the model's context. */
  readonly truncated: number;
  /** Answers that ran into the most tokens they may have; absent where nothing is generated. */
  readonly limited?: number;
  /** How many answers there are to each question; absent where nothing is generated. */
  readonly samples?: number;
  /** The same figures of each part, where the task has some. */
  readonly parts?: Readonly<Record<string, PartResult>>;
}

export interface PartResult {
  readonly questions: number;
  readonly metrics: Readonly<Record<string, Figure>>;
}
