import type { Command } from "commander";
import { pullData, type TaskDataFile } from "../../tasks/data/pull-data.ts";
import { describeDownload } from "../download-progress.ts";
import { hubPlaces } from "../hub-places.ts";
import { catchInterrupt } from "../interrupt.ts";
import { createProgress, escapeLine, jsonDocument, table } from "../terminal.ts";
import { integer, path } from "../values.ts";

interface PullDataCommandOptions {
  readonly data: string;
  readonly connections: number;
  readonly json?: true;
}

export function addPullData(program: Command): void {
  program
    .command("pull-data")
    .description("Download the data that tasks of `grok1 eval` ask from: of datasets of Hugging Face's, checked.")
    .argument("<tasks>", "names with commas between them, or files of tasks of your own (.json)")
    .requiredOption("-d, --data <folder>", "where they go; files that are there stay as they are", path())
    .option("--connections <n>", "at the same time", integer(1, 64), 8)
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Datasets' own files go to Hugging Face's cache. Environment: as for grok1 pull.`,
    )
    .action(run);
}

async function run(tasks: string, { data, connections, json }: PullDataCommandOptions): Promise<void> {
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  const { endpoint, token, cache } = hubPlaces(process.env);
  progress.show(`asking ${endpoint} ...`);
  const names = tasks.split(",").map((name) => name.trim());
  const files = await pullData(names, {
    ...{ data, cache, endpoint, token, connections, signal: interrupt.signal },
    onProgress: (dataset, now) => progress.show(`${dataset}: ${describeDownload(now)}`),
  }).finally(() => progress.clear());
  process.stdout.write(json ? `${jsonDocument({ data, files })}\n` : describe(files));
}

function describe(files: readonly TaskDataFile[]): string {
  const rows = files.map(({ file, status, origin }) => [
    ...[escapeLine(file), status, origin === undefined ? "" : `${origin.rows} rows`],
  ]);
  const missing = files.filter(({ status }) => status === "missing");
  const notes = missing.map(
    ({ file, source }) => `\n${escapeLine(file)} is in no dataset: from ${escapeLine(source)}\n`,
  );
  return `${table(rows)}${notes.join("")}`;
}
