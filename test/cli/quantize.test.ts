import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { folder, grok1, models } from "./grok1.ts";

/** The baby, which is partly in q8_0, as numbers that were not rounded. */
const baby = join(folder, "exact.gguf");
beforeAll(async () => {
  await grok1(["convert", join(models, "grok-1.gguf"), baby, "--type", "f32"]);
});

describe("quantize", () => {
  it("writes a mixture that runs, the same with any number of threads, and does not round twice unasked", async () => {
    const [one, two] = [join(folder, "one.gguf"), join(folder, "two.gguf")];
    const first = await grok1(["quantize", baby, one, "--type", "q4_k_m", "--threads", "1", "--json"]);
    expect(first.status).toBe(0);
    const { tensors, bitsPerWeight, sha256 } = JSON.parse(first.stdout);
    expect(bitsPerWeight).toBeLessThan(16);
    const second = await grok1(["quantize", baby, two, "--type", "Q4_K_M", "--threads", "3"]);
    expect(second.stdout).toMatch(/two\.gguf: \d+ tensors, [\d.]+ kB, [\d.]+ bits a weight, in [\d.]+ s\n/);
    const file = openGguf(two);
    expect(file.metadata.number("general.file_type")).toBe(15);
    expect([...file.tensors.values()].map(({ type }) => type)).toEqual(
      tensors.map(({ type }: { type: string }) => type),
    );
    expect(file.tensor("blk.0.ffn_gate_inp.weight").type).toBe("f32");
    file.close();
    const checked = await grok1(["verify", two]);
    expect(checked.status).toBe(0);
    const run = await grok1(["run", "-m", two, "-p", "abc", "-n", "4", "--ignore-end"]);
    expect(run.status).toBe(0);

    const again = join(folder, "again.gguf");
    const refused = await grok1(["quantize", two, again, "--type", "Q3_K_S"]);
    expect([refused.status, refused.stderr]).toEqual([2, expect.stringMatching(/is quantized already \(q\d_\w+\)/)]);
    expect(existsSync(again)).toBe(false);
    const allowed = await grok1(["quantize", two, again, "--type", "Q3_K_S", "--requantize", "--json"]);
    expect(allowed.status).toBe(0);
    expect(JSON.parse(allowed.stdout).sha256).not.toBe(sha256);
  });

  it("--dry-run shows types, those that --tensor asks for among them", async () => {
    const out = join(folder, "dry.gguf");
    const options = ["--tensor", "ffn_down=q8_0", "--tensor", "ffn_=q4_0", "--dry-run", "--json"];
    const { status, stdout } = await grok1(["quantize", baby, out, "--type", "Q6_K", ...options]);
    expect([status, existsSync(out)]).toEqual([0, false]);
    const types = new Map(
      JSON.parse(stdout).tensors.map(({ name, type }: { name: string; type: string }) => [name, type]),
    );
    expect(types.get("blk.1.ffn_down_exps.weight")).toBe("q8_0");
    expect(types.get("blk.1.ffn_up_exps.weight")).toBe("q4_0");
    expect(types.get("blk.1.attn_norm.weight")).toBe("f32");
    const text = await grok1(["quantize", baby, out, "--type", "Q6_K", "--dry-run"]);
    expect(text.stdout).toMatch(/\n[\d.]+ bits a weight\n$/);
  });

  it("says what is wrong", async () => {
    const out = join(folder, "wrong.gguf");
    const messages = await Promise.all(
      [
        ["--type", "Q4_K_XL"],
        ["--type", "Q6_K", "--tensor", "a=q9"],
        ["--type", "Q6_K", "--tensor", "(=q8_0"],
        ["--type", "Q6_K", "--tensor", "ffn_=q8_0", "--tensor", "atn_v=q8_0"],
      ].map(async (options) => (await grok1(["quantize", baby, out, ...options])).stderr),
    );
    expect(messages).toEqual([
      expect.stringMatching(/Expected one of Q2_K, /),
      expect.stringMatching(/--tensor a=q9: type is q9, expected one of f32, /),
      expect.stringMatching(/--tensor \(=q8_0: \( is no regular expression/),
      expect.stringMatching(/no tensor's name fits atn_v, which is to be q8_0/),
    ]);
    const none = await grok1(["quantize", baby, out, "--type", "Q6_K", "--importance", join(folder, "none")]);
    expect([none.status, none.stderr]).toEqual([1, expect.stringMatching(/none: cannot open/)]);
    const foreign = await grok1(["quantize", baby, out, "--type", "Q6_K", "--importance", baby]);
    expect([foreign.status, foreign.stderr]).toEqual([1, expect.stringMatching(/is no importance matrix/)]);
  });
});
