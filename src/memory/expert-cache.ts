/**
 * Which experts are kept in memory when not all fit: pure bookkeeping. What loads and computes asks here, and so does what replays
 * recorded routing: both decide the same.
 *
 * An expert has a number: its layer times the experts of a layer, plus its place among them. Layers are visited in order, one pass
 * after another.
 */

/**
 * What is given up first.
 * - `recency`: what was used longest ago.
 * - `frequency`: what is used least, uses counting less with every pass; among equals what will be asked for last, which is what was
 *   just passed. A prompt, that asks for everything once, then leaves as much in its place as fits, where recency would leave nothing.
 */
export type KeepPolicy = "recency" | "frequency";

export const keepPolicies: readonly KeepPolicy[] = ["recency", "frequency"];

/**
 * What an expert is brought for.
 * - `asked`: it is waited for.
 * - `foretold`: it will probably be asked for next; what was foretold too is not given up for it.
 * - `likely`: nobody waits, and it may be asked for again; what is used more is not given up for it.
 */
export type BringReason = "asked" | "foretold" | "likely";

export interface ExpertCacheOptions {
  /** Bytes that all experts in memory may take together. */
  readonly bytes: number;
  readonly layers: number;
  /** Experts of a layer. */
  readonly experts: number;
  readonly policy?: KeepPolicy;
}

export interface ExpertCache {
  readonly bytes: number;
  readonly used: number;
  has(expert: number): boolean;
  /** A layer is asked for these, none twice: what is recent and frequent is counted here. */
  ask(layer: number, experts: readonly number[]): void;
  /** These are likely to be asked for next; what was said before is over. They are given up after all others, and not for one another. */
  foretell(experts: readonly number[]): void;
  /** While it is held it is not given up. Held as often as it is let go. */
  hold(expert: number): void;
  letGo(expert: number): void;
  /**
   * Makes room for an expert of `bytes` and counts it in, held. What has to be given up for that, which is out from now on; undefined where
   * that is not possible as long as so many are held, or not worth it for that reason (default `asked`).
   */
  admit(expert: number, bytes: number, reason?: BringReason): number[] | undefined;
  /** All that is not held, what is to be given up first first. */
  order(): number[];
  /** What could not be loaded after all. */
  remove(expert: number): void;
  /** Another limit. What is to be given up for it, as far as it is not held. */
  limit(bytes: number): number[];
}

/** By how much a use counts less after each pass, as a logarithm: 35 passes halve it. */
const fading = -Math.log(0.98);

interface Entry {
  readonly bytes: number;
  holds: number;
}

export function createExpertCache(options: ExpertCacheOptions): ExpertCache {
  const { layers, experts, policy = "frequency" } = options;
  const present = new Map<number, Entry>();
  /** Logarithm of an expert's uses, as if each had grown with time where it fades with it; kept also of those that are out. */
  const uses = new Float64Array(layers * experts).fill(Number.NEGATIVE_INFINITY);
  const askedAt = new Float64Array(layers * experts);
  const passes = new Float64Array(layers);
  let foretold = new Set<number>();
  let asked = 0;
  let current = 0;
  let bytes = options.bytes;
  let used = 0;

  const layerOf = (expert: number) => Math.floor(expert / experts);
  const usesOf = (expert: number) => uses[expert]! - fading * passes[layerOf(expert)]!;
  /** Layers until it can be asked for again, of the one that is passed all of them. */
  const distance = (expert: number) => (layerOf(expert) - current + layers - 1) % layers;
  /** Whether `a` is to be given up before `b`. */
  const sooner: (a: number, b: number) => boolean =
    policy === "recency"
      ? (a, b) => askedAt[a]! < askedAt[b]!
      : (a, b) => {
          const [one, other] = [usesOf(a), usesOf(b)];
          if (one !== other && !(Math.abs(one - other) < 1e-9)) return one < other;
          const far = distance(a) - distance(b);
          return far !== 0 ? far > 0 : askedAt[a]! > askedAt[b]!;
        };

  /** Whether `a` is to be given up before `b`, of all. */
  const before = (a: number, b: number) => (foretold.has(a) === foretold.has(b) ? sooner(a, b) : foretold.has(b));
  /** What is to be given up first, of what is neither held nor in `others`. */
  const first = (others: readonly number[]): number | undefined => {
    let worst: number | undefined;
    for (const [expert, { holds }] of present) {
      if (holds > 0 || others.includes(expert)) continue;
      if (worst === undefined || before(expert, worst)) worst = expert;
    }
    return worst;
  };
  const remove = (expert: number) => {
    used -= present.get(expert)?.bytes ?? 0;
    present.delete(expert);
  };

  return {
    get bytes() {
      return bytes;
    },
    get used() {
      return used;
    },
    has: (expert) => present.has(expert),
    ask(layer, some) {
      current = layer;
      const now = fading * ++passes[layer]!;
      for (const expert of some) {
        // log(exp(u) + exp(now)), without leaving the range of numbers
        const [low, high] = uses[expert]! < now ? [uses[expert]!, now] : [now, uses[expert]!];
        uses[expert] = high + Math.log1p(Math.exp(low - high));
        askedAt[expert] = ++asked;
        foretold.delete(expert);
      }
    },
    foretell(some) {
      foretold = new Set(some);
    },
    hold(expert) {
      present.get(expert)!.holds++;
    },
    letGo(expert) {
      const entry = present.get(expert);
      if (entry !== undefined) entry.holds--;
    },
    admit(expert, size, reason = "asked") {
      const given: number[] = [];
      for (let free = bytes - used; free < size; ) {
        const next = first(given);
        if (next === undefined || (reason === "foretold" && foretold.has(next))) return undefined;
        if (reason === "likely" && !before(next, expert)) return undefined;
        given.push(next);
        free += present.get(next)!.bytes;
      }
      given.forEach(remove);
      present.set(expert, { bytes: size, holds: 1 });
      used += size;
      return given;
    },
    order() {
      const free = [...present.keys()].filter((expert) => present.get(expert)!.holds === 0);
      return free.sort((a, b) => (before(a, b) ? -1 : before(b, a) ? 1 : 0));
    },
    remove,
    limit(next) {
      bytes = next;
      const given: number[] = [];
      while (used > bytes) {
        const one = first([]);
        if (one === undefined) break;
        remove(one);
        given.push(one);
      }
      return given;
    },
  };
}
