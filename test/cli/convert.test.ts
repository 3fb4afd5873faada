import { existsSync, mkdtempSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { partialName } from "../../src/bytes/resumable-write.ts";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { writeGguf } from "../../src/formats/gguf/write.ts";
import { openSafetensors } from "../../src/formats/safetensors/file.ts";
import { encodeRow } from "../../src/tensor/decode.ts";
import { untar } from "../support/untar.ts";
import { finished, folder, grok1, models, start } from "./grok1.ts";

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

  it("a checkpoint without a tokenizer gives a model of ids: logits are xAI's, and what is about text says why not", async () => {
    const vectors = join(import.meta.dirname, "../vectors/xai");
    const source = join(folder, "checkpoint");
    untar(join(vectors, "int8.tar.gz"), source);
    const expected = JSON.parse(readFileSync(join(vectors, "int8.json"), "utf8"));
    const [out, written] = [join(folder, "bare.gguf"), join(folder, "bare.safetensors")];
    expect((await grok1(["convert", source, out, "--type", "f32"])).status).toBe(0);
    const logits = await grok1(["logits", out, "--tokens", expected.tokens.join(","), "-o", written]);
    expect(logits).toEqual({ status: 0, stdout: "", stderr: "" });
    const file = openSafetensors(written);
    const found = file.entry("logits").values() as Float32Array;
    const wanted: number[] = expected.logits.flat();
    const largest = Math.max(...wanted.map(Math.abs));
    expect(found).toHaveLength(wanted.length);
    expect(Math.max(...wanted.map((value, i) => Math.abs(found[i]! - value))) / largest).toBeLessThan(1e-5);
    file.close();
    expect((await grok1(["bench", out, "-p", "8", "-n", "4", "-r", "1", "--json"])).status).toBe(0);
    for (const command of [
      ["run", out, "-p", "a"],
      ["chat", out],
      ["perplexity", out, "-f", join(vectors, "int8.json"), "-c", "16"],
    ]) {
      const { status, stderr } = await grok1(command);
      expect([status, stderr]).toEqual([1, expect.stringMatching(/bare\.gguf: .*there is no tokenizer in it\n$/)]);
    }
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

  it("stops at Ctrl-C and says that it goes on, which the same command does, to the same bytes", async () => {
    const source = join(folder, "source.gguf");
    const names = Array.from({ length: 12 }, (_, i) => `blk.${i}.ffn_up.weight`);
    const data = encodeRow(
      "f32",
      Float32Array.from({ length: 2 ** 20 }, (_, i) => Math.sin(i)),
    );
    const tensors = names.map((name) => ({ name, type: "f32" as const, shape: [1024, 1024], data: () => [data] }));
    await writeGguf(source, { metadata: [["general.architecture", { type: "string", value: "llama" }]], tensors });
    const [out, whole] = [join(folder, "stopped.gguf"), join(folder, "whole.gguf")];
    const command = ["convert", source, out, "--type", "q4_k"];
    const child = start(command);
    const ended = finished(child);
    while ((statSync(partialName(out), { throwIfNoEntry: false })?.size ?? 0) < 2 ** 20) await setTimeout(1);
    child.kill("SIGINT");
    expect(await ended).toEqual({
      ...{ status: 130, stdout: "", stderr: "grok1: stopped; the same command goes on from here\n" },
    });
    expect([existsSync(out), existsSync(partialName(out))]).toEqual([false, true]);
    expect(await grok1(command)).toMatchObject({ status: 0, stderr: "" });
    expect(existsSync(partialName(out))).toBe(false);
    await grok1(["convert", source, whole, "--type", "q4_k"]);
    expect(readFileSync(out).equals(readFileSync(whole))).toBe(true);
  });

  it("says what is wrong", async () => {
    const out = join(folder, "wrong.gguf");
    const type = await grok1(["convert", baby, out, "--type", "q9"]);
    expect([type.status, type.stderr]).toEqual([2, expect.stringMatching(/Expected one of keep, f32, .*q8_0/)]);
    const same = await grok1(["convert", baby, baby, "--type", "q8_0"]);
    expect([same.status, same.stderr]).toEqual([2, expect.stringMatching(/is a file of the source/)]);
    const none = await grok1(["convert", join(folder, "none"), out, "--type", "q8_0"]);
    expect([none.status, none.stderr]).toEqual([1, expect.stringMatching(/none: cannot open: no such file/)]);
    const empty = mkdtempSync(join(folder, "empty-"));
    const nothing = await grok1(["convert", empty, out, "--type", "q8_0"]);
    expect([nothing.status, nothing.stderr]).toEqual([1, expect.stringMatching(/neither ckpt-0 .* nor config\.json/)]);
    for (const [from, to] of [
      ["-", out],
      [baby, "-"],
    ] as const) {
      const piped = await grok1(["convert", from, to, "--type", "q8_0"]);
      expect([piped.status, piped.stderr]).toEqual([2, expect.stringMatching(/^grok1: -: a model is /)]);
    }
    const importance = join(folder, "importance.gguf");
    await writeGguf(importance, { metadata: [["general.type", { type: "string", value: "imatrix" }]], tensors: [] });
    for (const name of ["convert", "quantize"]) {
      const other = await grok1([name, importance, out, "--type", "q8_0"]);
      expect([other.status, other.stderr]).toEqual([1, expect.stringMatching(/an importance matrix, .* no model/)]);
    }
    expect(existsSync(out)).toBe(false);
  });
});
