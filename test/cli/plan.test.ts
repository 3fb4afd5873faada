import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { loadAddon } from "../../src/addon.ts";
import { folder, grok1, models } from "./grok1.ts";

it("plan tells of machines that are not here, in a table and as JSON", async () => {
  const { status, stdout } = await grok1(["plan", "grok-1", "--machine", "desktop-64gb", "--json"]);
  expect(status).toBe(0);
  const found = JSON.parse(stdout);
  expect(found).toMatchObject({
    model: "grok-1",
    context: 8192,
    kvType: "f16",
    machine: { threads: 8, memoryBytes: 64e9 },
  });
  expect(found.rows.map((row: { quantization: string }) => row.quantization)).toContain("q4_k");
  const table = await grok1(["plan", "--machine", "four-24gb-gpus", "--context", "4096", "--kv-type", "q8_0"]);
  expect(table.stdout).toMatch(/^GPU +4 x GPU of 24 GB, 24\.0 GB: not used, grok1 computes on processors$/m);
  expect(table.stdout).toMatch(/keys and values of 4096 tokens take 570 MB \(q8_0\)/);
  expect(table.stdout).toMatch(/^\* +i?q\d/m);
  expect(table.stdout).toMatch(/^recommended: i?q/m);
  expect(await grok1(["plan", "--machine", "desktop"])).toMatchObject({
    ...{
      status: 2,
      stderr: expect.stringMatching(/--machine desktop: neither a file nor .*: desktop-128gb, desktop-64gb, /),
    },
  });
  writeFileSync(join(folder, "machine.json"), '{"name": 3}');
  expect(await grok1(["plan", "--machine", "machine.json"])).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/expected/),
  });
  expect(await grok1(["plan", "grok-17"])).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/known by name: grok-1/),
  });
});

it.skipIf(!loadAddon().addon)("plan measures this machine for a file", async () => {
  const { status, stdout } = await grok1(["plan", join(models, "mixtral.gguf"), "--json", "--threads", "1"]);
  expect(status).toBe(0);
  const { machine, rows, recommended } = JSON.parse(stdout);
  expect(machine).toMatchObject({ threads: 1, gpus: expect.any(Array) });
  for (const { estimate } of rows)
    expect(Math.min(estimate.prefill, estimate.decode, estimate.decodeFull)).toBeGreaterThan(1);
  expect(rows[0].quantization).toBe("as it is");
  expect(recommended.estimate.onDisk).toBe(0);
});
