import type { AddonBackend } from "../../addon-backend.ts";
import type { DataFile } from "../../bytes/data-file.ts";
import { GrokError } from "../../errors.ts";
import type { ExpertCache } from "../../memory/expert-cache.ts";
import { scratchRows } from "../../memory/expert-room.ts";
import { createLookAhead, type LookAhead } from "../../memory/look-ahead.ts";
import { type LossyRouting, loseRouting, type RoutingValues } from "../../memory/lossy.ts";
import { matrixPlaces, type Tensor } from "../../tensor/tensor.ts";
import type { Scratch } from "./scratch.ts";
import { createSlotReads, layOut } from "./slot-reads.ts";
import type { ExpertStore } from "./store.ts";
import type { FileCopies, NativeWeight } from "./weight.ts";

/** Weights in memory that was decided on: experts as they are needed, the others always. */
export interface Streaming {
  /** What is kept in memory of the experts. */
  readonly cache: ExpertCache;
  /** The layer whose experts a tensor holds, from 0; undefined for all that is to be kept, which is brought as soon as it is bound. */
  readonly layerOf: (tensor: Tensor) => number | undefined;
  /** Copies of files on other drives: what one cannot read another is asked for. */
  readonly copies?: FileCopies;
  /** What may be lost of the routing so that less is read. Absent: nothing. */
  readonly lossy?: LossyRouting;
  /** Bytes that experts may take from now on: asked before each pass and each layer. Absent: what the cache began with. */
  readonly limit?: (state: SlotState) => number;
  /** What a thread of the addon's gives back at once, without asking, when others need memory: as for `AddonBackend.guard`. */
  readonly guard?: { readonly groups: string; readonly reserve: number };
  /** When the next layer's experts are read ahead. Absent: where it was measured to pay. */
  readonly lookAhead?: LookAhead;
}

/** What memory is taken for at a moment. */
export interface SlotState {
  /** Bytes of experts that are there. */
  readonly filled: number;
  /** Whether others are on their way: of their memory any part may be taken. */
  readonly filling: boolean;
  /** Tokens that activations have memory for, or will have in the pass that begins. */
  readonly rows: number;
}

/** What a store of slots has done. */
export interface SlotCounters {
  /** Experts that a layer asked for, how many of them were there, and how many of the others were on their way. */
  asked: number;
  there: number;
  coming: number;
  /** How many of them the layer had asked for the time before too. */
  repeated: number;
  /** Bytes read of experts, and those of them that were read before a layer asked. */
  bytesRead: number;
  bytesReadAhead: number;
  /** Experts that were read ahead, and how many of them were asked for before they were given up. */
  ahead: number;
  aheadAsked: number;
  /** Experts that a layer asked for after it was said which, and how many of them had been said. */
  foretold: number;
  foretoldRight: number;
  /** Milliseconds, by layer, for which there was nothing to compute. */
  readonly stalled: number[];
}

export interface SlotStore extends ExpertStore {
  readonly cache: Pick<ExpertCache, "bytes" | "used">;
  readonly counters: Readonly<SlotCounters>;
  /** As of {@link SlotReads}. */
  readonly problem: string | undefined;
  /** A weight that lies in files alone and is always needed: it is brought into memory of its own. Whoever computes awaits {@link SlotStore.ready}. */
  keep(weight: NativeWeight): void;
  /** When all that is kept is there. @throws GrokError `io` naming file and place. */
  ready(): Promise<void>;
  /** A pass of so many tokens begins: experts leave the room that its activations take, or have what those of a larger one took. */
  begin(tokens: number): void;
  /** Changes the routing of experts that are to be computed, where that was asked for. */
  lose(stacks: readonly NativeWeight[], routing: RoutingValues): void;
  /** Holds experts to what they may take now. */
  govern(): void;
}

interface Expert {
  readonly stacks: readonly NativeWeight[];
  readonly matrix: number;
  readonly bytes: number;
  slot: number;
  /** Its matrices can be computed with. */
  there: boolean;
  /** Nobody has asked for it yet. */
  ahead: boolean;
  loaded: Promise<void>;
}

/** What is known of the layer that is next. */
interface Foretold {
  readonly stacks: readonly NativeWeight[];
  readonly some: readonly number[];
  /** Of them, what was not in memory when it was foretold. */
  readonly absent: readonly number[];
}

/** Milliseconds. */
const offerInterval = 50;

/**
 * Experts in slots of memory, each filled by the addon's readers past the page cache: nothing of the file is mapped, so what is in
 * memory is what was decided to be. What is given up for an expert `cache` says.
 *
 * @param open Source of a file for {@link AddonBackend.load}.
 * @param scratch Activations, which share memory with experts.
 */
export function createSlotStore(
  native: AddonBackend,
  { cache, layerOf: layerOfTensor, limit: govern, guard, copies, lossy, lookAhead = createLookAhead() }: Streaming,
  open: (file: DataFile) => number,
  scratch: Pick<Scratch, "release">,
): SlotStore {
  const counters: SlotCounters = {
    ...{
      asked: 0,
      there: 0,
      coming: 0,
      repeated: 0,
      bytesRead: 0,
      bytesReadAhead: 0,
      ahead: 0,
      aheadAsked: 0,
      foretold: 0,
      foretoldRight: 0,
    },
    stalled: [],
  };
  /** What was said of the layer that is next, until it asks. */
  const said = new Map<number, Foretold>();
  /** What each layer asked for the last time. */
  const before = new Map<number, readonly number[]>();
  /** What was foretold and is not on its way yet. */
  let coming: Foretold | undefined;
  const reads = createSlotReads(native, open, copies);
  /** When the last layer asked, when foretelling began, and how long it took. */
  let askedAt = 0;
  let foretellingAt = 0;
  let foretellingTook = 0;
  let stalledLately = 0;
  const layerOf = ({ tensor }: NativeWeight) => layerOfTensor(tensor)!;
  /** Experts of a model that has all of its own in memory. */
  const isKept = (stacks: readonly NativeWeight[]) => layerOfTensor(stacks[0]!.tensor) === undefined;
  const experts = new Map<number, Expert>();
  const waiting: (() => void)[] = [];
  const kept: Promise<void>[] = [];

  const numberOf = (stacks: readonly NativeWeight[], matrix: number) =>
    layerOf(stacks[0]!) * stacks[0]!.matrices + matrix;

  let drops = 0;
  let offered = Number.NEGATIVE_INFINITY;
  if (guard !== undefined) native.guard(guard.groups, guard.reserve);

  /** False for what was given back meanwhile. */
  const hold = (number: number): boolean => {
    if (native.hold(experts.get(number)!.slot) === 0) {
      forget(number);
      return false;
    }
    cache.hold(number);
    return true;
  };
  const letGo = (number: number) => {
    const expert = experts.get(number);
    if (expert === undefined) return;
    native.letGo(expert.slot);
    cache.letGo(number);
    wake();
  };
  const forget = (number: number) => {
    native.freeSlot(give(number));
    cache.remove(number);
  };

  const give = (expert: number) => {
    const { stacks, matrix, slot } = experts.get(expert)!;
    for (const { id } of stacks) native.place(id, matrix, -1, 0);
    experts.delete(expert);
    return slot;
  };

  /** Begins to bring an expert, held; undefined where there is no room now. */
  const begin = (stacks: readonly NativeWeight[], matrix: number, ahead: boolean): Expert | undefined => {
    const number = numberOf(stacks, matrix);
    const { parts, bytes } = layOut(stacks.map(({ tensor }) => matrixPlaces(tensor)[matrix]!));
    if (bytes > cache.bytes && cache.used === 0) {
      const { source, name } = stacks[0]!.tensor;
      throw new GrokError(
        "capacity",
        `${source}: an expert of ${name} takes ${bytes} bytes, and ${cache.bytes} may be used for experts: allow more memory`,
        { path: source, tensor: name, bytes, most: cache.bytes },
      );
    }
    const given = cache.admit(number, bytes, ahead);
    if (given === undefined) return undefined;
    // One of the same size is filled anew; the system takes its time to give memory.
    let slot: number | undefined;
    for (const each of given) {
      const fits = slot === undefined && experts.get(each)!.bytes === bytes;
      const freed = give(each);
      if (fits) slot = freed;
      else native.freeSlot(freed);
    }
    if (slot !== undefined && native.hold(slot) === 0) {
      native.freeSlot(slot);
      slot = undefined;
    }
    try {
      slot ??= native.slot(bytes);
    } catch (error) {
      // Counted in for good it would be room that nobody can have.
      cache.remove(number);
      wake();
      throw error;
    }
    const expert: Expert = { stacks, matrix, bytes, slot, there: false, ahead, loaded: Promise.resolve() };
    experts.set(number, expert);
    const what = `expert ${matrix} of ${stacks[0]!.tensor.name}`;
    expert.loaded = reads.fill(slot, parts, what, ahead).then(
      () => {
        for (const [i, { id }] of stacks.entries()) native.place(id, matrix, expert.slot, parts[i]!.first);
        expert.there = true;
        counters.bytesRead += bytes;
        if (ahead) counters.bytesReadAhead += bytes;
      },
      (error) => {
        cache.remove(number);
        experts.delete(number);
        native.freeSlot(expert.slot);
        wake();
        throw error;
      },
    );
    expert.loaded.catch(() => {});
    return expert;
  };

  let rows = scratchRows(0, 1);
  const state = (): SlotState => {
    let filled = 0;
    let filling = false;
    for (const { there, bytes } of experts.values()) {
      if (there) filled += bytes;
      else filling = true;
    }
    return { filled, filling, rows };
  };
  const settle = () => {
    if (guard !== undefined) {
      const dropped = native.drops();
      if (dropped !== drops) for (const [number, { slot }] of experts) if (native.dropped(slot) === 1) forget(number);
      drops = dropped;
    }
    const bytes = govern?.(state());
    if (bytes === undefined || bytes === cache.bytes) return;
    for (const each of cache.limit(bytes)) native.freeSlot(give(each));
    wake();
  };
  const wake = () => {
    for (const each of waiting.splice(0)) each();
  };
  /** What may be given back while nobody looks. */
  const offer = () => {
    const now = performance.now();
    if (guard === undefined || now - offered < offerInterval) return;
    offered = now;
    native.offer(Int32Array.from(cache.order(), (number) => experts.get(number)!.slot));
  };

  /** What looking ahead would have gained before this layer asked. */
  const account = (layer: number, some: readonly number[], waits: boolean, foretold: Foretold | undefined) => {
    const now = performance.now();
    const { reads: read, busy, neededUntil } = reads.take();
    const absent = foretold?.absent ?? [];
    lookAhead.add({
      ...{
        layer,
        waits,
        reads: read,
        reading: busy,
        stalled: stalledLately,
        rest: Math.max(0, now - Math.max(askedAt, neededUntil)),
      },
      foretold: foretold && {
        absent: absent.length,
        right: absent.filter((matrix) => some.includes(matrix)).length,
        took: foretellingTook,
      },
    });
    askedAt = now;
    stalledLately = 0;
  };

  return {
    cache,
    counters,
    get problem() {
      return reads.problem;
    },
    absent(stacks, some) {
      if (isKept(stacks)) return [];
      settle();
      const numbers = some.map((matrix) => numberOf(stacks, matrix));
      const layer = layerOf(stacks[0]!);
      cache.ask(layer, numbers);
      const last = before.get(layer) ?? [];
      counters.repeated += numbers.filter((number) => last.includes(number)).length;
      before.set(layer, numbers);
      const foretold = said.get(layer);
      said.delete(layer);
      if (foretold !== undefined) {
        counters.foretold += some.length;
        counters.foretoldRight += some.filter((matrix) => foretold.some.includes(matrix)).length;
      }
      const found = some.filter((_, i) => {
        const expert = experts.get(numbers[i]!);
        counters.asked++;
        if (expert?.ahead) {
          expert.ahead = false;
          counters.aheadAsked++;
        }
        if (expert?.there === false) counters.coming++;
        if (!expert?.there || !hold(numbers[i]!)) return true;
        counters.there++;
        return false;
      });
      account(layer, some, found.length > 0, foretold);
      offer();
      return found;
    },
    async fetch(stacks, matrix, wanted) {
      const number = numberOf(stacks, matrix);
      for (;;) {
        if (!wanted()) throw new GrokError("cancelled", "an expert that nobody wants any more");
        const known = experts.get(number);
        if (known !== undefined && hold(number)) {
          native.hurry(known.slot);
          return known.loaded;
        }
        const begun = begin(stacks, matrix, false);
        if (begun !== undefined) return begun.loaded;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
    release(stacks, some) {
      if (isKept(stacks)) return;
      for (const matrix of some) letGo(numberOf(stacks, matrix));
    },
    stalled(stacks, milliseconds) {
      const layer = layerOf(stacks[0]!);
      stalledLately += milliseconds;
      counters.stalled[layer] = (counters.stalled[layer] ?? 0) + milliseconds;
    },
    foretelling() {
      foretellingAt = performance.now();
      return lookAhead.plan !== "nothing";
    },
    foretell(stacks, some) {
      const absent = some.filter((matrix) => !experts.has(numberOf(stacks, matrix)));
      const foretold = { stacks, some, absent };
      said.set(layerOf(stacks[0]!), foretold);
      if (lookAhead.plan === "read") {
        coming = foretold;
        cache.foretell(some.map((matrix) => numberOf(stacks, matrix)));
      }
      foretellingTook = performance.now() - foretellingAt;
    },
    bringForetold() {
      const { stacks, absent } = coming ?? { stacks: [], absent: [] };
      coming = undefined;
      for (const matrix of absent) {
        const number = numberOf(stacks, matrix);
        if (experts.has(number)) continue;
        const begun = attempt(() => begin(stacks, matrix, true));
        if (begun === undefined) return;
        counters.ahead++;
        // It may be given up again as soon as it is there.
        begun.loaded.then(
          () => letGo(number),
          () => {},
        );
      }
    },
    keep(weight) {
      const { parts, bytes } = layOut(matrixPlaces(weight.tensor));
      const slot = native.slot(bytes);
      const loaded = reads.fill(slot, parts, weight.tensor.name, false).then(() => {
        for (const [matrix, { first }] of parts.entries()) native.place(weight.id, matrix, slot, first);
      });
      loaded.catch(() => {});
      kept.push(loaded);
    },
    async ready() {
      await Promise.all(kept.splice(0));
    },
    lose(stacks, routing) {
      if (lossy === undefined || isKept(stacks)) return;
      const resident = Array.from({ length: stacks[0]!.matrices }, (_, i) => experts.has(numberOf(stacks, i)));
      loseRouting(routing, resident, lossy);
    },
    begin(tokens) {
      const next = scratchRows(rows, tokens);
      // Memory is given back before it is taken for something else.
      if (next < rows) scratch.release();
      rows = next;
      settle();
    },
    govern: settle,
  };
}

/** What is read ahead fails nobody: whoever needs it asks for it, and is told. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
