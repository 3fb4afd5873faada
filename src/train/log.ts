import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { writeAtomic } from "../bytes/atomic-write.ts";
import { makeFolder } from "../bytes/folder.ts";
import { ioError } from "../bytes/io-error.ts";
import { mostTextBytes } from "../bytes/text.ts";
import { readWhole } from "../bytes/whole-file.ts";
import { GrokError } from "../errors.ts";
import type { Curve } from "./loss-plot.ts";
import type { HeldOutScore } from "./trainer.ts";

/** A step, as the log keeps it and as it is shown. */
export interface StepReport {
  readonly step: number;
  /** Nats a learned token. */
  readonly loss: number;
  readonly bitsPerByte: number;
  /** The router's own losses: 1 is even use; the mean square of log-sum-exp. */
  readonly balance: number;
  readonly zLoss: number;
  readonly rate: number;
  /** Of the gradient, before clipping. */
  readonly norm: number;
  /** Rows trained on since the beginning. */
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** See ExpertUse. */
  readonly imbalance: number;
  readonly unused: number;
}

export interface EvaluationReport {
  readonly step: number;
  readonly heldOut: readonly HeldOutScore[];
  /** [layers][experts] shares of the choices since the evaluation before. */
  readonly experts: readonly (readonly number[])[];
}

export type LogEntry = StepReport | EvaluationReport;

/** A run's log: one JSON object a line. */
export interface TrainLog {
  /** All that was logged, earlier runs' too. */
  readonly entries: readonly LogEntry[];
  /** @throws GrokError `io`. */
  append(entry: LogEntry): void;
  /** Of the held-out sets after a step, where they are in it. */
  scoresAt(step: number): readonly HeldOutScore[] | undefined;
  /** Bits per byte of training and of each held-out set. */
  curves(): Curve[];
}

/**
 * Opens a folder's `log.jsonl`, which is made where it is missing. Of an earlier one, entries up to `step` stay: what came after is
 * about to be done again. A line that was not written whole is dropped.
 * @throws GrokError `io`.
 */
export async function openLog(out: string, step: number): Promise<TrainLog> {
  const path = join(out, "log.jsonl");
  let old = "";
  makeFolder(out);
  try {
    // Not held to UTF-8: its last line may end within a character.
    if (step > 0) old = Buffer.from(readWhole(path, mostTextBytes).buffer).toString("utf8");
  } catch (error) {
    if (!(error instanceof GrokError && error.details.code === "ENOENT")) throw error;
  }
  const entries = old.split("\n").flatMap((line): LogEntry[] => {
    try {
      const entry = JSON.parse(line) as LogEntry;
      return entry.step <= step ? [entry] : [];
    } catch {
      return [];
    }
  });
  await writeAtomic(path, [Buffer.from(entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""))]);
  return {
    entries,
    append(entry) {
      try {
        appendFileSync(path, `${JSON.stringify(entry)}\n`);
      } catch (error) {
        throw ioError("write", path, error);
      }
      entries.push(entry);
    },
    scoresAt(step) {
      const found = entries.find((entry) => "heldOut" in entry && entry.step === step);
      return found && "heldOut" in found ? found.heldOut : undefined;
    },
    curves() {
      const training = entries.flatMap((entry) =>
        "loss" in entry ? [{ step: entry.step, value: entry.bitsPerByte }] : [],
      );
      const evaluations = entries.flatMap((entry) => ("heldOut" in entry ? [entry] : []));
      const names = [...new Set(evaluations.flatMap(({ heldOut }) => heldOut.map(({ name }) => name)))];
      return [
        { name: "training", points: training },
        ...names.map((name) => ({
          name: `held-out ${name}`,
          points: evaluations.flatMap(({ step: at, heldOut }) =>
            heldOut.filter((set) => set.name === name).map(({ bitsPerByte }) => ({ step: at, value: bitsPerByte })),
          ),
        })),
      ];
    },
  };
}
