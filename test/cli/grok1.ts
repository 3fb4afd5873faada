import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll } from "vitest";

/** The built program as people start it, in an environment of its own: no config file, no history, no GROK1_ variables. */
export const program = resolve(import.meta.dirname, "../../dist/cli/main.js");
export const models = resolve(import.meta.dirname, "../vectors/models");
export const formats = resolve(import.meta.dirname, "../vectors/formats");

export const folder = mkdtempSync(join(tmpdir(), "grok1-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

export interface Outcome {
  /** Exit status; null when a signal ended the process. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs the program, given to it as further arguments. */
  readonly wrapper?: readonly string[];
}

export function start(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  main = program,
  wrapper: readonly string[] = [],
): ChildProcessWithoutNullStreams {
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(GROK1_|LC_|LANG|NO_COLOR|FORCE_COLOR)/.test(name)),
  );
  const [command, ...rest] = [...wrapper, process.execPath, main, ...args] as [string, ...string[]];
  return spawn(command, rest, {
    cwd: folder,
    env: { ...clean, XDG_CONFIG_HOME: join(folder, "config"), XDG_STATE_HOME: join(folder, "state"), ...env },
  });
}

export async function grok1(args: readonly string[], { input = "", env, wrapper }: RunOptions = {}): Promise<Outcome> {
  const child = start(args, env, program, wrapper);
  // A command that never reads its input may have left before all of it is written.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  return finished(child);
}

export async function finished(child: ChildProcessWithoutNullStreams): Promise<Outcome> {
  const [stdout, stderr]: Buffer[][] = [[], []];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  const status = await new Promise<number | null>((done, failed) => {
    child.on("error", failed);
    child.on("close", done);
  });
  return { status, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}
