import type { AddonBackend } from "../../addon-backend.ts";
import type { DataFile } from "../../bytes/data-file.ts";
import { GrokError } from "../../errors.ts";
import type { ExpertCache } from "../../memory/expert-cache.ts";
import { scratchRows } from "../../memory/expert-room.ts";
import { createLookAhead, type LookAhead } from "../../memory/look-ahead.ts";
import { type LossyRouting, loseRouting, mostLossyTokens, type RoutingValues } from "../../memory/lossy.ts";
import { matrixPlaces, type Tensor } from "../../tensor/tensor.ts";
import { attempt, createExpertSlots } from "./expert-slots.ts";
import type { Scratch } from "./scratch.ts";
import { createSlotCounters, type SlotCounters } from "./slot-counters.ts";
import { createSlotReads, layOut } from "./slot-reads.ts";
import { createStandIns } from "./stand-ins.ts";
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
  /** A tensor of the same shape as one of experts, which is kept and computed in the place of those that are not there. Absent: they are waited for. */
  readonly standIn?: (tensor: Tensor) => Tensor;
  /** Bytes that experts may take from now on: asked before each pass and each layer. Absent: what the cache began with. */
  readonly limit?: (state: SlotState) => number;
  /** Bytes of experts, if they are more than one, that may be on their way or, once they came, not computed with yet: others can be given back at once. Absent: all. */
  readonly holding?: number;
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
  /** Of experts that are not there, those whose copies are to be computed in their place. */
  standIns(stacks: readonly NativeWeight[], absent: readonly number[]): number[];
  /** Holds experts to what they may take now. */
  govern(): void;
}

/** What is known of the layer that is next. */
interface Foretold {
  readonly stacks: readonly NativeWeight[];
  readonly some: readonly number[];
  /** Of them, what was not in memory when it was foretold. */
  readonly absent: readonly number[];
}

/**
 * Experts in slots of memory, each filled by the addon's readers past the page cache: nothing of the file is mapped, so what is in
 * memory is what was decided to be. What is given up for an expert `cache` says.
 *
 * @param open Source of a file for {@link AddonBackend.load}.
 * @param scratch Activations, which share memory with experts.
 */
export function createSlotStore(
  native: AddonBackend,
  {
    cache,
    layerOf: layerOfTensor,
    limit: govern,
    holding,
    guard,
    copies,
    lossy,
    standIn,
    lookAhead = createLookAhead(),
  }: Streaming,
  open: (file: DataFile) => number,
  scratch: Pick<Scratch, "release">,
): SlotStore {
  const counters = createSlotCounters();
  /** What was said of the layer that is next, until it asks. */
  const said = new Map<number, Foretold>();
  /** What each layer asked for the last time. */
  const before = new Map<number, readonly number[]>();
  /** What was foretold and is not on its way yet. */
  let coming: Foretold | undefined;
  const reads = createSlotReads(native, open, copies);
  const experts = createExpertSlots(native, cache, reads, counters, { guard, holding });
  /** When the last layer asked, when foretelling began, and how long it took. */
  let askedAt = 0;
  let foretellingAt = 0;
  let foretellingTook = 0;
  let stalledLately = 0;
  const layerOf = ({ tensor }: NativeWeight) => layerOfTensor(tensor)!;
  /** Experts of a model that has all of its own in memory. */
  const isKept = (stacks: readonly NativeWeight[]) => layerOfTensor(stacks[0]!.tensor) === undefined;
  const kept: Promise<void>[] = [];

  const numberOf = (stacks: readonly NativeWeight[], matrix: number) =>
    layerOf(stacks[0]!) * stacks[0]!.matrices + matrix;

  const standIns = createStandIns(experts, counters, numberOf);
  /** Tokens of the pass. */
  let tokens = 0;
  let rows = scratchRows(0, 1);
  const settle = () => {
    experts.forgetDropped();
    const bytes = govern?.({ ...experts.state(), rows });
    if (bytes !== undefined) experts.limit(bytes);
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
        // What was foretold wrongly keeps the drive from what is foretold next.
        for (const matrix of foretold.absent) if (!some.includes(matrix)) experts.drop(numberOf(stacks, matrix));
      }
      const found = some.filter((_, i) => {
        const expert = experts.get(numbers[i]!);
        counters.asked++;
        if (expert?.ahead) {
          expert.ahead = false;
          counters.aheadAsked++;
        }
        if (expert?.there === false) counters.coming++;
        if (!expert?.there || !experts.hold(numbers[i]!)) return true;
        counters.there++;
        return false;
      });
      account(layer, some, found.length > 0, foretold);
      experts.offer();
      return found;
    },
    async fetch(stacks, matrix, wanted) {
      const number = numberOf(stacks, matrix);
      for (;;) {
        if (!wanted()) throw new GrokError("cancelled", "an expert that nobody wants any more");
        const known = experts.get(number);
        if (known?.dropped) {
          await known.loaded.catch(() => {});
          continue;
        }
        if (known !== undefined && experts.hold(number)) {
          native.hurry(known.slot);
          return known.loaded;
        }
        const begun = experts.begin(number, stacks, matrix, "asked");
        if (begun !== undefined) return begun.loaded;
        await experts.room();
      }
    },
    coming(stacks, matrix) {
      const known = experts.get(numberOf(stacks, matrix));
      // The first hold, which is its reader's, still stands.
      return known?.pending === true && !known.dropped;
    },
    release(stacks, some) {
      if (isKept(stacks)) return;
      for (const matrix of some) experts.letGo(numberOf(stacks, matrix));
      experts.offer();
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
      const absent = some.filter((matrix) => experts.get(numberOf(stacks, matrix)) === undefined);
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
        if (experts.get(number) !== undefined) continue;
        const begun = attempt(() => experts.begin(number, stacks, matrix, "foretold"));
        if (begun === undefined) return;
        counters.ahead++;
        // It may be given up again as soon as it is there.
        begun.loaded.then(
          () => experts.letGo(number),
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
      if (lossy === undefined || tokens > mostLossyTokens || isKept(stacks)) return;
      const resident = Array.from({ length: stacks[0]!.matrices }, (_, i) => {
        const expert = experts.get(numberOf(stacks, i));
        // Where nobody waits what is on its way is of no use yet.
        return expert !== undefined && (expert.there || standIn === undefined);
      });
      const lost = loseRouting(routing, resident, lossy);
      counters.changed += lost.changed;
      counters.leftOut += lost.leftOut;
    },
    standIns: (stacks, absent) => (tokens > mostLossyTokens ? [] : standIns.take(stacks, absent)),
    begin(count) {
      tokens = count;
      const next = scratchRows(rows, tokens);
      // Memory is given back before it is taken for something else.
      if (next < rows) scratch.release();
      rows = next;
      settle();
    },
    govern: settle,
  };
}
