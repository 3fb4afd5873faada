import { GrokError } from "../errors.ts";
import type { Matrix } from "./ops.ts";

/** Columns are named by numbers that a float32 holds exactly. */
const mostColumns = 2 ** 24;

/** @throws GrokError `argument` unless k values of each row can be chosen. */
export function checkTopK({ name, cols }: Matrix, k: number): void {
  if (Number.isInteger(k) && k >= 1 && k <= cols && cols <= mostColumns) return;
  throw new GrokError("argument", `topK: cannot choose ${k} of ${cols} columns of ${name} (at most ${mostColumns})`, {
    ...{ k, cols },
  });
}
