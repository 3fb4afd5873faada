import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { tokenizerFromSentencePiece } from "../../src/tokenizer/sentencepiece-file.ts";
import { folder, grok1 } from "./grok1.ts";

const vector = JSON.parse(readFileSync(resolve(import.meta.dirname, "../vectors/tokenizer/trained.json"), "utf8"));

describe("train-tokenizer", () => {
  const out = join(folder, "trained.model");
  const run = (...args: string[]) => grok1(["train-tokenizer", "--out", out, "--vocab-size", "520", ...args]);

  it("writes a model that tokenize reads, with the pieces that the sentencepiece library learns", async () => {
    const [first, second] = [join(folder, "first.txt"), join(folder, "second.txt")];
    writeFileSync(first, `\ufeff${vector.lines.slice(0, 200).join("\r\n")}\r\n<|endoftext|>\r\n`);
    writeFileSync(second, vector.lines.slice(200).join("\n"));
    const result = await run(
      ...[first, second, "--user-symbol", "\\n", "--user-symbol", "\\n\\n", "--control-symbol", "<|user|>"],
      ...["--control-symbol", "<|end|>", "--character-coverage", String(vector.coverage), "--json"],
    );
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(result.stdout)).toMatchObject({ out, vocabSize: 520 });
    const tokenizer = tokenizerFromSentencePiece(readFileSync(out), out);
    expect(Array.from({ length: 520 }, (_, id) => tokenizer.piece(id))).toEqual(vector.pieces);
    const tokens = await grok1(["tokenize", "--tokenizer", out, "--jsonl"], { input: '{"text":"un zorro\\n\\n12"}\n' });
    expect(JSON.parse(tokens.stdout)).toEqual({
      ids: [...tokenizer.encode("un zorro\n\n12")],
      decoded: "un zorro\n\n12",
    });
  });

  it("names file and line of what is no text, and leaves nothing behind", async () => {
    const bad = join(folder, "bad.txt");
    const empty = join(folder, "empty.txt");
    writeFileSync(bad, Buffer.from([0x61, 10, 0xc3, 0x28, 10]));
    writeFileSync(empty, "");
    const other = ["--out", join(folder, "none.model")];
    const [notText, nothing, missing, small] = await Promise.all([
      run(bad, ...other),
      run(empty, ...other),
      run(join(folder, "missing.txt"), ...other),
      grok1(["train-tokenizer", bad, "--vocab-size", "12", ...other]),
    ]);
    expect(notText).toMatchObject({
      status: 1,
      stderr: `grok1: ${bad}, line 2: the text is not UTF-8: found c3 28 at byte 2\n`,
    });
    expect(nothing).toMatchObject({ status: 1, stderr: `grok1: ${empty}: the file is empty\n` });
    expect(missing.stderr).toMatch(/missing\.txt: cannot open: no such file/);
    expect(small).toMatchObject({ status: 2 });
    expect(existsSync(other[1]!)).toBe(false);
  });
});
