import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LossyResult, LossyRow } from "../../src/eval/lossy.ts";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { type LanguageModel, type LoadOptions, loadModel, measureLossy } from "../../src/index.ts";
import { programBytes } from "../../src/memory/budget.ts";
import { readConfig } from "../../src/model/config.ts";
import { makeAdapter } from "../../src/model/lora/lora.case.ts";
import { listModules } from "../../src/model/lora/modules.ts";
import { writeAdapter } from "../../src/model/lora/write.ts";
import { grok1 } from "../cli/grok1.ts";
import { withoutAddon } from "../support/addon.ts";
import { putTogether, takeApart } from "../support/gguf-parts.ts";

const stories = resolve(import.meta.dirname, "../../models/grok1-stories-q8_0.gguf");

const folder = mkdtempSync(join(tmpdir(), "grok1-streamed-"));
const copy = join(folder, "q2_k.gguf");
beforeAll(async () => {
  const { status } = await grok1(["quantize", stories, copy, "--type", "Q2_K", "--requantize"]);
  expect(status).toBe(0);
});
/** What is planned for the program is taken, so that nothing of it is lent to experts: all of a model this small would fit. */
const program = Buffer.alloc(programBytes, 1);
afterAll(() => {
  program.fill(0);
  rmSync(folder, { recursive: true });
});

/** The least memory that a model runs in, and so much more. */
async function tightMemory(path: string, more: number, options: LoadOptions): Promise<number> {
  const refused: unknown = await loadModel(path, { ...options, memory: 1 }).catch((error) => error);
  return (refused as { readonly details: { readonly needed: number } }).details.needed + more;
}

/** A file's model in two files, of which the second has the experts. */
function split(path: string): string {
  const file = openGguf(path);
  const { keys, tensors } = takeApart(file);
  file.close();
  const u16 = (name: string, value: number) => ({ name, type: "u16", value: Uint8Array.of(value, 0) }) as const;
  const names = [1, 2].map((part) => join(folder, `split-0000${part}-of-00002.gguf`)) as [string, string];
  for (const [no, name] of names.entries()) {
    const own = tensors.filter((tensor) => tensor.name.includes("_exps") === (no === 1));
    const counts = [u16("split.no", no), u16("split.count", 2), u16("split.tensors.count", tensors.length)];
    writeFileSync(name, putTogether({ keys: [...(no === 0 ? keys : []), ...counts], tensors: own }));
  }
  return names[0];
}

/** A short answer, by its bits. */
async function answer(model: LanguageModel, options: object = {}) {
  const request = { temperature: 0, maxTokens: 12, ignoreEnd: true, logprobs: 0, ...options };
  const { tokens, logprobs } = await model.generate("The dog ran to the park and", request).result;
  return { tokens, logprobs };
}

describe.skipIf(withoutAddon !== "")(`a model that is larger than its memory${withoutAddon}`, () => {
  it("gives the same text with drafts as without, and as in memory", async () => {
    const options = { threads: 2, contextLength: 512 } as const;
    const memory = await tightMemory(stories, 3e6, options);
    await using whole = await loadModel(stories, { ...options, speculate: false });
    await using plain = await loadModel(stories, { ...options, memory, speculate: false });
    await using drafting = await loadModel(stories, { ...options, memory });
    await using always = await loadModel(stories, { ...options, memory, speculate: { always: true } });
    const prompt = "The dog ran to the park. The cat ran to the park. The dog ran to the park. The cat ran to";
    for (const temperature of [0, 0.7]) {
      const request = { temperature, seed: 4, maxTokens: 20, ignoreEnd: true, logprobs: 0 };
      const expected = await whole.generate(prompt, request).result;
      for (const model of [plain, drafting, always]) {
        const { tokens, logprobs } = await model.generate(prompt, request).result;
        expect(tokens).toEqual(expected.tokens);
        expect(logprobs).toEqual(expected.logprobs);
      }
    }
    const { experts } = await always.status();
    expect(experts!.there).toBeLessThan(experts!.asked);
    // Tokens after one another are more alike than chance is, and not the same.
    const { asked, repeated } = (await plain.status()).experts!;
    expect(repeated).toBeGreaterThan(asked / 4);
    expect(repeated).toBeLessThan(asked);
  });

  it("reads each expert once for a prompt that is one chunk, also beside other requests", async () => {
    const options = { threads: 2, contextLength: 512, cacheTokens: 2048, batchTokens: 400 } as const;
    const memory = await tightMemory(stories, 1e6, options);
    await using model = await loadModel(stories, { ...options, memory });
    const asked = async () => (await model.status()).experts!.asked;
    // 6 layers of 8.
    const once = 6 * 8;
    expect((await model.bench({ prefill: 400, decode: 0, cold: true })).prefillSeconds).toHaveLength(1);
    expect(await asked()).toBeLessThanOrEqual(once);
    const tokens = Array.from({ length: 399 }, (_, i) => 300 + ((i * i) % 3000));
    const before = await asked();
    await Promise.all([1, 2].map((first) => model.logprobs([first, ...tokens], { from: 399 })));
    expect((await asked()) - before).toBeLessThanOrEqual(3 * once);
  });

  it("gives the same text with a copy in fewer bits that drafts, and reads less for it", async () => {
    const options = { threads: 2, contextLength: 512 } as const;
    const memory = await tightMemory(stories, 3e6, options);
    // Its experts are kept also where they lie in a file of their own.
    const draft = split(copy);
    const drafted = await tightMemory(stories, 3e6, { ...options, draft });
    // The copy, and its keys and values, are within the bound too.
    expect(drafted - memory).toBeGreaterThan(5e6);
    await using plain = await loadModel(stories, { ...options, memory, speculate: false });
    // Whether it pays in time depends on the drive.
    const speculate = { always: true, draftTokens: 7 };
    await using drafting = await loadModel(stories, { ...options, memory: drafted, draft, speculate });
    const prompt = plain.encodeChat([
      { role: "user", content: "Write a story about a cat who sails across the ocean." },
    ]);
    const read = async (model: typeof plain) => (await model.status()).experts!.bytesRead;
    for (const temperature of [0, 0.5]) {
      const request = { temperature, seed: 4, maxTokens: temperature > 0 ? 20 : 80, ignoreEnd: true, logprobs: 0 };
      const before = [await read(plain), await read(drafting)] as const;
      const expected = await plain.generate(prompt, request).result;
      const { tokens, logprobs, usage } = await drafting.generate(prompt, request).result;
      expect(tokens).toEqual(expected.tokens);
      expect(logprobs).toEqual(expected.logprobs);
      if (temperature > 0) continue;
      expect(usage.acceptedTokens).toBeGreaterThan(40);
      const [alone, together] = [(await read(plain)) - before[0], (await read(drafting)) - before[1]];
      expect(together).toBeLessThan(0.75 * alone);
    }
  });

  it("has a copy's experts in the place of those that are not in memory, within the same bound", async () => {
    const options = { threads: 2, contextLength: 512, speculate: false } as const;
    const lossy = { standIn: copy };
    const [alone, beside] = [
      await tightMemory(stories, 3e6, options),
      await tightMemory(stories, 3e6, { ...options, lossy }),
    ];
    // 2.6 bits of what the model has in 8.5.
    expect(beside - alone).toBeGreaterThan(3e6);
    expect(beside - alone).toBeLessThan(4.5e6);
    // One file that drafts and stands in is there once.
    const draft = await tightMemory(stories, 3e6, { ...options, draft: copy });
    expect(await tightMemory(stories, 3e6, { ...options, draft: copy, lossy })).toBe(draft);

    await using model = await loadModel(stories, { ...options, memory: beside, lossy });
    const request = { temperature: 0, maxTokens: 40, ignoreEnd: true };
    const { tokens } = await model.generate("Once upon a time there was a dog", request).result;
    expect(tokens).toHaveLength(40);
    const { asked, there, stoodIn, bytesRead, usedBytes, bytes } = (await model.status()).experts!;
    expect(stoodIn).toBe(asked - there);
    expect([there > 0, stoodIn > 0, bytesRead > 0, usedBytes <= bytes]).toEqual([true, true, true, true]);

    // Nothing stands in for what is there.
    await using whole = await loadModel(stories, { ...options, lossy });
    await using plain = await loadModel(stories, options);
    expect(await answer(whole)).toEqual(await answer(plain));
    expect((await whole.status()).experts).toBeUndefined();
  });

  it("says what is wrong with a measuring of losses before it begins", async () => {
    const turns: number[] = [];
    for (const [options, why] of [
      [{}, "lossy: the options are undefined"],
      [{ lossy: { skipSecond: 2 } }, "skipSecond"],
      [{ lossy: { skipSecond: 0.1 }, load: { lossy: { skipSecond: 1 } } }, "load has lossy"],
      [{ lossy: { skipSecond: 0.1 }, load: 3 }, "load is 3"],
      [{ lossy: { standIn: join(folder, "none.gguf") } }, "none.gguf: cannot open"],
      [{ lossy: { standIn: stories } }, "it is the same file"],
    ] as const) {
      const measuring = measureLossy(stories, "text", {
        ...options,
        onTurn: ({ done }: { done: number }) => turns.push(done),
      } as never);
      await expect(measuring).rejects.toMatchObject({ message: expect.stringContaining(why) });
    }
    expect(turns).toEqual([]);
  });

  it("measures what is lost beside what is gained, with each option and all of them", async () => {
    const lossy = { skipSecond: 1, standIn: copy };
    const memory = await tightMemory(stories, 3e6, { threads: 2, contextLength: 24, lossy });
    const options = ["--threads", "2", "-p", "16", "-n", "8", "-r", "1", "--lossy", `stand-in=${copy}`];
    const bench = ["bench", stories, ...options, "--lossy", "skip-second=1", "--json"];
    const { status, stdout, stderr } = await grok1([...bench, "--memory", `${memory}`]);
    expect([status, stderr]).toEqual([0, ""]);
    const { rows } = JSON.parse(stdout) as LossyResult;
    expect(rows.map((row) => row.lossy)).toEqual([{}, { standIn: copy }, { skipSecond: 1 }, lossy]);
    const [exact, standsIn, skips, both] = rows as [LossyRow, LossyRow, LossyRow, LossyRow];
    expect(exact).toMatchObject({ gain: 1, perplexityRatio: 1, divergence: { mean: 0, error: 0 }, sameTop: 1 });
    expect(exact).toMatchObject({ changed: 0, leftOut: 0, stoodIn: 0 });
    expect(exact.bytesPerToken).toBeGreaterThan(0);
    expect(standsIn.expertBytes).toBeLessThan(exact.expertBytes - 3e6);
    expect(standsIn.stoodIn).toBeCloseTo(1 - standsIn.hits, 9);
    expect([standsIn.waited, standsIn.leftOut, skips.stoodIn]).toEqual([0, 0, 0]);
    for (const row of [standsIn, skips, both]) {
      expect(row.divergence.mean).toBeGreaterThan(0);
      expect(row.perplexity).toBeCloseTo(exact.perplexity * row.perplexityRatio, 6);
    }
    expect(skips.bytesPerToken).toBeLessThan(exact.bytesPerToken);
    for (const row of [skips, both]) expect(row.leftOut).toBeGreaterThan(0);

    const text = join(folder, "short.txt");
    writeFileSync(text, "The dog ran.");
    for (const [args, why] of [
      [["--memory", `${memory}`, "-f", text], "the text has"],
      [["--memory", "8G"], "all of it is in memory, where nothing is lost"],
      [["--cold"], "--cold has no effect with --lossy"],
    ] as const) {
      expect(await grok1([...bench, ...args])).toMatchObject({ status: 2, stderr: expect.stringContaining(why) });
    }
  });

  it("refuses what cannot stand in, by name", async () => {
    const [grok, second, other] = ["grok-1", "grok-2", "mixtral"].map((name) =>
      join(import.meta.dirname, `../vectors/models/${name}.gguf`),
    ) as [string, string, string];
    for (const [model, standIn, why] of [
      [grok, second, /grok-2\.gguf cannot stand in for .*grok-1\.gguf: it has \d+ .*, expected \d+/],
      [grok, other, /mixtral\.gguf cannot stand in for .*: it is a llama model, expected grok/],
      [grok, stories, /it has a vocabulary of 4096 tokens, expected 288/],
      [stories, stories, /it is the same file/],
    ] as const) {
      await expect(loadModel(model, { lossy: { standIn } })).rejects.toMatchObject({
        code: "argument",
        message: expect.stringMatching(why),
        details: expect.objectContaining({ option: "lossy" }),
      });
    }
    await expect(loadModel(stories, { lossy: { standIn: join(folder, "none") } })).rejects.toMatchObject({
      code: "io",
    });
    const memory = await tightMemory(stories, 1e6, { contextLength: 128 });
    await expect(loadModel(stories, { contextLength: 128, memory, lossy: { standIn: copy } })).rejects.toMatchObject({
      code: "capacity",
      message: expect.stringContaining("of experts that stand in"),
    });
    await expect(loadModel(stories, { backend: "reference", lossy: { skipSecond: 0.1 } })).rejects.toThrow(
      "lossy has nothing to lose with the reference backend",
    );
  });

  it("gives the same bits with an adapter beside it as in memory, and as itself without", async () => {
    const adapter = join(folder, "adapter");
    const file = openGguf(stories);
    const { terms } = makeAdapter(listModules(file), { rank: 4, alpha: 8, size: 0.05 });
    await writeAdapter(adapter, { terms, rank: 4, alpha: 8, base: stories, headSize: readConfig(file).headSize });
    file.close();
    const options = { threads: 2, contextLength: 128, adapters: [{ path: adapter }] } as const;
    const memory = await tightMemory(stories, 3e6, options);
    await using whole = await loadModel(stories, options);
    await using streamed = await loadModel(stories, { ...options, memory });
    const [adapted, plain] = [await answer(whole), await answer(whole, { adapters: [] })];
    expect(adapted.logprobs).not.toEqual(plain.logprobs);
    expect(await answer(streamed)).toEqual(adapted);
    expect(await answer(streamed, { adapters: [] })).toEqual(plain);
    const { there, asked } = (await streamed.status()).experts!;
    expect(there).toBeLessThan(asked);
  });

  it("answers as in memory while another is read from the drive too", async () => {
    const options = { threads: 1, contextLength: 128 } as const;
    const expected = [];
    for (const path of [stories, copy]) {
      await using whole = await loadModel(path, options);
      expected.push(await answer(whole));
    }
    await using first = await loadModel(stories, { ...options, memory: await tightMemory(stories, 1e6, options) });
    await using second = await loadModel(copy, { ...options, memory: await tightMemory(copy, 1e6, options) });
    expect(await Promise.all([first, second].map((model) => answer(model)))).toEqual(expected);
    for (const model of [first, second]) {
      const { there, asked } = (await model.status()).experts!;
      expect(there).toBeLessThan(asked);
    }
  });

  it("refuses a model that speaks in other tokens, or is the same, as one that drafts", async () => {
    const other = join(import.meta.dirname, "../vectors/models/mixtral.gguf");
    for (const [draft, why] of [
      [other, /mixtral\.gguf cannot draft for .*it has a vocabulary of \d+ tokens, expected 4096/],
      [stories, /it is the same file/],
    ] as const) {
      await expect(loadModel(stories, { draft })).rejects.toMatchObject({
        code: "argument",
        message: expect.stringMatching(why),
        details: expect.objectContaining({ option: "draft" }),
      });
    }
    await expect(loadModel(stories, { draft: join(folder, "none.gguf") })).rejects.toMatchObject({ code: "io" });
    expect(await grok1(["run", "-m", stories, "--draft", copy, "--no-speculation", "-p", "x"])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("--draft has no effect with --no-speculation"),
    });
  });
});
