import { type ChildProcess, fork } from "node:child_process";
import { programFile } from "../../engine/thread/program.ts";
import { type ErrorData, errorFromData } from "../../engine/thread/protocol.ts";
import { GrokError } from "../../errors.ts";

export type Fields = Readonly<Record<string, unknown>>;

export type FromParquetProcess =
  | { readonly type: "rows"; readonly rows: readonly Fields[] }
  | { readonly type: "end" }
  | { readonly type: "failed"; readonly error: ErrorData };

/** What a process that reads a file may hold. What a file claims is checked before it is believed; this is for what is left. */
const mostHeapMegabytes = 512;

/** One row group takes a fraction of a second. */
const mostSeconds = 120;

/**
 * Rows of a Parquet file, one row group in memory at a time: read by hyparquet in a process of its own with bounded memory and time, since
 * it believes what a file says, and a list that it makes too long ends its process.
 * @throws GrokError `io`; `format`, naming the file; `unsupported` for what no JSON has, or a compression that is not known; `cancelled`.
 */
export async function* readParquetRows(path: string, signal?: AbortSignal): AsyncGenerator<Fields> {
  const child: ChildProcess = fork(
    programFile(import.meta.url, "tasks/data/parquet", "tasks/data/parquet-process.js"),
    [path],
    {
      // What it says when it runs out of memory is said here.
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      execArgv: [`--max-old-space-size=${mostHeapMegabytes}`],
      serialization: "advanced",
    },
  );
  let fail: (error: GrokError) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  // Who waits for a message hears of it.
  failed.catch(() => undefined);
  const refuse = (what: string) => fail(new GrokError("format", `${path}: ${what}`, { path }));
  const cancel = () => fail(new GrokError("cancelled", "reading was cancelled", {}, signal?.reason));
  child.on("error", (error) => refuse(`the process that reads it failed: ${error.message}`));
  child.on("exit", () => refuse(`it takes more than ${mostHeapMegabytes} MB of memory to read`));
  const timer = setTimeout(() => refuse(`a row group takes more than ${mostSeconds} s to read`), 1000 * mostSeconds);
  signal?.addEventListener("abort", cancel, { once: true });
  if (signal?.aborted) cancel();
  try {
    for (;;) {
      const next = new Promise<FromParquetProcess>((resolve) => child.once("message", (m) => resolve(m as never)));
      const message = await Promise.race([next, failed]);
      if (message.type === "failed") throw errorFromData(message.error);
      if (message.type === "end") return;
      yield* message.rows;
      timer.refresh();
      child.send("next", () => undefined);
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", cancel);
    child.kill("SIGKILL");
  }
}
