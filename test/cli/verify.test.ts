import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { folder, grok1, models } from "./grok1.ts";

it("verify says what is right and what is not, in a table, as JSON, by its exit status", async () => {
  mkdirSync(join(folder, "weights"));
  const model = join(folder, "weights", "m.gguf");
  cpSync(join(models, "grok-1.gguf"), model);
  expect(await grok1(["verify", "--write", model, "weights"])).toMatchObject({
    status: 0,
    stdout: `${model}.manifest.json\nweights/SHA256SUMS\n`,
  });
  const good = await grok1(["verify", "weights"]);
  expect(good).toMatchObject({ status: 0, stderr: "" });
  expect(good.stdout).toMatch(/^ok +sha256 +weights\/m\.gguf +as SHA256SUMS says$/m);
  expect(good.stdout).toMatch(/^\d checks passed, none failed, .* read in .*\/s\)$/m);

  const bytes = readFileSync(model);
  bytes[bytes.length - 40]! ^= 1;
  writeFileSync(model, bytes);
  const bad = await grok1(["verify", "weights", "--json"]);
  expect(bad.status).toBe(1);
  const report = JSON.parse(bad.stdout);
  expect(report.ok).toBe(false);
  expect(report.checks.filter((check: { verdict: string }) => check.verdict === "failed")).toHaveLength(3);
  expect((await grok1(["verify", "weights"])).stdout).toMatch(/^FAILED +tensors .*1 of \d+ have other bytes/m);

  expect(await grok1(["verify", "weights", "--quick"])).toMatchObject({ status: 0 });
  expect(await grok1(["verify", "none"])).toMatchObject({ status: 1, stderr: expect.stringMatching(/no such file/) });
  expect(await grok1(["verify", "--write", "weights"])).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/already/),
  });
  expect(await grok1(["verify", "--write", "--quick", "weights"])).toMatchObject({ status: 2 });
  expect(await grok1(["verify"])).toMatchObject({ status: 2 });
});
