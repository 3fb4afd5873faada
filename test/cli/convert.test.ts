import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { folder, grok1, models } from "./grok1.ts";

const baby = join(models, "grok-1.gguf");

describe("convert", () => {
  it("writes a file that runs, with its hashes beside it", async () => {
    const out = join(folder, "out.gguf");
    const { status, stdout, stderr } = await grok1(["convert", baby, out, "--type", "q8_0"]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/out\.gguf: \d+ tensors, [\d.]+ kB, in [\d.]+ s\n/);
    expect(readFileSync(`${out}.sha256`, "utf8")).toMatch(/^[0-9a-f]{64} {2}out\.gguf\n$/);
    const run = await grok1(["run", "-m", out, "-p", "abc", "-n", "4", "--backend", "reference", "--ignore-end"]);
    expect(run.status).toBe(0);
  });

  it("--dry-run shows every tensor and writes nothing; --json is one document", async () => {
    const out = join(folder, "dry.gguf");
    const file = openGguf(baby);
    const { status, stdout } = await grok1(["convert", baby, out, "--type", "q4_0", "--dry-run"]);
    expect(status).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^tensor +shape +written as +size +stored as$/);
    expect(lines.slice(1, -2).map((line) => line.split(" ")[0])).toEqual([...file.tensors.keys()]);
    expect(lines.at(-1)).toMatch(/is a GGUF file: \d+ tensors, .* to read, a file of .* to write/);
    const dry = await grok1(["convert", baby, out, "--type", "q4_0", "--dry-run", "--json"]);
    expect(existsSync(out)).toBe(false);
    const json = await grok1(["convert", baby, out, "--type", "q4_0", "--json"]);
    const plan = JSON.parse(dry.stdout);
    expect(JSON.parse(json.stdout)).toMatchObject(plan);
    expect(plan.bytes).toBe(openGguf(out).size);
    file.close();
  });

  it("says what is wrong", async () => {
    const out = join(folder, "wrong.gguf");
    const type = await grok1(["convert", baby, out, "--type", "q9"]);
    expect([type.status, type.stderr]).toEqual([2, expect.stringMatching(/Expected one of keep, f32, .*q8_0/)]);
    const same = await grok1(["convert", baby, baby, "--type", "q8_0"]);
    expect([same.status, same.stderr]).toEqual([2, expect.stringMatching(/is a file of the source/)]);
    const none = await grok1(["convert", join(folder, "none"), out, "--type", "q8_0"]);
    expect([none.status, none.stderr]).toEqual([1, expect.stringMatching(/none: cannot open: no such file/)]);
    expect(existsSync(out)).toBe(false);
  });
});
