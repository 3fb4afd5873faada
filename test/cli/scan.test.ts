import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { grok1 } from "./grok1.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-scan-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("scan writes what it suspects, says that nobody measured it, and can fail", async () => {
  const source = join(folder, "a.py");
  writeFileSync(source, "def f(x):\n    return eval(x)\n");
  const sarif = join(folder, "scan.sarif");
  const all = await grok1(["scan", folder, "--threshold", "0", "--sarif", sarif, "--fail-on-findings"]);
  expect(all).toMatchObject({ status: 1, stderr: "" });
  expect(all.stdout).toMatch(/CWE-89 +a\.py:1 +f\n/);
  expect(all.stdout).toContain("1 function in 1 file, 4 findings. How often this model is right was not measured");
  const { version, runs } = JSON.parse(readFileSync(sarif, "utf8"));
  expect([version, runs[0].results.length, runs[0].tool.driver.rules.length]).toEqual(["2.1.0", 4, 4]);
  const adapter = join(folder, "adapter");
  mkdirSync(adapter);
  // A file of no tensors: its header's length, and the header.
  writeFileSync(join(adapter, "adapter_model.safetensors"), Buffer.from("\u0002\0\0\0\0\0\0\0{}", "latin1"));
  writeFileSync(join(adapter, "adapter_config.json"), "{}");
  const [none, over, own, wrong] = await Promise.all([
    grok1(["scan", folder, "--threshold", "1", "--fail-on-findings"]),
    grok1(["scan", source, "--sarif", source]),
    grok1(["scan", source, "--lora", adapter, "--sarif", join(adapter, "adapter_config.json")]),
    grok1(["scan", folder, "--threshold", "2"]),
  ]);
  expect([none!.status, none!.stdout.includes("0 findings")]).toEqual([0, true]);
  expect([over!.status, over!.stderr]).toEqual([2, expect.stringContaining("a.py")]);
  expect([own!.status, own!.stderr]).toEqual([2, expect.stringContaining("adapter_config.json: is the model")]);
  expect(wrong!.status).toBe(2);
  expect(readFileSync(source, "utf8")).toContain("eval(x)");
});
