import { type ChildProcess, fork } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ioError } from "../bytes/io-error.ts";
import type { BackendChoice } from "../engine/options.ts";
import { programFile } from "../engine/thread/program.ts";
import { type ErrorData, errorFromData } from "../engine/thread/protocol.ts";
import { GrokError } from "../errors.ts";
import type { GradOps, Parameter, ParameterPart } from "../kernels/grad-ops.ts";
import { freeBytes } from "../machine/free-space.ts";
import { elementCount } from "../tensor/tensor.ts";
import type { TrainConfig } from "./config.ts";
import type { StreamState } from "./data/stream.ts";
import { addSums, createTotal, type Replicas } from "./replicas.ts";
import type { ReplicaSums, Trainer } from "./trainer.ts";

/** To a replica process. Values and gradients do not travel in messages: they lie in files that both have. */
export type ToReplica =
  | {
      readonly type: "start";
      readonly config: TrainConfig;
      readonly backend: BackendChoice;
      readonly threads: number;
      /** It computes the replicas r with r % processes = rank. */
      readonly rank: number;
      readonly processes: number;
      readonly state: StreamState;
      readonly recompute: boolean;
    }
  | { readonly type: "step" };

export type FromReplica =
  | { readonly type: "ready" }
  | { readonly type: "done"; readonly sums: readonly { readonly replica: number; readonly sums: ReplicaSums }[] }
  | { readonly type: "failed"; readonly error: ErrorData };

export interface ProcessOptions {
  readonly config: TrainConfig;
  readonly backend: BackendChoice;
  /** Of each process. */
  readonly threads: number;
  /** With this one. */
  readonly processes: number;
  readonly state: StreamState;
  readonly recompute: boolean;
  readonly onWarning: (message: string) => void;
}

export const valuesFile = (folder: string) => join(folder, "values");
export const gradientFile = (folder: string, replica: number) => join(folder, `gradient-${replica}`);

/** Elements of the files between processes: all values, and a gradient of each replica. */
export const exchangedElements = (parameters: number, replicas: number) => parameters * (1 + replicas);

const sharedMemory = "/dev/shm";

/**
 * Where processes exchange `needed` bytes: shared memory where the system has it and it has the room, else the folder for temporary
 * files, with a word about it. @throws GrokError `capacity` where neither has.
 */
export function chooseExchange(
  needed: number,
  freeOf: (folder: string) => number | undefined = freeBytes,
  temporary = tmpdir(),
): { readonly folder: string; readonly warning?: string } {
  const shared = freeOf(sharedMemory);
  if (shared !== undefined && shared >= needed) return { folder: sharedMemory };
  const room = freeOf(temporary);
  const mega = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const enlarge = `more shared memory is quicker (docker run --shm-size=${Math.ceil(needed / 2 ** 20)}m)`;
  const place =
    shared === undefined ? "" : `${sharedMemory} has ${mega(shared)} of the ${mega(needed)} that processes exchange`;
  if (room === undefined || room >= needed) {
    return { folder: temporary, ...(place !== "" && { warning: `${place}: ${temporary} takes them; ${enlarge}` }) };
  }
  throw new GrokError(
    "capacity",
    `${place === "" ? "" : `${place}, `}${temporary} has ${mega(room)} of the ${mega(needed)} that processes exchange: fewer replicas need less; ${enlarge}`,
    { needed, shared: shared ?? 0, temporary: room },
  );
}

function makeTemporary(parent: string): string {
  try {
    return mkdtempSync(join(parent, `grok1-train-${process.pid}-`));
  } catch (error) {
    throw ioError("create a folder in", parent, error);
  }
}

/**
 * Replicas shared out among processes on this machine: this one and `processes - 1` others. A step: values to a file in
 * shared memory (where the system has such a folder), every process computes its replicas' gradients, and this one adds
 * them up in the order of the replicas. So the result is that of one process, to the bit, however many there are.
 *
 * @throws GrokError what a process failed with; `internal` when one ended.
 */
export async function startProcesses(trainer: Trainer, options: ProcessOptions): Promise<Replicas> {
  const { config, processes } = options;
  const { ops, parameters } = trainer;
  const elements = parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const exchange = chooseExchange(ops.elementBytes * exchangedElements(elements, config.replicas));
  if (exchange.warning !== undefined) options.onWarning(exchange.warning);
  const folder = makeTemporary(exchange.folder);
  // Of a process that ends at once, at a second Ctrl-C, the files would stay: in memory.
  const removeFolder = () => rmSync(folder, { recursive: true, force: true });
  const removeAtExit = () => {
    try {
      removeFolder();
    } catch {
      // A replica still writes into it: it takes the rest when it learns that this process is no more.
    }
  };
  process.once("exit", removeAtExit);
  const total = createTotal(ops, parameters);
  const children = Array.from({ length: processes - 1 }, () => createChild(folder));
  const close = async () => {
    await Promise.all(children.map((child) => child.close()));
    process.off("exit", removeAtExit);
    removeFolder();
  };
  try {
    await Promise.all(
      children.map((child, i) => {
        const { backend, threads, state, recompute } = options;
        return child.ask({ type: "start", config, backend, threads, rank: i + 1, processes, state, recompute });
      }),
    );
  } catch (error) {
    await close();
    throw error;
  }
  return {
    close,
    async step(stream) {
      writeParts(valuesFile(folder), ops, parameters, "values");
      const answers = children.map((child) => child.ask({ type: "step" }));
      // An error of ours must not leave theirs unhandled.
      for (const answer of answers) answer.catch(() => undefined);
      const step = stream.next();
      const found = new Map<number, ReplicaSums>();
      for (const { replica, batches } of step.shards) {
        if (replica % processes !== 0) continue;
        found.set(replica, await trainer.accumulate(batches, step));
        writeParts(gradientFile(folder, replica), ops, parameters, "gradient");
      }
      for (const answer of await Promise.all(answers)) {
        if (answer.type === "done") for (const { replica, sums } of answer.sums) found.set(replica, sums);
      }
      for (const { replica } of step.shards) {
        readParts(gradientFile(folder, replica), ops, parameters, "gradient", (values, index) =>
          total.addFrom(index, values, replica === 0),
        );
      }
      total.put();
      return addSums(
        step,
        step.shards.map(({ replica }) => found.get(replica)!),
      );
    },
  };
}

interface Child {
  ask(message: ToReplica): Promise<FromReplica>;
  close(): Promise<void>;
}

function createChild(folder: string): Child {
  const child: ChildProcess = fork(
    programFile(import.meta.url, "train/processes", "train/replica-process.js"),
    [folder],
    {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      // The process's own flags are for its own program: some (--input-type) would end this one.
      execArgv: [],
    },
  );
  let waiting: { resolve: (answer: FromReplica) => void; reject: (error: GrokError) => void } | undefined;
  let ended: GrokError | undefined;
  const settle = (error: GrokError) => {
    ended ??= error;
    waiting?.reject(ended);
    waiting = undefined;
  };
  child.on("message", (message: FromReplica) => {
    if (message.type === "failed") return settle(errorFromData(message.error));
    waiting?.resolve(message);
    waiting = undefined;
  });
  child.on("error", (error) => settle(new GrokError("internal", `a replica's process: ${error.message}`, {}, error)));
  const exited = new Promise<void>((resolve) => {
    child.on("exit", (status, signal) => {
      settle(new GrokError("internal", `a replica's process ended (${signal ?? `status ${status}`})`));
      resolve();
    });
  });
  return {
    ask: (message) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined) return reject(ended);
        waiting = { resolve, reject };
        child.send(message);
      }),
    async close() {
      if (child.exitCode === null && child.signalCode === null) child.kill();
      await exited;
    },
  };
}

/** Writes one part of all parameters, one after the other, in the backend's precision. @throws GrokError `io`. */
export function writeParts(path: string, ops: GradOps, parameters: readonly Parameter[], part: ParameterPart): void {
  try {
    // Written in place: the file keeps its pages from step to step.
    const file = openSync(path, existsSync(path) ? "r+" : "w");
    try {
      for (const parameter of parameters) {
        const values = ops.readParameter(parameter, part);
        const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
        for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw exchangeError(path, error);
  }
}

/** Room that was there at the start may be taken by others since. */
export function exchangeError(path: string, cause: unknown): GrokError {
  const error = ioError("write", path, cause);
  if (error.details.code !== "ENOSPC" || !path.startsWith(`${sharedMemory}/`)) return error;
  const message = `${error.message}: others fill the shared memory (docker run --shm-size=... makes it larger), or train with --processes 1`;
  return new GrokError("io", message, error.details, cause);
}

/** Reads what {@link writeParts} wrote; `use` sees each parameter's values once, in memory that is used again. */
export function readParts(
  path: string,
  ops: GradOps,
  parameters: readonly Parameter[],
  part: ParameterPart,
  use: (values: Float32Array | Float64Array, index: number) => void,
): void {
  try {
    const file = openSync(path, "r");
    try {
      for (const [index, parameter] of parameters.entries()) {
        const like = ops.readParameter(parameter, part);
        const values = like instanceof Float64Array ? new Float64Array(like.length) : new Float32Array(like.length);
        const bytes = new Uint8Array(values.buffer);
        for (let done = 0; done < bytes.length; ) {
          const count = readSync(file, bytes, done, bytes.length - done, null);
          if (count === 0) throw new GrokError("internal", `${path} ends too early`);
          done += count;
        }
        use(values, index);
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw error instanceof GrokError ? error : ioError("read", path, error);
  }
}
