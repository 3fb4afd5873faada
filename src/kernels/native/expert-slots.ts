import type { AddonBackend } from "../../addon-backend.ts";
import { GrokError } from "../../errors.ts";
import type { BringReason, ExpertCache } from "../../memory/expert-cache.ts";
import { matrixPlaces } from "../../tensor/tensor.ts";
import type { SlotCounters } from "./slot-counters.ts";
import { layOut, type SlotReads } from "./slot-reads.ts";
import type { NativeWeight } from "./weight.ts";

/** An expert that has a slot. */
export interface Expert {
  readonly stacks: readonly NativeWeight[];
  readonly matrix: number;
  readonly bytes: number;
  readonly slot: number;
  /** All of it came. Until then whatever computes with it waits for the rows that it needs. */
  there: boolean;
  /** It is held since it was begun. */
  pending: boolean;
  /** Nobody has asked for it yet. */
  ahead: boolean;
  /** It is not to be read any further: unless all of it is on its way, it has no slot soon. */
  dropped: boolean;
  /** Rejects for what was not read. */
  loaded: Promise<void>;
}

/** Which experts have slots, by their numbers: what {@link ExpertCache} decides, done. */
export interface ExpertSlots {
  get(number: number): Expert | undefined;
  /** Bytes of experts that are there, and whether others are on their way. */
  state(): { readonly filled: number; readonly filling: boolean };
  /** False for what was given back meanwhile. */
  hold(number: number): boolean;
  letGo(number: number): void;
  /** Begins to bring an expert, held; undefined where there is no room now. @throws GrokError `capacity` for one that never fits. */
  begin(number: number, stacks: readonly NativeWeight[], matrix: number, reason: BringReason): Expert | undefined;
  /** What was read ahead in vain is not read any further. */
  drop(number: number): void;
  /** When there may be room that was not there before. */
  room(): Promise<void>;
  /** Holds experts to so many bytes. */
  limit(bytes: number): void;
  /** Forgets what others' need of memory took. */
  forgetDropped(): void;
  /** Says what may be given back while nobody looks. */
  offer(): void;
}

/** Milliseconds. */
const offerInterval = 50;

/** `guard`, `holding`: as of `Streaming`. */
export function createExpertSlots(
  native: AddonBackend,
  cache: ExpertCache,
  reads: SlotReads,
  counters: SlotCounters,
  {
    guard,
    holding = Number.POSITIVE_INFINITY,
  }: {
    readonly guard?: { readonly groups: string; readonly reserve: number } | undefined;
    readonly holding?: number | undefined;
  },
): ExpertSlots {
  const experts = new Map<number, Expert>();
  const waiting: (() => void)[] = [];
  /** Bytes of what was begun and is still held. */
  let pending = 0;
  /** Memory of what was not read after all, for the next one: the system takes its time to give it. */
  let spare: { readonly slot: number; readonly bytes: number } | undefined;
  let drops = 0;
  let offered = Number.NEGATIVE_INFINITY;
  if (guard !== undefined) native.guard(guard.groups, guard.reserve);

  const wake = () => {
    for (const each of waiting.splice(0)) each();
  };
  const give = (number: number) => {
    const { stacks, matrix, slot } = experts.get(number)!;
    for (const { id } of stacks) native.place(id, matrix, -1, 0);
    experts.delete(number);
    return slot;
  };
  const freeSpare = () => {
    if (spare !== undefined) native.freeSlot(spare.slot);
    spare = undefined;
  };
  const settle = (expert: Expert) => {
    if (expert.pending) pending -= expert.bytes;
    expert.pending = false;
  };
  const forget = (number: number) => {
    native.freeSlot(give(number));
    cache.remove(number);
  };

  return {
    get: (number) => experts.get(number),
    state() {
      let filled = 0;
      let filling = false;
      for (const { there, bytes } of experts.values()) {
        if (there) filled += bytes;
        else filling = true;
      }
      return { filled, filling };
    },
    hold(number) {
      if (native.hold(experts.get(number)!.slot) === 0) {
        forget(number);
        return false;
      }
      cache.hold(number);
      return true;
    },
    letGo(number) {
      const expert = experts.get(number);
      if (expert === undefined) return;
      settle(expert);
      native.letGo(expert.slot);
      cache.letGo(number);
      wake();
    },
    begin(number, stacks, matrix, reason) {
      const ahead = reason === "foretold";
      const { parts, bytes } = layOut(stacks.map(({ tensor }) => matrixPlaces(tensor)[matrix]!));
      if (bytes > cache.bytes && cache.used === 0) {
        const { source, name } = stacks[0]!.tensor;
        throw new GrokError(
          "capacity",
          `${source}: an expert of ${name} takes ${bytes} bytes, and ${cache.bytes} may be used for experts: allow more memory`,
          { path: source, tensor: name, bytes, most: cache.bytes },
        );
      }
      if (pending > 0 && pending + bytes > holding) return undefined;
      const given = cache.admit(number, bytes, reason);
      if (given === undefined) return undefined;
      // One of the same size is filled anew.
      let slot = spare?.bytes === bytes ? spare.slot : undefined;
      if (slot !== undefined) spare = undefined;
      freeSpare();
      for (const each of given) {
        const fits = slot === undefined && experts.get(each)!.bytes === bytes;
        const freed = give(each);
        if (fits && native.hold(freed) !== 0) slot = freed;
        else native.freeSlot(freed);
      }
      try {
        slot ??= native.slot(bytes);
      } catch (error) {
        // Counted in for good it would be room that nobody can have.
        cache.remove(number);
        wake();
        throw error;
      }
      const expert: Expert = {
        stacks,
        matrix,
        bytes,
        slot,
        there: false,
        pending: true,
        ahead,
        dropped: false,
        loaded: Promise.resolve(),
      };
      experts.set(number, expert);
      pending += bytes;
      const what = `expert ${matrix} of ${stacks[0]!.tensor.name}`;
      const filled = reads.fill(slot, parts, what, ahead);
      for (const [i, { id }] of stacks.entries()) native.place(id, matrix, slot, parts[i]!.first);
      expert.loaded = filled.then(
        () => {
          expert.there = true;
          expert.dropped = false;
          counters.bytesRead += bytes;
          if (ahead) counters.bytesReadAhead += bytes;
        },
        (error) => {
          cache.remove(number);
          give(number);
          settle(expert);
          if (expert.dropped) {
            freeSpare();
            spare = { slot: expert.slot, bytes };
            const { begun } = (error as GrokError).details as { begun: number };
            counters.bytesRead += begun;
            counters.bytesReadAhead += begun;
          } else native.freeSlot(expert.slot);
          wake();
          throw error;
        },
      );
      expert.loaded.catch(() => {});
      return expert;
    },
    drop(number) {
      const expert = experts.get(number);
      if (expert === undefined || expert.there || !expert.ahead) return;
      expert.dropped = true;
      native.drop(expert.slot);
    },
    room: () => new Promise((resolve) => waiting.push(resolve)),
    limit(bytes) {
      if (bytes === cache.bytes) return;
      freeSpare();
      for (const each of cache.limit(bytes)) native.freeSlot(give(each));
      wake();
    },
    forgetDropped() {
      if (guard === undefined) return;
      const dropped = native.drops();
      if (dropped !== drops) for (const [number, { slot }] of experts) if (native.dropped(slot) === 1) forget(number);
      drops = dropped;
    },
    offer() {
      const now = performance.now();
      if (guard === undefined || now - offered < offerInterval) return;
      offered = now;
      native.offer(Int32Array.from(cache.order(), (number) => experts.get(number)!.slot));
    },
  };
}

/** What is read ahead, or behind a copy, fails nobody: whoever needs it asks for it, and is told. */
export function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
