import { accessSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AddonBackend } from "./addon-backend.ts";

/**
 * The compiled C++ addon: mapped files, threads and kernels. Mechanism only; who calls what is decided in TypeScript.
 * Where it is absent `loadAddon` says why, and everything runs on the reference backend.
 */
export interface Addon {
  /** Hash of the sources that it was built from. */
  readonly sources: string;
  /** What this processor has, and which of the compiled instruction sets it can run. */
  machine(): AddonMachine;
  /**
   * Bytes a second that `threads` threads together read from a buffer of `bytes` (1 MiB to 64 GiB; well past the last cache to
   * mean memory). Blocks for as long as about nine passes over it take.
   */
  measureBandwidth(threads: number, bytes: number): number;
  /** Whether the backend multiplies by weights of this ggml type. */
  canMultiply(ggmlType: number): boolean;
  /** Whether the backend decodes rows (embeddings, gains) of this ggml type. */
  canDecode(ggmlType: number): boolean;
  /** Whether the encoder writes rows of this ggml type. */
  canEncode(ggmlType: number): boolean;
  /** A backend with its own threads (the calling one included). `isa` is one of `machine().isas`, or "best". */
  createBackend(threads: number, isa: string): AddonBackend;
  /** An encoder with its own threads (the calling one included). `isa` as of a backend. */
  createEncoder(threads: number, isa: string): AddonEncoder;
}

export interface AddonMachine {
  /** Instruction set extensions of the processor that the kernels know, by their common names. */
  readonly features: readonly string[];
  /** Instruction sets that are compiled in and usable here: "scalar", "avx2", "avx512", "neon", "i8mm". */
  readonly isas: readonly string[];
  /** The one that is used unless told otherwise. */
  readonly best: string;
  /** Bytes of the data caches. */
  readonly l1d: number;
  readonly l2: number;
  readonly l3: number;
}

/** Rows of one tensor type in another. The same bytes with any number of threads and any instruction set. */
export interface AddonEncoder {
  readonly threads: number;
  /**
   * Rows of `cols` values of ggml type `from` in type `to`, whose blocks they fill. `importance`: of each column, how much an error in it
   * weighs; empty where that is not known. Blocks until all is written. Returns the place of the first value that `to` cannot hold (no
   * number, or past its range), or -1.
   */
  encode(
    from: number,
    bytes: Uint8Array,
    to: number,
    rows: number,
    cols: number,
    importance: Float32Array,
    out: Uint8Array,
  ): number;
  /** How many columns compensate() rounds at a time in this ggml type; 0 for a type that it does not write. */
  compensatedGroup(ggmlType: number): number;
  /** gram [cols, cols] += xᵀ x, x [rows, cols]. Blocks until it is done. */
  gram(x: Float32Array, rows: number, cols: number, gram: Float32Array): void;
  /**
   * The upper triangular U [cols, cols] with UᵀU = (gram + damping * mean(diag gram))⁻¹, its columns in the order in which they are to be
   * rounded. False where `gram` is not that of any inputs.
   */
  factor(gram: Float32Array, order: Int32Array, cols: number, damping: number, factor: Float32Array): boolean;
  /**
   * As encode(), with each column's error made up for by the columns behind it in `order`, in which blocks of `to` stay together, and
   * groups of columns in their own order. `losses` [rows] gets E H Eᵀ of each row's error E, with H as it was damped.
   */
  compensate(
    from: number,
    bytes: Uint8Array,
    to: number,
    rows: number,
    cols: number,
    factor: Float32Array,
    order: Int32Array,
    out: Uint8Array,
    losses: Float64Array,
  ): number;
  /**
   * Columns [from, to) of a matrix [rows, count] of ggml type `type` (int8 or a float type) as rows: out [to - from, rows]. Each element is
   * multiplied by the scale of its column and of its group of rows, which is scales[group * stride + column], if there are any.
   */
  turn(
    type: number,
    bytes: Uint8Array,
    rows: number,
    count: number,
    from: number,
    to: number,
    groups: number,
    stride: number,
    scales: Float32Array,
    out: Float32Array,
  ): void;
  /** The same of int8 whose scales are f16, as rows of Q8_0. A group is whole blocks. */
  turnToQ8(
    bytes: Uint8Array,
    rows: number,
    count: number,
    from: number,
    to: number,
    groups: number,
    stride: number,
    scales: Uint16Array,
    out: Uint8Array,
  ): void;
  /** Ends the threads. */
  close(): void;
}

/** `path`: the file that was loaded. `tried`: where it was looked for in vain; `reason` sums it up in one line. */
export type AddonState =
  | { readonly addon: Addon; readonly path: string }
  | { readonly addon: undefined; readonly reason: string; readonly tried: readonly AddonAttempt[] };

export interface AddonAttempt {
  /** The prebuilt package's name, or "build" for what was compiled in grok1's own folder. */
  readonly from: string;
  readonly problem: "absent" | "unloadable" | "outdated";
  readonly reason: string;
}

let state: AddonState | undefined;

/** Loads the addon once per thread; the reason where it cannot be had. */
export function loadAddon(): AddonState {
  state ??= findAddon();
  return state;
}

/**
 * The prebuilt packages that may fit this process. On Linux one for each C library: installers put only the right one
 * there, and the other does not load.
 */
export function prebuiltPackages(): readonly string[] {
  const { platform, arch } = process;
  return (platform === "linux" ? ["-gnu", "-musl"] : [""]).map((libc) => `@grok1/${platform}-${arch}${libc}`);
}

/** What was compiled here comes first: somebody asked for it. No `new URL(...)` of a fixed path: bundlers would follow it. */
function findAddon(): AddonState {
  const tried: AddonAttempt[] = [];
  let expected: string;
  let root: string;
  try {
    // The same step up from src/ under a test runner and from dist/ when built.
    root = dirname(dirname(fileURLToPath(import.meta.url)));
    expected = readFileSync(join(root, "dist", "addon-sources.txt"), "utf8");
  } catch (error) {
    return { addon: undefined, reason: `grok1's own files are not together: ${firstLine(error)}`, tried };
  }
  const places: [from: string, resolve: () => string][] = [["build", () => join(root, "build", "grok1.node")]];
  for (const name of prebuiltPackages()) {
    places.push([name, () => createRequire(import.meta.url).resolve(`${name}/grok1.node`)]);
  }
  for (const [from, resolve] of places) {
    const outcome = tryLoad(from, resolve, expected);
    if ("addon" in outcome) return outcome;
    tried.push(outcome);
  }
  const found = tried.find(({ problem }) => problem !== "absent");
  const nowhere = `neither built here nor installed as ${prebuiltPackages().join(" or ")}`;
  return { addon: undefined, reason: found?.reason ?? nowhere, tried };
}

function tryLoad(from: string, resolve: () => string, expected: string): AddonState | AddonAttempt {
  let path: string;
  try {
    path = resolve();
    accessSync(path);
  } catch (error) {
    return { from, problem: "absent", reason: firstLine(error) };
  }
  try {
    const module = { exports: {} as Addon };
    process.dlopen(module, path);
    const { sources } = module.exports;
    if (sources === expected) return { addon: module.exports, path };
    return { from, problem: "outdated", reason: `${path} was built from other sources than this version's` };
  } catch (error) {
    return { from, problem: "unloadable", reason: firstLine(error) };
  }
}

function firstLine(error: unknown): string {
  return error instanceof Error ? error.message.split("\n")[0]! : String(error);
}
