import type { Interval } from "../intervals.ts";

/** What a bar is drawn on: from `low` at its left end to `high` at its right. */
export interface Scale {
  readonly low: number;
  readonly high: number;
}

export interface Bar {
  readonly value: number;
  readonly interval: Interval;
  /** Where what guessing has is marked. */
  readonly guessing?: number | undefined;
  readonly kind: "amount" | "less" | "doubtful";
}

/** A bar from 0 to a value with a line over its interval, as markup; what it shows stands in numbers beside it. */
export function drawBar({ value, interval, guessing, kind }: Bar, { low, high }: Scale): string {
  const place = (at: number) => Math.min(100, Math.max(0, (100 * (at - low)) / Math.max(high - low, Number.MIN_VALUE)));
  const span = (name: string, from: number, to: number) =>
    `<i class="${name}" style="left:${place(from).toFixed(2)}%;width:${(place(to) - place(from)).toFixed(2)}%"></i>`;
  const mark = (name: string, at: number) => `<i class="${name}" style="left:${place(at).toFixed(2)}%"></i>`;
  const drawn = [
    low < 0 ? mark("zero", 0) : "",
    span(kind === "amount" ? kind : `amount ${kind}`, Math.min(0, value), Math.max(0, value)),
    interval.every(Number.isFinite) ? span("whisker", ...interval) : "",
    guessing === undefined ? "" : mark("guess", guessing),
  ];
  return `<div class="bar" aria-hidden="true">${drawn.join("")}</div>`;
}
