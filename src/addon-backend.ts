/** A mixture's matrices, one for each expert, and what is between them: 0 GELU, 1 SiLU. */
type Mixture = [gate: number, up: number, down: number, activation: number];

/** Rows x, and which experts each of them has chosen, by how much. */
type Routed = [x: number, n: number, chosen: number, weights: number, used: number];

/** Heads of attention within a batch. */
type Heads = [
  ...[heads: number, kvHeads: number, headSize: number],
  ...[scale: number, softcap: number, temperatureLength: number],
];

/**
 * The operations of src/kernels/ops.ts and src/kernels/grad-ops.ts as calls of numbers. Matrices, weights, rotary tables and caches are small
 * ids; a batch and other lists of whole numbers are written to blocks of memory before the call. Misuse (an id or a shape that is
 * none) throws.
 */
export interface AddonBackend extends AddonStore, AddonInference, AddonTraining {
  readonly threads: number;
  readonly isa: string;
  /**
   * Products and attention throw ERR_CANCELLED once the first of these two numbers exceeds the second, which they look at
   * between pieces of their work: what another thread writes to shared memory ends a call that is under way.
   */
  watch(numbers: Int32Array): void;
  /** Ends the threads and frees everything but memory that views still show. */
  close(): void;
}

/** What readers did. */
export interface FileReading {
  /** Milliseconds after which all was there: whoever computes hears of it later. */
  readonly took: number;
  /** Something that one copy could not give, and another did. */
  readonly fault?: ReadFault;
}

/** Why something could not be read: EIO, or ERR_ENDED where the file became shorter. */
export interface ReadFault extends Error {
  readonly code: "EIO" | "ERR_ENDED";
  /** The place in what was read. */
  readonly at: number;
  /** 0 for the source's own file, n for the n-th copy that was added. */
  readonly drive: number;
}

/** Activations, and weights as places in files: native/store.h. */
interface AddonStore {
  /** Makes a matrix (a new one for -1) hold at least `elements` floats; returns its id. Growing loses the contents. */
  resize(id: number, elements: number): number;
  /** Gives a matrix's memory back at once. What still looks at it sees zeros. */
  freeMatrix(id: number): void;
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
  freeWeight(weight: number): void;
  /**
   * Bytes of one of a weight's matrices that are not in memory. 0 where the system does not tell, which is on Windows, and on Linux of a
   * file that the user neither owns nor may write: what is missing there comes by page faults, in which all threads wait.
   */
  missing(weight: number, matrix: number): number;
  /** Brings one of a weight's matrices into memory, on threads that do nothing else. Rejects with code EIO. */
  fetch(weight: number, matrix: number): Promise<FileReading>;
  /**
   * An open file as a source of weights that is not mapped: a weight in it is nowhere, and refused by what computes, until each of its
   * matrices was loaded into a slot and placed there. It is read past the page cache or through it, whichever is measured to be faster.
   */
  open(file: number): number;
  /** Another file with the same bytes, on another drive: what is loaded from the source is read from all, from each as fast as it is. */
  addCopy(source: number, file: number): void;
  /** Bytes a second that a read of an opened file, not of its copies, was given, through the page cache or past it; 0 where that was not tried or cannot be. */
  rate(source: number, through: boolean): number;
  /** Memory for what is loaded, held, taken as it is filled; its number. */
  slot(bytes: number): number;
  /** Gives a slot back at once, where nothing is placed in it. */
  freeSlot(slot: number): void;
  /**
   * Reads the whole blocks of 4096 bytes around [offset, offset + bytes) of an opened file into a slot from `at`, a multiple of 4096, on:
   * the byte at `offset` comes to `at + offset % 4096`. What is read `ahead` comes after all that is waited for. Rejects with code EIO
   * or ERR_ENDED, see {@link ReadFault}, where no copy could be read.
   */
  load(source: number, offset: number, bytes: number, slot: number, at: number, ahead: boolean): Promise<FileReading>;
  /** What is read ahead into a slot is waited for from now on. */
  hurry(slot: number): void;
  /** What is read ahead into a slot is not wanted any more: what was not begun of it is not read, and loading rejects with code ERR_CLOSED. */
  drop(slot: number): void;
  /** Holds a slot once more, or lets go of it once. 0 for one that was dropped: it is no longer what it was. */
  hold(slot: number): number;
  letGo(slot: number): void;
  /** 1 for a slot that was dropped. */
  dropped(slot: number): number;
  /** Slots that may be dropped, in this order, while nobody holds them; in place of those said before. */
  offer(slots: Int32Array): void;
  /**
   * From now on a thread looks every few milliseconds at what memory is available, on the machine and in control groups, and drops what is
   * offered for as long as that is less than `reserve` bytes. `groups` has a line for each: a file with the bytes in use, one with its
   * statistics, and its limit, with tabs between them.
   */
  guard(groups: string, reserve: number): void;
  /** How many slots were dropped so far. */
  drops(): number;
  /** A weight's matrix is at `at` in a slot, or will be, once what is being loaded there has come; -1: nowhere. */
  place(weight: number, matrix: number, slot: number, at: number): void;
}

/** native/inference.h */
interface AddonInference {
  /** Gives back what operations keep from one to the next to work in: the next take it anew. */
  freeScratch(): void;
  /** The control block, of at least `length` int32; the one in use changes only when it has to grow. */
  control(length: number): ArrayBuffer;
  /** The batch's block, of at least `length` int32; as the control block. There is no batch from then to the next `begin`. */
  batch(length: number): ArrayBuffer;
  /**
   * The batch of the operations that follow, as it stands in its block: n tokens; n positions; start, count and page table length of each
   * sequence; the page tables.
   */
  begin(n: number, sequences: number): void;
  rotary(headSize: number, adjacent: boolean, frequencies: Float64Array, magnitude: number): number;
  /** `type` is the place in "f32", "f16", "q8_0", "q4_0". */
  cache(layers: number, kvHeads: number, headSize: number, pages: number, pageTokens: number, type: number): number;
  freeCache(cache: number): void;
  copyPage(cache: number, from: number, to: number): void;
  pageBytes(cache: number): number;
  /** Fills the bytes, as many as `pageBytes` says, with a page's contents. */
  readPage(cache: number, page: number, bytes: Uint8Array): void;
  writePage(cache: number, page: number, bytes: Uint8Array): void;
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
  /** Control: rows, columns [count]. out [count, 2] */
  logprobs(out: number, x: number, n: number, cols: number, count: number): void;
  experts(...call: [out: number, ...Routed, ...Mixture, terms: number]): void;
  /**
   * `experts` in two steps: parts [n * used, width], not weighted, of `count` of the experts, listed in the control block behind
   * the terms; then the sum of all parts, which has the bits of `experts`. Of experts that are being loaded each row is computed when it is
   * there. Milliseconds for which there was nothing to compute, or -1 where some never came.
   */
  expertParts(
    ...call: [
      parts: number,
      x: number,
      n: number,
      chosen: number,
      used: number,
      ...Mixture,
      terms: number,
      count: number,
    ]
  ): number;
  sumExperts(out: number, parts: number, n: number, chosen: number, weights: number, used: number, width: number): void;
  addLowRank(y: number, x: number, n: number, a: number, b: number, scales: number): void;
}

/** native/training.h. A gradient goes to a matrix: set or, with `add`, added to; -1 where it is not wanted. */
interface AddonTraining {
  /** `count` [rows, cols] matrices of zeros, with a gradient, a mean and a variance of each value. A weight. */
  parameter(count: number, rows: number, cols: number): number;
  /** A parameter's values, gradient, mean or variance: 0 to 3. */
  part(parameter: number, part: number): ArrayBuffer;
  /** base + scale b a, of two parameters. A weight. */
  adapted(base: number, a: number, b: number, scale: number): number;
  /** A product in float32 with a parameter or an adapted weight. */
  product(out: number, x: number, n: number, weight: number): void;
  matmulBackward(out: number, add: boolean, dOut: number, x: number, n: number, weight: number): void;
  productExperts(...call: [out: number, ...Routed, ...Mixture]): void;
  expertsBackward(...call: [out: number, add: boolean, dWeights: number, dOut: number, ...Routed, ...Mixture]): void;
  embedBackward(table: number, dOut: number, n: number, scale: number): void;
  /** Control: indices. */
  rowsBackward(out: number, add: boolean, dOut: number, n: number, rows: number, cols: number): void;
  rmsNormBackward(out: number, add: boolean, dOut: number, x: number, n: number, gain: number, eps: number): void;
  ropeBackward(out: number, add: boolean, dOut: number, n: number, heads: number, rotary: number): void;
  selfAttention(...call: [out: number, lse: number, q: number, k: number, v: number, n: number, ...Heads]): void;
  selfAttentionBackward(
    ...call: [
      ...[dq: number, addQ: boolean, dk: number, addK: boolean, dv: number, addV: boolean],
      ...[dOut: number, q: number, k: number, v: number, out: number, lse: number, n: number, ...Heads],
    ]
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
}
