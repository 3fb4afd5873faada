import { counted } from "../errors.ts";
import type { LogEntry } from "../server/log-entry.ts";
import { escapeLine } from "./terminal.ts";

export type LogForm = "text" | "json" | "none";

/** Lines on standard error. */
export interface ServerLog {
  /** A request that ended. */
  write(entry: LogEntry): void;
  /** What somebody should know who runs the server, whatever the log is. */
  warn(message: string): void;
}

export function createLog(form: LogForm): ServerLog {
  // What is routine and went well is of no interest.
  const isTold = (entry: LogEntry) => !(entry.routine && entry.status < 400);
  const put = (line: string) => void process.stderr.write(`${line}\n`);
  const now = () => new Date().toISOString();
  const json = (level: string, what: object) => put(JSON.stringify({ time: now(), level, ...what }));
  if (form === "json") {
    return {
      write: (entry) => (isTold(entry) ? json(levelOf(entry), entry) : undefined),
      warn: (message) => json("warn", { message }),
    };
  }
  return {
    write: (entry) => (form === "none" || !isTold(entry) ? undefined : put(lineOf(now(), entry))),
    warn: (message) => put(`grok1: warning: ${escapeLine(message)}`),
  };
}

const levelOf = ({ status }: LogEntry) => (status >= 500 && status !== 503 ? "error" : "info");

function lineOf(time: string, entry: LogEntry): string {
  const { method, path, status, seconds, key, model, promptTokens, completionTokens, error, requestId } = entry;
  const parts = [
    ...[time, requestId, method, escapeLine(path), status, `${(seconds * 1000).toFixed(0)} ms`],
    ...(key === undefined ? [] : [`key ${escapeLine(key)}`]),
    ...(model === undefined ? [] : [`${escapeLine(model)}: ${promptTokens} + ${counted(completionTokens, "token")}`]),
    ...(error === undefined ? [] : [escapeLine(error)]),
    ...(entry.said === undefined ? [] : [escapeLine(JSON.stringify(entry.said))]),
  ];
  return parts.join("  ");
}
