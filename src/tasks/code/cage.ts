import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { GrokError } from "../../errors.ts";
import { processorLimit } from "../../machine/limits.ts";
import { drivers, type Language } from "./drivers.ts";
import { usageOf } from "./watch.ts";

/** A program as a model wrote it, with the tests behind it. */
export interface Program {
  readonly language: Language;
  readonly source: string;
  /** How long it may take, on the clock. */
  readonly seconds: number;
}

/** What became of a program. Only one whose tests came to their end has passed. */
export interface Outcome {
  readonly passed: boolean;
  /** What it ended by: an error, or a bound. */
  readonly ended: "passed" | "error" | "time" | "memory" | "processes" | "output";
  /** The end of what it said of its error. */
  readonly message: string;
}

/** @throws GrokError `cancelled` */
export type CodeRunner = (program: Program, signal?: AbortSignal) => Promise<Outcome>;

/** Bounds of a program: bytes that it holds, its processes and threads, what it may print, one file, files that are open. */
const bounds = {
  memoryBytes: 2 ** 30,
  processes: 64,
  outputBytes: 2 ** 20,
  fileBytes: 2 ** 24,
  diskBytes: 2 ** 26,
  openFiles: 64,
} as const;

/** Where programs of the system are; nothing of the caller's environment reaches a program. */
const environment = { PATH: "/usr/local/bin:/usr/bin:/bin", LANG: "C.UTF-8", HOME: "/tmp" };
const watchMilliseconds = 100;

/**
 * What runs programs, as many at a time as there are processors: each in a cage (bubblewrap) without network, without files but those of the
 * system's programs and a small folder of its own, with bounds for time, memory, processes and output.
 *
 * @param unsafe run programs without a cage, as the caller himself, where he says so by name; bounds of time, memory and output hold.
 * @throws GrokError `unsupported` where a language has nothing that runs it, or there is no cage.
 */
export async function createCodeRunner(
  languages: readonly Language[],
  { unsafe }: { readonly unsafe: boolean },
): Promise<CodeRunner> {
  const compiler = languages.includes("typescript") ? findCompiler() : undefined;
  const waiting: (() => void)[] = [];
  let free = processorLimit();
  const run: CodeRunner = async (program, signal) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await runProgram(program, compiler, unsafe, signal);
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
  // What does not even run a program that does nothing would call every solution wrong.
  for (const language of languages) {
    const { passed, message } = await run({ language, source: "", seconds: 30 });
    if (passed) continue;
    const missing = unsafe || /ENOENT.*bwrap|bwrap: (?!execvp)/.test(message) ? "" : `${language}: `;
    const what =
      unsafe || missing !== ""
        ? `${language} programs cannot be run here: ${message || "they end at once"}`
        : `there is no cage to run what a model writes in: ${message}. Install bubblewrap (bwrap), or say by name that it may run without a cage`;
    throw new GrokError("unsupported", what, { language });
  }
  return run;
}

/** TypeScript's compiler is no part of this package: where there is one, solutions are compiled with it. */
function findCompiler(): string {
  try {
    return createRequire(import.meta.url).resolve("typescript");
  } catch (error) {
    throw new GrokError(
      "unsupported",
      "TypeScript solutions need the package typescript: npm install typescript",
      {},
      error,
    );
  }
}

function runProgram(
  { language, source, seconds }: Program,
  compiler: string | undefined,
  unsafe: boolean,
  signal?: AbortSignal,
): Promise<Outcome> {
  const token = randomUUID();
  const command = commandOf(language, unsafe ? process.execPath : inCage.node);
  const [file, ...args] = unsafe ? command : ["bwrap", ...cage(compiler), ...limits(language), ...command];
  // Who may do everything enters the cage as nobody: what got out of it could do nothing, and bounds that spare root hold.
  const nobody = process.getuid?.() === 0 && !unsafe ? { uid: 65534, gid: 65534 } : {};
  return new Promise((resolve, reject) => {
    const child = spawn(file!, args, { cwd: unsafe ? tmpdir() : "/", env: environment, detached: true, ...nobody });
    let ended: Outcome["ended"] | undefined;
    let printed = 0;
    let tail = "";
    let errors = "";
    const stop = (why: Outcome["ended"]) => {
      ended ??= why;
      // The group, and with the cage's first process all that is in it.
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        child.kill("SIGKILL");
      }
    };
    const count = (data: Buffer) => {
      printed += data.length;
      if (printed > bounds.outputBytes) stop("output");
    };
    child.stdout.on("data", (data: Buffer) => {
      count(data);
      tail = `${tail}${data.toString("latin1")}`.slice(-token.length);
    });
    child.stderr.on("data", (data: Buffer) => {
      count(data);
      errors = `${errors}${data.toString()}`.slice(-400);
    });
    const timer = setTimeout(() => stop("time"), seconds * 1000);
    const watch = setInterval(() => {
      const { processes = 0, residentBytes = 0 } = (child.pid !== undefined && usageOf(child.pid)) || {};
      if (residentBytes > bounds.memoryBytes) stop("memory");
      if (processes > bounds.processes) stop("processes");
    }, watchMilliseconds);
    const cancel = () => stop("time");
    signal?.addEventListener("abort", cancel);
    const settle = () => {
      clearTimeout(timer);
      clearInterval(watch);
      signal?.removeEventListener("abort", cancel);
    };
    child.on("error", (error) => {
      settle();
      resolve({ passed: false, ended: "error", message: error.message });
    });
    child.on("close", (code) => {
      settle();
      if (signal?.aborted) return reject(new GrokError("cancelled", "evaluate: cancelled"));
      const passed = ended === undefined && code === 0 && tail === token;
      resolve({ passed, ended: passed ? "passed" : (ended ?? "error"), message: errors.trim() });
    });
    // What ends at once reads nothing: its exit says so.
    child.stdin.on("error", () => {});
    child.stdin.end(JSON.stringify({ source, token, compiler: unsafe ? compiler : inCage.compiler }));
    if (signal?.aborted) cancel();
  });
}

/** Where things from outside stand in the cage. */
const inCage = { node: "/run/node", compiler: "/run/typescript.cjs" } as const;

function commandOf(language: Language, node: string): readonly string[] {
  if (language === "python") return ["python3", "-I", "-c", drivers.python];
  return [node, "--max-old-space-size=512", "-e", drivers.typescript];
}

/** Nothing of the machine but the system's programs, read-only; nothing can be written but in a small folder, which ends with the cage. */
function cage(compiler: string | undefined): readonly string[] {
  const system = ["/usr", "/bin", "/lib", "/lib64", "/nix/store"].filter((path) => existsSync(path));
  return [
    ...["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--hostname", "cage", "--clearenv"],
    ...Object.entries(environment).flatMap(([name, value]) => ["--setenv", name, value]),
    ...system.flatMap((path) => ["--ro-bind", path, path]),
    ...(compiler === undefined
      ? []
      : ["--ro-bind", process.execPath, inCage.node, "--ro-bind", compiler, inCage.compiler]),
    ...["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"],
    ...["--size", String(bounds.diskBytes), "--tmpfs", "/tmp", "--chdir", "/tmp", "--remount-ro", "/"],
  ];
}

/** V8 reserves more addresses than there is memory: of it what it may write is bounded, and of others all. */
function limits(language: Language): readonly string[] {
  const { memoryBytes, processes, fileBytes, openFiles } = bounds;
  const memory = language === "typescript" ? "data" : "as";
  return [
    "prlimit",
    `--${memory}=${memoryBytes}`,
    `--nproc=${processes}`,
    `--fsize=${fileBytes}`,
    `--nofile=${openFiles}`,
    "--core=0",
    "--",
  ];
}
