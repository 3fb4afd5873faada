import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { collect, expectAllFree, greedy, nextId, start } from "./core.case.ts";
import { greedyOracle } from "./fake-model.case.ts";
import { openPageFiles, type PageFiles } from "./saved/page-files.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-saved-"));
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => rmSync(folder, { recursive: true }));

const shared = Array.from({ length: 42 }, (_, i) => (i * 7) % 11);
const tokens = [...shared, 1, 2];

interface Begun {
  readonly identity?: string;
  readonly cacheTokens?: number;
  readonly batchTokens?: number;
  readonly bytes?: number;
  readonly wrap?: (files: PageFiles) => PageFiles;
}

/** A core over the folder, as after a start of the program. */
async function begin({ identity = "model", bytes = 2 ** 20, wrap = (files) => files, ...options }: Begun = {}) {
  const files = await openPageFiles({ folder, bytes, pause: 5 });
  const saved = { files: wrap(files), identity: (root: string) => `${identity} ${root}` };
  return { ...start({ cacheTokens: 256, ...options, saved }), files };
}

const ask = async (core: Awaited<ReturnType<typeof begin>>["core"], asked = tokens) => {
  const result = await collect(core, { tokens: asked, maxTokens: 6, ...greedy });
  expect(result.tokens).toEqual(greedyOracle(asked, 6));
  return result.cachedTokens;
};

describe("beginnings in files", () => {
  it("are there after a restart, for the same model and adapters alone, and are saved once", async () => {
    const first = await begin();
    expect(await ask(first.core)).toBe(0);
    await first.core.close();
    // All full pages of 44 tokens and of those generated, but for the last, which was not computed.
    expect(first.files.pages).toBe(Math.floor((44 + 5) / 4));
    const names = readdirSync(folder);
    const other = await begin({ identity: "another model" });
    expect(await ask(other.core)).toBe(0);
    await other.core.close();
    rmSync(folder, { recursive: true });

    const again = await begin();
    await ask(again.core);
    await again.core.close();
    expect(readdirSync(folder).sort()).toEqual(names.sort());
    const back = await begin();
    expect(await ask(back.core, [...shared, 3, 4, 5])).toBe(40);
    expect(await ask(back.core)).toBe(42);
    expect(back.core.status().saved).toEqual({ pages: back.files.pages, bytes: back.files.bytes, problem: undefined });
    expectAllFree(back.core);
    await back.core.close();
  });

  it("come back when memory was needed for others", async () => {
    const { core, files } = await begin({ cacheTokens: 64 });
    await ask(core);
    await vi.waitFor(() => expect(files.pages).toBe(12));
    for (let i = 0; i < 3; i++)
      await ask(
        core,
        Array.from({ length: 50 }, (_, at) => (at * (i + 2) + i) % 11),
      );
    expect(await ask(core)).toBeGreaterThanOrEqual(40);
    await core.close();
  });

  it("are read once for those that come together", async () => {
    const first = await begin();
    await ask(first.core);
    await first.core.close();
    let reads = 0;
    const wrap = (files: PageFiles): PageFiles => ({
      ...files,
      get pages() {
        return files.pages;
      },
      read: (key, length) => {
        reads++;
        return files.read(key, length);
      },
    });
    const { core, fake } = await begin({ wrap, cacheTokens: 1024 });
    const cached = await Promise.all(Array.from({ length: 8 }, (_, i) => ask(core, [...shared, i, 9])));
    expect(cached).toEqual(new Array(8).fill(40).map((length, i) => (i === 0 ? length : 42)));
    expect(reads).toBe(10);
    // The leader's last tokens and its own, and of each other its own: then their answers.
    expect(fake.batches.reduce((sum, { rows }) => sum + rows, 0)).toBe(2 + 8 * (2 + 5));
    await core.close();
  });

  it("can be waited for no longer: who is cancelled meanwhile ends at once", async () => {
    const first = await begin();
    await ask(first.core);
    await first.core.close();
    const wrap = (files: PageFiles): PageFiles => ({
      ...files,
      get pages() {
        return files.pages;
      },
      read: () => new Promise(() => undefined),
    });
    const { core } = await begin({ wrap });
    const id = nextId();
    const asked = collect(core, { tokens, ...greedy }, undefined, id);
    await new Promise((resolve) => setTimeout(resolve, 5));
    // Who begins otherwise is not held up by it.
    expect(await ask(core, [9, 8, 7])).toBe(0);
    core.cancel(id);
    expect(await asked).toMatchObject({ finishReason: "cancelled", generatedTokens: 0 });
    expectAllFree(core);
    const left = collect(core, { tokens, ...greedy });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.all([core.close(), expect(left).rejects.toMatchObject({ code: "cancelled" })]);
  });

  it("never change an answer, whatever becomes of the files and however memory and folder are bounded", async () => {
    const request = fc.record({
      alike: fc.nat(42),
      more: fc.array(fc.nat(10), { minLength: 1, maxLength: 10 }),
      maxTokens: fc.integer({ min: 1, max: 8 }),
      cancelled: fc.boolean(),
    });
    const run = fc.record({
      requests: fc.array(request, { minLength: 1, maxLength: 6 }),
      damage: fc.constantFrom("nothing", "nothing", "bytes", "loss", "swap"),
      cacheTokens: fc.integer({ min: 64, max: 256 }),
      batchTokens: fc.integer({ min: 2, max: 32 }),
      bytes: fc.constantFrom(300, 1000, 2 ** 20),
      place: fc.nat(1000),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(run, { minLength: 2, maxLength: 4 }), async (runs) => {
        rmSync(folder, { recursive: true, force: true });
        for (const { requests, damage, place, bytes, ...memory } of runs) {
          const { core, files } = await begin({ bytes, ...memory });
          await Promise.all(
            requests.map(async ({ alike, more, maxTokens, cancelled }) => {
              const asked = [...shared.slice(0, alike), ...more];
              const id = nextId();
              const result = collect(core, { tokens: asked, maxTokens, ...greedy }, undefined, id);
              if (cancelled) setTimeout(() => core.cancel(id), place % 3);
              const given = await result;
              expect(given.tokens).toEqual(greedyOracle(asked, given.tokens.length));
              if (!cancelled) expect(given.tokens).toHaveLength(maxTokens);
            }),
          );
          expectAllFree(core);
          await core.close();
          expect(files.bytes).toBeLessThanOrEqual(bytes);
          const names = readdirSync(folder);
          expect(names.every((name) => /^[0-9a-f]{64}\.kv$/.test(name))).toBe(true);
          const [one, two] = [names[place % names.length], names[(place + 1) % names.length]].map((name) =>
            join(folder, name ?? "none"),
          );
          if (names.length === 0 || damage === "nothing") continue;
          if (damage === "loss") rmSync(one!);
          else if (damage === "swap") writeFileSync(one!, readFileSync(two!));
          else writeFileSync(one!, readFileSync(one!).fill(place % 256, place % 88));
        }
      }),
      { numRuns: 40 },
    );
  });
});
