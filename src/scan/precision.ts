import { GrokError } from "../errors.ts";
import { type BaseRecord, readRecordsOf } from "../tasks/records.ts";

/** How far findings above a threshold were right where it is known what is: on the functions of a task. */
export interface Precision {
  /** Right ones among those that were found; NaN where none was. */
  readonly precision: number;
  readonly found: number;
  readonly recall: number;
  readonly weak: number;
}

/** Likelihood of the second of two choices beside the first. */
export function shareOf([no, yes]: readonly number[]): number {
  return 1 / (1 + Math.exp(no! - yes!));
}

/**
 * The precision at a threshold, from the records that `evaluate` kept of the task `sven` or `sven_es`.
 * @param model what computed them (`computedBy`)
 * @throws GrokError `argument` for records of another model, or without that task; `format`, `io`
 */
export function measurePrecision(path: string, model: string, task: string, threshold: number): Precision {
  const records = readRecordsOf(path, model, task);
  let [found, right, weak] = [0, 0, 0];
  for (const { question, answer, logprobs } of records as readonly (BaseRecord & Record<string, unknown>)[]) {
    if (!isPair(logprobs) || !Array.isArray(answer)) {
      throw new GrokError("format", `${path}: question ${question}: expected two logprobs and an answer`, { path });
    }
    const isWeak = answer[0] === 1;
    const isFound = shareOf(logprobs) >= threshold;
    weak += Number(isWeak);
    found += Number(isFound);
    right += Number(isWeak && isFound);
  }
  if (records.length === 0) {
    const message = `${path}: no records of ${task}: grok1 eval ${task} --records makes them`;
    throw new GrokError("argument", message, { option: "records", path });
  }
  return { precision: right / found, found, recall: right / weak, weak };
}

function isPair(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length === 2 && value.every(Number.isFinite);
}
