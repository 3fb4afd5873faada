import { copyFileSync, existsSync, openSync, readdirSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { folder, grok1, models } from "./grok1.ts";

/** A copy of a model, one value of whose first norm is no number: no other check of the file sees that. */
function damage(name: string): string {
  const path = join(folder, `${name}-damaged.gguf`);
  copyFileSync(join(models, `${name}.gguf`), path);
  const file = openGguf(path);
  const norm = file.tensor("blk.0.attn_norm.weight");
  file.close();
  writeSync(openSync(path, "r+"), new Uint8Array(Float32Array.of(Number.NaN).buffer), 0, 4, norm.offset);
  return path;
}

const text = join(folder, "text.txt");
writeFileSync(text, "The quick brown fox jumps over the lazy dog. ".repeat(20));
const commands: [name: string, args: string[]][] = [
  ["run", ["run", "-p", "a", "-n", "4"]],
  ["run with beams", ["run", "-p", "a", "-n", "4", "--beams", "3"]],
  ["logits", ["logits", "--tokens", "5,9,17", "--out", join(folder, "logits.safetensors")]],
  ["logits of layers", ["logits", "--layers", "--tokens", "5,9", "--out", join(folder, "logits.safetensors")]],
  ["perplexity", ["perplexity", "--file", text, "--context", "8"]],
];

describe.each(["grok-1", "llama"])("a %s whose logits are no numbers", (name) => {
  const path = damage(name);
  describe.each(["native", "reference"])("on the %s backend", (backend) => {
    it.each(commands)("ends %s with an error that names it, and nothing else", async (_, [command, ...args]) => {
      const { status, stdout, stderr } = await grok1([command!, "-m", path, ...args, "--backend", backend]);
      expect(status).toBe(1);
      expect(stderr).toMatch(/-damaged\.gguf: computes what are no numbers: a weight is damaged/);
      expect(stdout + stderr).not.toMatch(/NaN/);
      expect(existsSync(join(folder, "logits.safetensors"))).toBe(false);
      expect(readdirSync(folder).filter((file) => file.includes("partial"))).toEqual([]);
    });
  });
});
