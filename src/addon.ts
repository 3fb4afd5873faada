import { accessSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

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
  /** Ends the threads. */
  close(): void;
}

/**
 * The operations of src/kernels/ops.ts as calls of numbers. Matrices, weights, rotary tables and caches are small ids; a batch
 * and other lists of whole numbers are written to blocks of memory before the call. Misuse (an id or a shape that is none) throws.
 */
export interface AddonBackend {
  readonly threads: number;
  readonly isa: string;
  /** The control block, of at least `length` int32; the one in use changes only when it has to grow. */
  control(length: number): ArrayBuffer;
  /** The batch's block, of at least `length` int32; as the control block. There is no batch from then to the next `begin`. */
  batch(length: number): ArrayBuffer;
  /**
   * The batch of the operations that follow, as it stands in its block: n tokens; n positions; start, count and page table length of each
   * sequence; the page tables.
   */
  begin(n: number, sequences: number): void;
  /** Makes a matrix (a new one for -1) hold at least `elements` floats; returns its id. Growing loses the contents. */
  resize(id: number, elements: number): number;
  /** A matrix's present memory: call once after each growth. */
  view(id: number): ArrayBuffer;
  /** Maps an open file (a descriptor of this process), which may then be closed. A source of weights. @throws Error with a `code` such as ENOMEM. */
  map(file: number): number;
  /** A copy of memory. A source of weights. */
  copy(bytes: Uint8Array): number;
  /** Lets go of a source: it stays for as long as weights lie in it. */
  release(source: number): void;
  /**
   * Binds one [rows, cols] matrix, or one for each expert, in place: `places` has a source and an offset in it, in bytes, for each.
   * matmul() with a quantized type rounds activations to a sum of `digits` (1 or 2) blocks of 8 bits.
   */
  weight(ggmlType: number, rows: number, cols: number, digits: number, places: Float64Array): number;
  /**
   * Products and attention throw ERR_CANCELLED once the first of these two numbers exceeds the second, which they look at
   * between pieces of their work: what another thread writes to shared memory ends a call that is under way.
   */
  watch(numbers: Int32Array): void;
  rotary(headSize: number, adjacent: boolean, frequencies: Float64Array, magnitude: number): number;
  /** `type` is the place in "f32", "f16", "q8_0", "q4_0". */
  cache(layers: number, kvHeads: number, headSize: number, pages: number, pageTokens: number, type: number): number;
  freeCache(cache: number): void;
  copyPage(cache: number, from: number, to: number): void;
  embed(out: number, table: number, n: number, scale: number): void;
  /** Control: indices. */
  rows(out: number, x: number, xRows: number, cols: number, n: number): void;
  rmsNorm(out: number, x: number, n: number, gain: number, eps: number): void;
  matmul(out: number, x: number, n: number, weight: number): void;
  rope(out: number, x: number, n: number, heads: number, rotary: number): void;
  store(cache: number, layer: number, k: number, v: number, n: number): void;
  attention(
    out: number,
    q: number,
    n: number,
    cache: number,
    layer: number,
    heads: number,
    scale: number,
    softcap: number,
    temperatureLength: number,
  ): void;
  add(out: number, a: number, b: number, elements: number): void;
  scale(out: number, x: number, elements: number, factor: number): void;
  softcap(out: number, x: number, elements: number, cap: number): void;
  /** `activation`: 0 GELU, 1 SiLU. */
  gated(out: number, activation: number, gate: number, up: number, elements: number): void;
  route(
    probabilities: number,
    chosen: number,
    weights: number,
    logits: number,
    n: number,
    experts: number,
    used: number,
    renormalize: boolean,
  ): void;
  /** Of x [n, cols]: values and indices [n, k], logSumExp [n, 1]. */
  topK(values: number, indices: number, logSumExp: number, x: number, n: number, cols: number, k: number): void;
  experts(
    out: number,
    x: number,
    n: number,
    chosen: number,
    weights: number,
    used: number,
    gate: number,
    up: number,
    down: number,
    activation: number,
    terms: number,
  ): void;
  /**
   * `experts` in two steps: parts [n * used, width], not weighted, of `count` of the experts, listed in the control block behind
   * the terms; then the sum of all parts, which has the bits of `experts`.
   */
  expertParts(
    parts: number,
    x: number,
    n: number,
    chosen: number,
    used: number,
    gate: number,
    up: number,
    down: number,
    activation: number,
    terms: number,
    count: number,
  ): void;
  sumExperts(out: number, parts: number, n: number, chosen: number, weights: number, used: number, width: number): void;
  /**
   * Bytes of one of a weight's matrices that are not in memory. 0 where the system does not tell, which is on Windows, and on Linux of a
   * file that the user neither owns nor may write: what is missing there comes by page faults, in which all threads wait.
   */
  missing(weight: number, matrix: number): number;
  /** Brings one of a weight's matrices into memory, on threads that do nothing else. Rejects with code EIO. */
  fetch(weight: number, matrix: number): Promise<void>;
  addLowRank(y: number, x: number, n: number, a: number, b: number, scales: number): void;
  // Training: src/kernels/grad-ops.ts. A gradient goes to a matrix: set or, with `add`, added to; -1 where it is not wanted.
  /** `count` [rows, cols] matrices of zeros, with a gradient, a mean and a variance of each value. A weight. */
  parameter(count: number, rows: number, cols: number): number;
  /** A parameter's values, gradient, mean or variance: 0 to 3. */
  part(parameter: number, part: number): ArrayBuffer;
  /** base + scale b a, of two parameters. A weight. */
  adapted(base: number, a: number, b: number, scale: number): number;
  freeWeight(weight: number): void;
  /** A product in float32 with a parameter or an adapted weight. */
  product(out: number, x: number, n: number, weight: number): void;
  matmulBackward(out: number, add: boolean, dOut: number, x: number, n: number, weight: number): void;
  productExperts(
    out: number,
    x: number,
    n: number,
    chosen: number,
    weights: number,
    used: number,
    gate: number,
    up: number,
    down: number,
    activation: number,
  ): void;
  expertsBackward(
    out: number,
    add: boolean,
    dWeights: number,
    dOut: number,
    x: number,
    n: number,
    chosen: number,
    weights: number,
    used: number,
    gate: number,
    up: number,
    down: number,
    activation: number,
  ): void;
  embedBackward(table: number, dOut: number, n: number, scale: number): void;
  /** Control: indices. */
  rowsBackward(out: number, add: boolean, dOut: number, n: number, rows: number, cols: number): void;
  rmsNormBackward(out: number, add: boolean, dOut: number, x: number, n: number, gain: number, eps: number): void;
  ropeBackward(out: number, add: boolean, dOut: number, n: number, heads: number, rotary: number): void;
  selfAttention(
    out: number,
    lse: number,
    q: number,
    k: number,
    v: number,
    n: number,
    heads: number,
    kvHeads: number,
    headSize: number,
    scale: number,
    softcap: number,
    temperatureLength: number,
  ): void;
  selfAttentionBackward(
    dq: number,
    addQ: boolean,
    dk: number,
    addK: boolean,
    dv: number,
    addV: boolean,
    dOut: number,
    q: number,
    k: number,
    v: number,
    out: number,
    lse: number,
    n: number,
    heads: number,
    kvHeads: number,
    headSize: number,
    scale: number,
    softcap: number,
    temperatureLength: number,
  ): void;
  scaleBackward(out: number, add: boolean, dOut: number, elements: number, factor: number): void;
  softcapBackward(out: number, add: boolean, dOut: number, y: number, elements: number, cap: number): void;
  gatedBackward(
    dGate: number,
    addGate: boolean,
    dUp: number,
    addUp: boolean,
    dOut: number,
    activation: number,
    gate: number,
    up: number,
    elements: number,
  ): void;
  /** `losses` gets the balance and the z-loss. */
  routeBackward(
    out: number,
    add: boolean,
    losses: number,
    dWeights: number,
    logits: number,
    probabilities: number,
    chosen: number,
    weights: number,
    n: number,
    experts: number,
    used: number,
    renormalize: boolean,
    balance: number,
    zLoss: number,
  ): void;
  /** Control: weights, as float64; targets. Returns the loss. */
  crossEntropy(out: number, logits: number, n: number, vocab: number): number;
  zeroGradient(parameter: number): void;
  gradientSquares(parameter: number): number;
  adamw(
    parameter: number,
    rate: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    decay: number,
    step: number,
    factor: number,
  ): void;
  /** Ends the threads and frees everything but memory that views still show. */
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
