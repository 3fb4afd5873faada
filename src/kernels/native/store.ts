import type { AddonBackend } from "../../addon-backend.ts";
import { ioError } from "../../bytes/io-error.ts";
import { GrokError } from "../../errors.ts";
import { matrixPlaces } from "../../tensor/tensor.ts";
import type { NativeWeight } from "./weight.ts";

/** Who has the bytes of experts. The backend asks before it computes with them, and awaits what is not there. */
export interface ExpertStore {
  /** Of `experts`, those that are not in memory, with all their matrices in `stacks`. The others stay until they are released. */
  absent(stacks: readonly NativeWeight[], experts: readonly number[]): number[];
  /**
   * Brings an expert's matrices into memory, where they stay until they are released. Where there is no room it waits for some, as long as
   * it is `wanted`. @throws GrokError `io` naming file and place; `cancelled` when it is no longer wanted.
   */
  fetch(stacks: readonly NativeWeight[], expert: number, wanted: () => boolean): Promise<void>;
  /** Whether an expert that is fetched is on its way: it can be computed with, in which each row is waited for. Absent: none can. */
  readonly coming?: (stacks: readonly NativeWeight[], expert: number) => boolean;
  /** These were computed with. */
  release(stacks: readonly NativeWeight[], experts: readonly number[]): void;
  /** These are likely to be asked for next, the likeliest first. Absent: such a store makes no use of it. */
  readonly foretell?: (stacks: readonly NativeWeight[], experts: readonly number[]) => void;
  /** Whether it is of use to foretell what the next layer asks for. */
  readonly foretelling?: () => boolean;
  /** Begins to bring what was foretold: called once what is asked for now is there or on its way. */
  readonly bringForetold?: () => void;
  /** So many milliseconds nothing could be computed. */
  stalled(stacks: readonly NativeWeight[], milliseconds: number): void;
}

/** Milliseconds for which an expert that was in memory is taken to be there still. */
const shortestTrust = 250;
const longestTrust = 60_000;

/**
 * The system's page cache has them. It is not told of on Windows, and on Linux only to those who own a file or may write it: for others
 * all is taken to be there, and what is not is waited for in page faults. To ask it takes a moment for each matrix, so an expert that was used lately is not asked about: where those asked about were never
 * missing the time grows, and where one went missing it begins anew.
 */
export function createPageCacheStore(native: AddonBackend): ExpertStore {
  /** When each expert of a stack was last there. */
  const lastThere = new Map<number, Float64Array>();
  let trust = shortestTrust;

  const timesOf = ({ id, matrices }: NativeWeight): Float64Array => {
    const known = lastThere.get(id) ?? new Float64Array(matrices).fill(Number.NEGATIVE_INFINITY);
    lastThere.set(id, known);
    return known;
  };

  return {
    absent(stacks, experts) {
      const times = timesOf(stacks[0]!);
      const now = performance.now();
      const found: number[] = [];
      for (const expert of experts) {
        const last = times[expert]!;
        times[expert] = now;
        if (!(now - last > trust)) continue;
        const missing = stacks.some(({ id }) => native.missing(id, expert) > 0);
        if (missing) found.push(expert);
        if (last > 0) trust = missing ? shortestTrust : Math.min(longestTrust, 2 * trust);
      }
      return found;
    },
    async fetch(stacks, expert) {
      const reading = stacks.map(async ({ id, tensor }) => {
        try {
          await native.fetch(id, expert);
        } catch (error) {
          const place = matrixPlaces(tensor)[expert]!;
          const where = "file" in place ? ` at ${place.offset}` : "";
          throw ioError(`read expert ${expert} of ${tensor.name}${where}`, tensor.source, error);
        }
      });
      const times = timesOf(stacks[0]!);
      times[expert] = Number.NEGATIVE_INFINITY;
      await Promise.all(reading);
      times[expert] = performance.now();
    },
    release() {},
    stalled() {},
  };
}

/** What happens where experts are awaited. */
export interface ExpertEvent {
  /** An expert that was computed while it came does not arrive. */
  readonly kind: "fetch" | "arrive" | "compute" | "stand in";
  /** The stack of gates, which names the layer. */
  readonly tensor: string;
  readonly experts: readonly number[];
}

/**
 * Computes experts as they come: those that are there while the others are fetched, then each while it comes, or when it has arrived.
 * @param compute Of the experts of a list, with all others left alone: milliseconds for which there was nothing to compute since they were on
 *   their way, below 0 where some never came.
 * @param left Resolves when nobody waits for them any more. What is being fetched goes on, and is there the next time.
 * @throws GrokError what fetching throws; `cancelled` when it is left.
 */
export async function computeAsTheyCome(
  store: ExpertStore,
  stacks: readonly NativeWeight[],
  experts: readonly number[],
  absent: readonly number[],
  compute: (experts: readonly number[]) => number,
  see: (event: ExpertEvent) => void = () => {},
  left?: Promise<void>,
): Promise<void> {
  const tell = (kind: ExpertEvent["kind"], some: readonly number[]) =>
    see({ kind, tensor: stacks[0]!.tensor.name, experts: some });
  const arrived: number[] = [];
  /** Computed before it was known that all of it came. */
  const done = new Set<number>();
  let over = false;
  const awaited = new Map(
    absent.map((expert) => {
      const fetched = store
        .fetch(stacks, expert, () => !over)
        .then(() => {
          // Whoever wanted it has left.
          if (over) return store.release(stacks, [expert]);
          arrived.push(expert);
          if (!done.has(expert)) tell("arrive", [expert]);
        });
      // Whoever computes may throw first; it is awaited below otherwise.
      fetched.catch(() => {});
      return [expert, fetched] as const;
    }),
  );
  store.bringForetold?.();
  if (absent.length > 0) tell("fetch", absent);
  const run = (some: readonly number[]) => {
    tell("compute", some);
    try {
      compute(some);
    } finally {
      store.release(stacks, some);
    }
  };
  /** Computes one that is on its way: who reads still has it. */
  const runComing = (expert: number) => {
    tell("compute", [expert]);
    const waited = compute([expert]);
    if (waited < 0) return; // whoever fetches is told why
    store.stalled(stacks, waited);
    done.add(expert);
  };
  try {
    const present = experts.filter((expert) => !awaited.has(expert));
    if (present.length > 0) run(present);
    const leaving = left?.then(() => {
      throw new GrokError("cancelled", "experts were awaited that nobody wants any more");
    });
    leaving?.catch(() => {});
    while (awaited.size > 0) {
      const next = [...awaited.keys()].find((expert) => !done.has(expert) && store.coming?.(stacks, expert));
      if (next !== undefined) runComing(next);
      const began = performance.now();
      await Promise.race(leaving ? [...awaited.values(), leaving] : awaited.values());
      store.stalled(stacks, performance.now() - began);
      const ready = arrived.splice(0);
      for (const expert of ready) awaited.delete(expert);
      const [computed, others] = [true, false].map((was) => ready.filter((expert) => done.has(expert) === was));
      store.release(stacks, computed!);
      if (others!.length > 0) run(others!);
    }
  } finally {
    over = true;
    if (arrived.length > 0) store.release(stacks, arrived);
  }
}
