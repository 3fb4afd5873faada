import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import type { LanguageModel } from "../generate/types.ts";
import { createModelHost, type ModelHostOptions } from "./models.ts";

/** Models that are names, and what was done with them, in order. */
function host(options: Partial<ModelHostOptions> = {}) {
  const done: string[] = [];
  let there = 0;
  let most = 0;
  const models = ["a", "b", "c"].map((name) => ({
    ...{ name, file: `${name}.gguf` },
    async load() {
      most = Math.max(most, ++there);
      done.push(`load ${name}`);
      await pause(1);
      const close = async () => {
        await pause(1);
        there--;
        done.push(`close ${name}`);
      };
      return { path: name, close } as LanguageModel;
    },
  }));
  const hosted = createModelHost({ models, atOnce: 1, ...options });
  const use = async (name: string, keepSeconds?: number) => {
    const one = await hosted.use(name, new AbortController().signal, keepSeconds);
    expect(one.model.path).toBe(name);
    return one;
  };
  return { hosted, use, done, most: () => most };
}

describe("models", () => {
  it("are loaded when first asked for, once, and given back when another needs the place", async () => {
    const { hosted, use, done } = host();
    const both = await Promise.all([use("a"), use("a")]);
    for (const one of both) one[Symbol.dispose]();
    (await use("b"))[Symbol.dispose]();
    expect(done).toEqual(["load a", "close a", "load b"]);
    expect(hosted.loaded()).toMatchObject([{ name: "b", users: 0 }]);
    await hosted.close();
    expect(done.at(-1)).toBe("close b");
  });

  it("are each had in turn, though the one that is there is asked for all the time", async () => {
    const { hosted, use, done, most } = host();
    const order: string[] = [];
    let ends = 0;
    /** Asks for a again and again, so that it is always in use. */
    const keepOn = async () => {
      while (!order.includes("c") && ++ends < 500) {
        using _ = await use("a");
        order.push("a");
        await pause(2);
      }
    };
    const ask = async (name: string) => {
      using _ = await use(name);
      order.push(name);
    };
    const on = Promise.all([keepOn(), pause(1).then(keepOn)]);
    await pause(5);
    await Promise.all([ask("b"), ask("b"), ask("c"), on]);
    const [b, c] = [order.indexOf("b"), order.indexOf("c")];
    expect(order[b + 1]).toBe("b");
    expect(b).toBeLessThan(c);
    expect(done.filter((what) => what === "load b")).toHaveLength(1);
    expect(most()).toBe(1);
    await hosted.close();
  });

  it("are given back when nobody asked for so long, or as the last request said", async () => {
    const { hosted, use, done } = host({ atOnce: 3, idleSeconds: 0.02 });
    (await use("a"))[Symbol.dispose]();
    (await use("b", -1))[Symbol.dispose]();
    const [one, two] = [await use("c", 0), await use("c")];
    one[Symbol.dispose]();
    await vi.waitFor(() => expect(done).toContain("close a"));
    expect(done).not.toContain("close c");
    two[Symbol.dispose]();
    await vi.waitFor(() => expect(done).toContain("close c"));
    // What was said of one that is gone does not hold for the next.
    (await use("c"))[Symbol.dispose]();
    expect(hosted.loaded().map(({ name }) => name)).toEqual(["b", "c"]);
    await vi.waitFor(() => expect(done.filter((what) => what === "close c")).toHaveLength(2));
    expect(hosted.loaded().map(({ name }) => name)).toEqual(["b"]);
    await hosted.close();
  });

  it("are not waited for by who leaves, nor after the end", async () => {
    const { hosted, use } = host();
    const held = await use("a");
    const leaving = new AbortController();
    const left = hosted.use("b", leaving.signal);
    const behind = use("a");
    leaving.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    (await behind)[Symbol.dispose]();
    const waits = hosted.use("c", new AbortController().signal);
    const ended = hosted.close();
    await expect(waits).rejects.toMatchObject({ code: "busy" });
    held[Symbol.dispose]();
    await ended;
    await expect(use("a")).rejects.toMatchObject({ code: "busy" });
  });

  it("that cannot be loaded hold up nobody", async () => {
    let fails = true;
    const load = async () => {
      await pause(1);
      if (fails) throw new Error("damaged");
      return { path: "a", close: async () => undefined } as LanguageModel;
    };
    const models = [{ name: "a", file: "a", load }, { name: "b", file: "b", load }]; // biome-ignore format: a pair
    const hosted = createModelHost({ models, atOnce: 1 });
    const { signal } = new AbortController();
    const asked = ["a", "a", "b", "a"].map((name) => hosted.use(name, signal));
    for (const { status } of await Promise.allSettled(asked)) expect(status).toBe("rejected");
    fails = false;
    (await hosted.use("b", signal))[Symbol.dispose]();
    await hosted.close();
  });
});
