import type { AddonBackend, ReadFault } from "../../addon-backend.ts";
import { createChangeCheck } from "../../bytes/change-check.ts";
import type { DataFile } from "../../bytes/data-file.ts";
import { ioError } from "../../bytes/io-error.ts";
import { GrokError } from "../../errors.ts";
import type { FilePlace, Place } from "../../tensor/tensor.ts";
import type { FileCopies } from "./weight.ts";

/** A place of a file and where it goes in a slot: the blocks around it from `at` on, its own first byte to `first`. */
export interface SlotPart {
  readonly place: FilePlace;
  readonly at: number;
  readonly first: number;
}

/** Reads of files into slots, each checked. */
export interface SlotReads {
  /**
   * Reads places into a slot. All that was begun is over when it settles: nobody writes to the slot any more.
   * @param what For messages.
   * @throws GrokError `io` naming file and place, `cancelled` for what was dropped, with the bytes that were `begun`.
   */
  fill(slot: number, parts: readonly SlotPart[], what: string, ahead: boolean): Promise<void>;
  /** What could not be read from one copy of a file, and was from another: the last time, with file and place. */
  readonly problem: string | undefined;
  /** How many slots were filled since this was called last, the milliseconds that files were read for it, and when all was there that was waited for. */
  take(): { readonly reads: number; readonly busy: number; readonly neededUntil: number };
}

const block = 4096;
const roundUp = (bytes: number) => Math.ceil(bytes / block) * block;

/** Where the blocks around each place go in a slot, one after another, and the bytes that the slot has for that. */
export function layOut(places: readonly Place[]): { readonly parts: readonly SlotPart[]; readonly bytes: number } {
  let at = 0;
  const parts = places.map((place) => {
    if ("memory" in place) throw new GrokError("internal", "what lies in memory was to be loaded from a file");
    const part = { place, at, first: at + (place.offset % block) };
    at += roundUp((place.offset % block) + place.bytes);
    return part;
  });
  return { parts, bytes: at };
}

/** @param open Source of a file for {@link AddonBackend.load}, which reads `copies` of it too. */
export function createSlotReads(
  native: AddonBackend,
  open: (file: DataFile) => number,
  copies: FileCopies = new Map(),
): SlotReads {
  const drive = createDriveClock();
  let problem: string | undefined;
  const checkUnchanged = createChangeCheck();
  return {
    async fill(slot, parts, what, ahead) {
      const began = performance.now();
      let took = 0;
      const read = parts.map(async ({ place, at }) => {
        const { file, offset, bytes } = place;
        const all = [file, ...(copies.get(file) ?? [])];
        try {
          const reading = await native.load(open(file), offset, bytes, slot, at, ahead);
          took = Math.max(took, reading.took);
          if (reading.fault) problem = readError(reading.fault, what, place, all).message;
        } catch (error) {
          throw readError(error, what, place, all);
        }
        for (const each of all) checkUnchanged(each, `${what} at byte ${offset}`);
      });
      const settled = await Promise.allSettled(read);
      const failures = settled.flatMap((each) => (each.status === "rejected" ? [each.reason as GrokError] : []));
      const failed = failures.find(({ code }) => code !== "cancelled");
      if (failed !== undefined) throw failed;
      if (failures.length > 0) {
        const begun = parts.map(({ place }, i) => {
          const each = settled[i]!;
          return each.status === "fulfilled" ? place.bytes : Number((each.reason as GrokError).details.begun);
        });
        const sum = begun.reduce((all, bytes) => all + bytes, 0);
        throw new GrokError("cancelled", `${what} is not wanted any more`, { begun: sum }, failures[0]);
      }
      drive.read(began, began + took, ahead);
    },
    take: drive.take,
    get problem() {
      return problem;
    },
  };
}

/** When the drive read, in milliseconds: reads that overlap count once. */
function createDriveClock() {
  let busyUntil = 0;
  let neededUntil = 0;
  let busy = 0;
  let reads = 0;
  return {
    /** Something was read from `began` to `ended`; heard of in any order. */
    read(began: number, ended: number, ahead: boolean) {
      reads++;
      busy += Math.max(0, ended - Math.max(began, busyUntil));
      busyUntil = Math.max(busyUntil, ended);
      if (!ahead) neededUntil = Math.max(neededUntil, ended);
    },
    /** What was read since this was called last, and when all was there that was waited for. */
    take() {
      const taken = { reads, busy, neededUntil };
      busy = 0;
      reads = 0;
      return taken;
    },
  };
}

/** `files` are those that have the place. */
function readError(error: unknown, what: string, { offset }: FilePlace, files: readonly DataFile[]): GrokError {
  const { code, at = 0, drive = 0 } = error as Partial<Pick<ReadFault, "at" | "drive">> & { readonly code?: string };
  if (code === "ERR_CLOSED") return new GrokError("cancelled", `${what} is not wanted any more`, { begun: at }, error);
  const where = Math.max(offset, Math.floor(offset / block) * block + at);
  return ioError(`read ${what} at byte ${where}`, files[drive]!.path, error);
}
