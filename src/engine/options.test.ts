import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { processorLimit } from "../machine/limits.ts";
import type { ModelConfig } from "../model/model.ts";
import { checkNames } from "../options.ts";
import { openBackend, usefulThreads } from "./backend.ts";
import type { EngineOptions } from "./options.ts";
import { settleEngineOptions } from "./options.ts";
import { startEngine } from "./thread/start.ts";

const config = { contextLength: 65_536, layers: 4, kvHeads: 2, headSize: 48 } as ModelConfig;
const resolve = (options: object) =>
  settleEngineOptions(options as EngineOptions, { kvType: "f32" }, config, { path: "a.gguf", memory: 2 ** 30 });
const refused = (option: string) => expect.objectContaining({ code: "argument", details: { option } });
const refusedValue = (option: string) =>
  expect.objectContaining({ code: "argument", details: expect.objectContaining({ option }) });

describe("engine options", () => {
  it("take speculation as a boolean or an object of whole numbers, and nothing else", () => {
    for (const speculate of [true, false, {}, { draftTokens: 15 }, { always: true, draftTokens: 1 }]) {
      expect(resolve({ speculate }).speculate).toEqual(speculate);
    }
    for (const speculate of ["x", "", 0, 1, null, [], Symbol("x"), () => 1]) {
      expect(() => resolve({ speculate })).toThrow(refused("speculate"));
    }
    for (const draftTokens of [0, 16, 1.5, Number.NaN, "3", null, {}]) {
      expect(() => resolve({ speculate: { draftTokens } })).toThrow(refusedValue("draftTokens"));
    }
    expect(() => resolve({ speculate: { always: "yes" } })).toThrow(refused("always"));
    expect(() => resolve({ speculate: { draftToken: 3 } })).toThrow(/draftToken, did you mean draftTokens/);
  });

  it("refuse backends that do not exist, and impossible numbers of threads", async () => {
    for (const backend of ["nope", "", "Native", null, 5]) {
      await expect(openBackend({ backend: backend as never, threads: 1 })).rejects.toThrow(refusedValue("backend"));
    }
    for (const threads of [0, -1, 1.5, 1025, Number.NaN, "2"]) {
      await expect(openBackend({ threads: threads as never })).rejects.toThrow(refusedValue("threads"));
    }
    expect(await openBackend({ backend: "reference", threads: 1 })).toMatchObject({
      ops: { backend: "reference" },
      isa: undefined,
    });
    await expect(openBackend({ backend: "reference", threads: 1, isa: "scalar" })).rejects.toThrow(refusedValue("isa"));
  });

  it("keep keys and values within the memory, and name the file whose heads a type does not fit", () => {
    // 4 layers of 2 heads of 48 in 4 bytes: 3072 bytes a token, 174,762 of which fill half of 2^30.
    expect(resolve({})).toMatchObject({ contextLength: 8192, cacheTokens: 43_690 });
    const within = (memory: number, options = {}) =>
      settleEngineOptions(options, { kvType: "f32" }, config, { path: "a.gguf", memory });
    expect(within(2 ** 26)).toMatchObject({ contextLength: 8192, cacheTokens: 10_922 });
    expect(within(2 ** 24)).toMatchObject({ contextLength: 2730, cacheTokens: 2730 });
    expect(within(2 ** 24, { contextLength: 5000 })).toMatchObject({ contextLength: 5000, cacheTokens: 5000 });
    expect(() => within(2 ** 24, { contextLength: 6000 })).toThrow(
      expect.objectContaining({
        code: "capacity",
        details: expect.objectContaining({ option: "contextLength", most: 5461 }),
        message: expect.stringMatching(/^contextLength is 6000: keys and values of as many tokens of a\.gguf take/),
      }),
    );
    expect(within(2 ** 24, { contextLength: 5461 })).toMatchObject({ cacheTokens: 5461 });
    expect(() => within(2 ** 24, { contextLength: 100, cacheTokens: 6000 })).toThrow(
      /^cacheTokens is 6000: .* a\.gguf/,
    );
    for (const kvType of ["q8_0", "q4_0"]) {
      expect(() => resolve({ kvType })).toThrow(
        /^kvType is q._0, of blocks of 32, .* heads of a\.gguf have 48 elements/,
      );
    }
  });

  it("never ask for more threads than there are processors", () => {
    expect(usefulThreads(1)).toBe(1);
    expect(usefulThreads(1000)).toBe(processorLimit());
    expect(usefulThreads(-1)).toBe(-1);
  });

  it("that cannot cross to the thread are refused", async () => {
    const starting = startEngine("model.gguf", { contextLength: (() => 5) as never });
    await expect(starting).rejects.toMatchObject({ name: "GrokError", code: "argument" });
  });
});

describe("names of options", () => {
  const known = ["temperature", "topK", "topP", "maxTokens"];

  it("are known, or refused with the nearest one", () => {
    checkNames("generate", { topK: 1, maxTokens: undefined }, known);
    for (const [slip, nearest] of [
      ["tempreature", "temperature"],
      ["top_p", "topP"],
      ["max_tokens", "maxTokens"],
      ["topk", "topK"],
    ] as const) {
      expect(() => checkNames("generate", { [slip]: 1 }, known)).toThrow(
        expect.objectContaining({ code: "argument", details: { option: slip, nearest } }),
      );
    }
    expect(() => checkNames("generate", null, known)).toThrow(expect.objectContaining({ code: "argument" }));
  });

  it("find their way back from one slip", () => {
    fc.assert(
      fc.property(fc.constantFrom(...known), fc.nat(20), fc.constantFrom("", "_", "x"), (name, at, put) => {
        const slip = name.slice(0, at % name.length) + put + name.slice((at % name.length) + 1);
        fc.pre(slip !== name && !/^top.?$/i.test(slip));
        expect(() => checkNames("generate", { [slip]: 1 }, known)).toThrow(`did you mean ${name}?`);
      }),
    );
  });
});
