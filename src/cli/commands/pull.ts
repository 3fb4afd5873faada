import { spawn, spawnSync } from "node:child_process";
import type { Command } from "commander";
import { GrokError } from "../../errors.ts";
import { type Pulled, pull } from "../../hub/pull.ts";
import { describeDownload } from "../download-progress.ts";
import { interruptedStatus, usageError } from "../exit.ts";
import { hubPlaces } from "../hub-places.ts";
import { catchInterrupt } from "../interrupt.ts";
import { createProgress, escapeLine, jsonDocument } from "../terminal.ts";
import { integer, path, repeated, text } from "../values.ts";

interface PullCommandOptions {
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly revision?: string;
  readonly to?: string;
  readonly connections: number;
  readonly json?: true;
}

export function addPull(program: Command): void {
  program
    .command("pull")
    .description(
      "Download files of a model from Hugging Face, each checked before it gets its name; resumes by itself.",
    )
    .argument(
      "<repo[@revision]>",
      "OWNER/NAME, of a dataset datasets/OWNER/NAME, or a magnet: link, which aria2c downloads",
    )
    .argument("[files...]", "paths in the repository (default: all)")
    .option(
      "--include <pattern>",
      "only files like this, such as '*.gguf'; can be given several times",
      repeated(text()),
    )
    .option("--exclude <pattern>", "no files like this; can be given several times", repeated(text()))
    .option("--revision <name>", "branch, tag or commit; the same as @revision", text())
    .option("--to <folder>", "write the files there (default: Hugging Face's cache, which other tools use too)", path())
    .option("--connections <n>", "at the same time", integer(1, 64), 8)
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Environment: HF_ENDPOINT (default https://huggingface.co), HF_TOKEN (or the file HF_TOKEN_PATH), HF_HUB_CACHE, HF_HOME (default ~/.cache/huggingface).`,
    )
    .action((repository: string, files: string[], options: PullCommandOptions) => {
      return repository.startsWith("magnet:")
        ? pullMagnet(repository, files, options)
        : runPull(repository, files, options);
    });
}

async function runPull(repository: string, files: string[], options: PullCommandOptions): Promise<void> {
  const { revision, to, include, exclude, connections } = options;
  if (revision !== undefined && repository.includes("@"))
    throw usageError(`--revision ${revision} beside ${repository}`);
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  const places = hubPlaces(process.env);
  progress.show(`asking ${places.endpoint} ...`);
  const pulled = await pull(revision === undefined ? repository : `${repository}@${revision}`, {
    ...{ endpoint: places.endpoint, token: places.token, signal: interrupt.signal },
    into: to === undefined ? { cache: places.cache } : { folder: to },
    ...{ files, include, exclude, connections },
    onProgress: (now) => progress.show(describeDownload(now)),
  }).finally(() => progress.clear());
  process.stdout.write(options.json ? `${jsonDocument(pulled)}\n` : describePulled(pulled));
}

/** One file by its name, several by their folder. */
function describePulled({ folder, files }: Pulled): string {
  return `${escapeLine(files.length === 1 ? files[0]!.local : folder)}\n`;
}

/** BitTorrent is aria2c's: it checks pieces against the link's hash, and goes on with what is there. */
async function pullMagnet(link: string, files: readonly string[], options: PullCommandOptions): Promise<void> {
  const { include, exclude, revision, json, to = "." } = options;
  const refused = {
    "a file's name": files[0],
    "--include": include,
    "--exclude": exclude,
    "--revision": revision,
    "--json": json,
  };
  const given = Object.entries(refused).find(([, value]) => value !== undefined);
  if (given) throw usageError(`a magnet link takes no ${given[0]}: it names all its files itself`);
  const arguments_ = [`--dir=${to}`, "--seed-time=0", "--file-allocation=none", "--continue=true", link];
  if (spawnSync("aria2c", ["--version"], { stdio: "ignore" }).status !== 0) {
    const command = ["aria2c", ...arguments_.map((each) => `'${each.replaceAll("'", "'\\''")}'`)].join(" ");
    const message = `a magnet link needs aria2c, which is not installed (package aria2 of Linux and Homebrew); with it: ${command}`;
    throw new GrokError("unsupported", message);
  }
  const child = spawn("aria2c", arguments_, { stdio: "inherit" });
  const status = await new Promise<number | null>((done, failed) => {
    child.on("error", failed);
    child.on("close", done);
  });
  // aria2c says 7 for unfinished downloads, and ends by signal when it is interrupted twice.
  if (status === null || status === 7) process.exitCode = interruptedStatus;
  else if (status !== 0) throw new GrokError("io", `aria2c failed with status ${status}`, { status });
}
