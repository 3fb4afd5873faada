/** What was looked at, and what came of it. */
export interface Check {
  readonly path: string;
  /** sha256: a file's hash; tensors: their hashes; health: their numbers; complete: all that belongs together is there. */
  readonly check: "sha256" | "tensors" | "health" | "complete" | "signature" | "readable";
  /** failed: it is not what it has to be. note: worth knowing, no failure. */
  readonly verdict: Verdict;
  /** Of what is wrong the first few, or what was found right. */
  readonly detail: string;
}

export type Verdict = "ok" | "note" | "failed";

export interface Report {
  /** Whether nothing failed. */
  readonly ok: boolean;
  readonly checks: readonly Check[];
  /** Gone through: what is hashed as a whole and by tensors counts twice. */
  readonly bytes: number;
  readonly seconds: number;
}

const shownItems = 3;

/** "a, b, c and 4 more" */
export function listSome(items: readonly string[]): string {
  const more = items.length - shownItems;
  return items.slice(0, shownItems).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
