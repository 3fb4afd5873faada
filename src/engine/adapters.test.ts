import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { createReference } from "../kernels/reference/reference.ts";
import { readConfig } from "../model/config.ts";
import { adaptOps } from "../model/lora/apply.ts";
import { makeAdapter } from "../model/lora/lora.case.ts";
import { listModules } from "../model/lora/modules.ts";
import { writeAdapter } from "../model/lora/write.ts";
import { bindModel } from "../model/registry.ts";
import type { AdapterChoice, AdapterSource } from "./adapters.ts";
import { openAdapters } from "./adapters.ts";
import { createCore } from "./core.ts";

const file = openGguf(join(import.meta.dirname, "../../test/vectors/models/mixtral.gguf"));
const folder = mkdtempSync(join(tmpdir(), "grok1-adapters-"));
const sources = [1, 2].map((seed) => ({ name: `a${seed}`, path: join(folder, String(seed)) }));
beforeAll(async () => {
  for (const [i, { path }] of sources.entries()) {
    const { terms } = makeAdapter(listModules(file), { rank: 4, alpha: 8, size: 0.4, seed: i + 1 });
    await writeAdapter(path, { terms, rank: 4, alpha: 8, base: "base", headSize: readConfig(file).headSize });
  }
});
afterAll(() => {
  file.close();
  rmSync(folder, { recursive: true });
});

function start(given: readonly AdapterSource[] = sources) {
  const ops = createReference();
  const adapted = adaptOps(ops);
  const adapters = openAdapters(adapted, file, given);
  const model = bindModel(adapted.ops, file);
  const core = createCore(
    adapted.ops,
    model,
    {
      ...{ contextLength: 32, cacheTokens: 256, kvType: "f32", batchTokens: 64, speculate: true },
    },
    { adapters },
  );
  let id = 0;
  const generate = async (choice: readonly AdapterChoice[] | undefined, session?: number) => {
    const tokens: number[] = [];
    const options = { maxTokens: 8, temperature: 0, adapters: choice };
    const result = await core.generate(++id, session, { tokens: [3, 14, 15, 9], options }, (more) => {
      tokens.push(...more);
    });
    return { tokens, cached: result.cachedTokens };
  };
  return { core, generate };
}

describe("adapters of requests", () => {
  it("are each one's own in passes that several share", async () => {
    const choices = [[], [{ name: "a1" }], [{ name: "a2", scale: 0.7 }], undefined];
    const alone = [];
    for (const choice of choices) {
      const { core, generate } = start();
      alone.push((await generate(choice)).tokens);
      await core.close();
    }
    expect(new Set(alone.map(String)).size).toBe(4);
    const { core, generate } = start();
    const together = await Promise.all(choices.map((choice) => generate(choice)));
    expect(together.map(({ tokens }) => tokens)).toEqual(alone);
    await core.close();
  });

  it("do not go on from a cache that others computed", async () => {
    const { core, generate } = start();
    core.openSession(1);
    const first = await generate([{ name: "a1" }], 1);
    const same = await generate([{ name: "a1" }], 1);
    expect([first.cached, same.cached]).toEqual([0, 3]);
    const other = await generate([{ name: "a2" }], 1);
    const stronger = await generate([{ name: "a2", scale: 2 }], 1);
    expect([other.cached, stronger.cached]).toEqual([0, 0]);
    core.forkSession(1, 2);
    expect((await generate([{ name: "a2", scale: 2 }], 2)).cached).toBe(3);
    expect((await generate([{ name: "a1" }], 1)).tokens).toEqual(first.tokens);
    await core.close();
  });

  it("are refused when they are not there", async () => {
    const { core, generate } = start();
    await expect(generate([{ name: "a3" }])).rejects.toMatchObject({
      code: "argument",
      message: expect.stringMatching(/no adapter a3, expected one of a1, a2/),
    });
    await core.close();
  });

  it("are refused, by name, where a caller without types gives something else", async () => {
    const { core, generate } = start();
    for (const [given, message] of [
      ["a1", "adapters: expected a list of objects with a name"],
      [[null], "adapters[0]: the options are null, expected an object"],
      [[{ name: "a1" }, {}], "adapters[1]: expected a name"],
      [[{ name: "a1", weight: 2 }], "adapters[0]: there is no option weight"],
      [[{ name: "a1", scale: "2" }], 'the scale of adapter a1 is "2"'],
      [[{ name: "a1" }, { name: "a1", scale: 2 }], "adapter a1 is chosen twice"],
    ] as const) {
      await expect(generate(given as unknown as AdapterChoice[])).rejects.toMatchObject({
        code: "argument",
        message: expect.stringContaining(message),
      });
    }
    await core.close();
    for (const [given, message] of [
      ["a1", "adapters: expected a list of objects with a path"],
      [[{}], "adapters[0]: expected a path"],
      [[{ path: "x", name: 5 }], "adapters[0]: expected a text for its name"],
    ] as const) {
      const ops = adaptOps(createReference());
      expect(() => openAdapters(ops, file, given as unknown as AdapterSource[])).toThrow(message);
    }
  });

  it("are refused at a scale that is no strength", async () => {
    const { core, generate } = start();
    for (const scale of [Number.NaN, Number.POSITIVE_INFINITY, 1e300, -1001]) {
      const refused = {
        code: "argument",
        message: expect.stringMatching(/scale of adapter a1 is .*from -1000 to 1000/),
      };
      await expect(generate([{ name: "a1", scale }])).rejects.toMatchObject(refused);
      const ops = adaptOps(createReference());
      expect(() => openAdapters(ops, file, [{ name: "a1", path: "none", scale }])).toThrow(
        expect.objectContaining(refused),
      );
    }
    expect((await generate([{ name: "a1", scale: 0 }])).tokens).toEqual((await generate([])).tokens);
    await core.close();
  });

  it("are blamed when they leave no numbers", async () => {
    const path = join(folder, "strong");
    const { terms } = makeAdapter(listModules(file), { rank: 4, size: 1e18 });
    await writeAdapter(path, { terms, rank: 4, alpha: 8, base: "base", headSize: readConfig(file).headSize });
    const { core, generate } = start([{ name: "a3", path, scale: 1000 }]);
    await expect(generate([{ name: "a3" }])).rejects.toMatchObject({
      code: "format",
      message: expect.stringMatching(/no numbers: .*adapters are too strong/),
    });
    expect((await generate([])).tokens).toHaveLength(8);
    await core.close();
  });
});
