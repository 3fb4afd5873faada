import { readdirSync, readFileSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import { withoutAddon } from "../../../test/support/addon.ts";
import { type Addon, loadAddon } from "../../addon.ts";
import { createNative } from "./native.ts";

const state = loadAddon();

/** Linux's own name, length of its turns on a processor (ns): of each thread of this process. */
function turns(): readonly { readonly name: string; readonly turn: number }[] {
  return readdirSync("/proc/self/task").map((thread) => {
    const read = (file: string) => readFileSync(`/proc/self/task/${thread}/${file}`, "utf8");
    return { name: read("comm").trim(), turn: Number(/^se\.slice +: +(\d+)/m.exec(read("sched"))?.[1]) };
  });
}

function turnsAreTold(): boolean {
  try {
    return turns().every(({ turn }) => turn > 0);
  } catch {
    return false;
  }
}

const why = turnsAreTold() ? withoutAddon : " (skipped: this system does not tell how long a thread's turns are)";

// With turns of the system's own length and sixteen busy processes beside them, each barrier took 7 ms.
it.skipIf(!state.addon || !turnsAreTold())(`threads that meet at barriers ask for short turns${why}`, async () => {
  const ops = createNative(state.addon as Addon, { threads: 3 });
  afterAll(() => ops.close());
  const workers = () => turns().filter(({ name }) => name === "grok1-compute");
  await expect.poll(() => workers().length, { timeout: 10_000 }).toBe(2); // each gives itself its name
  for (const { turn } of workers()) expect(turn).toBe(100_000);
});
