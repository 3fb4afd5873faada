import { describe, expect, it } from "vitest";
import type { AddonReport } from "./addon-report.ts";
import { advise } from "./diagnosis.ts";
import type { Machine } from "./machine.ts";

const machine: Machine = {
  system: "linux",
  node: "v20",
  processor: "a processor",
  processors: 8,
  processorQuota: undefined,
  memoryBytes: 64e9,
  availableBytes: 60e9,
  memoryLimitBytes: undefined,
  transparentHugePages: "madvise",
  swapUsedBytes: 0,
  clockGovernor: undefined,
};
const addon: AddonReport = {
  present: true,
  path: "build/grok1.node",
  compiler: "c++ 12",
  missing: [],
  features: ["avx2"],
  isas: ["scalar", "avx2"],
  best: "avx2",
  l1d: 1,
  l2: 1,
  l3: 1,
};

describe("advice", () => {
  it("is silent where nothing is wrong", () => {
    expect(advise(machine, addon)).toEqual([]);
  });

  it("speaks of the addon first, and of each trouble by itself", () => {
    const all = advise(
      {
        ...machine,
        transparentHugePages: "never",
        clockGovernor: "powersave",
        swapUsedBytes: 8e9,
        availableBytes: 4e9,
      },
      { present: false, cause: "no-compiler", reason: "no compiler", remedy: "Build it: make.", commands: ["make"] },
    );
    expect(all).toHaveLength(5);
    expect(all[0]).toMatch(/slower.*Build it: make/);
    expect(all[4]).toMatch(/4\.00 GB of 64\.0 GB/);
    expect(advise({ ...machine, memoryLimitBytes: 8e9 }, addon)[0]).toMatch(/8\.00 GB of 64\.0 GB/);
    expect(advise(machine, { ...addon, missing: ["avxvnni"] })[0]).toMatch(/avxvnni.*newer compiler than c\+\+ 12/);
    expect(advise(machine, { ...addon, best: "scalar" })[0]).toMatch(/AVX2/);
  });
});
