import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { openBackend } from "../engine/backend.ts";
import type { Ops } from "../kernels/ops.ts";
import { measureKernels } from "./measured-kernels.ts";

it("times MXFP4 with scales that are ordinary numbers: those of zeros are subnormal, and slow", async () => {
  const { ops } = await openBackend({ threads: 1 });
  const first = new Map<string, number>();
  const watched: Ops = Object.create(ops, {
    weight: {
      value(...[tensor, options]: Parameters<Ops["weight"]>) {
        if (!first.has(tensor.type)) first.set(tensor.type, readFileSync(tensor.source)[0]!);
        return ops.weight(tensor, options);
      },
    },
  });
  const kernels = measureKernels(watched, { modelBytes: 0 });
  try {
    expect(await kernels.product("q4_0", 8, 256, 1, false)).toBeGreaterThan(0);
    expect(await kernels.product("mxfp4", 8, 256, 1, false)).toBeGreaterThan(0);
  } finally {
    kernels.close();
  }
  expect(first.get("q4_0")).toBe(0);
  expect(first.get("mxfp4")).toBe(0x3c);
});
