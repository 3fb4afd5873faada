import type { LogEntry } from "../server/app.ts";
import { escapeLine } from "./terminal.ts";

export type LogForm = "text" | "json" | "none";

/** A line for each request, on standard error; none for what is routine and went well. */
export function createLog(form: LogForm): (entry: LogEntry) => void {
  if (form === "none") return () => undefined;
  const line = form === "json" ? jsonOf : lineOf;
  return (entry) => {
    if (entry.routine && entry.status < 400) return;
    process.stderr.write(`${line(new Date().toISOString(), entry)}\n`);
  };
}

const jsonOf = (time: string, entry: LogEntry) => JSON.stringify({ time, level: levelOf(entry), ...entry });

const levelOf = ({ status }: LogEntry) => (status >= 500 && status !== 503 ? "error" : "info");

function lineOf(time: string, entry: LogEntry): string {
  const { method, path, status, seconds, key, model, promptTokens, completionTokens, error, requestId } = entry;
  const parts = [
    ...[time, requestId, method, escapeLine(path), status, `${(seconds * 1000).toFixed(0)} ms`],
    ...(key === undefined ? [] : [`key ${escapeLine(key)}`]),
    ...(model === undefined ? [] : [`${escapeLine(model)}: ${promptTokens} + ${completionTokens} tokens`]),
    ...(error === undefined ? [] : [escapeLine(error)]),
  ];
  return parts.join("  ");
}
