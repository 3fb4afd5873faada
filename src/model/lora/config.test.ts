import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { adapterConfigFile, readAdapterConfig } from "./config.ts";

interface Case {
  readonly config: Record<string, unknown>;
  /** Rank and scale, as peft computes them. */
  readonly modules: Readonly<Record<string, readonly [rank: number, scale: number]>>;
}

const vectors = join(import.meta.dirname, "../../../test/vectors/lora/patterns.json");
const cases = JSON.parse(readFileSync(vectors, "utf8")) as Case[];
const all = Object.keys(cases[0]!.modules);
const folder = mkdtempSync(join(tmpdir(), "grok1-lora-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

function read(config: Record<string, unknown>) {
  const path = join(folder, adapterConfigFile);
  writeFileSync(path, JSON.stringify(config));
  return readAdapterConfig(path);
}

describe("an adapter's configuration gives each module what peft gives it", () => {
  it.each(cases)("$config", ({ config, modules }) => {
    const found = read(config);
    expect(all.filter((module) => found.targets(module))).toEqual(all.filter((module) => modules[module]));
    const wild = JSON.stringify(config.rank_pattern ?? {}).includes("*");
    for (const [module, [rank, scale]] of Object.entries(modules)) {
      if (wild) expect(found.ranksOf(module)).toContain(rank);
      else expect(found.ranksOf(module)).toEqual([rank]);
      expect(found.scaleOf(module, rank)).toBeCloseTo(scale, 14);
    }
  });

  it("a pattern as target_modules may take any module", () => {
    for (const target_modules of ["all-linear", ".*q_proj", null, undefined]) {
      const { targets } = read({ peft_type: "LORA", r: 4, lora_alpha: 8, target_modules });
      expect(all.every(targets)).toBe(true);
    }
  });

  it("patterns that would take for ever are not tried", () => {
    const rank_pattern = { "(.*)*x": 3, [`${"(a|a)".repeat(200)}x`]: 5 };
    const { ranksOf } = read({ peft_type: "LORA", r: 4, lora_alpha: 8, rank_pattern });
    expect(ranksOf(`model.${"a".repeat(200)}`)).toEqual([3, 5, 4]);
  });
});
