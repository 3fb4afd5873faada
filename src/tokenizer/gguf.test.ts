import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { processorSeconds } from "../../test/support/time.ts";
import { GrokError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf/encode.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { writeGguf } from "../formats/gguf/write.ts";
import { tokenizerFromGguf } from "./gguf.ts";
import { pieceBytes } from "./pieces.ts";
import { preTokenizers } from "./pre-tokenizer.ts";
import { readSentencePieceModel } from "./sentencepiece-file.ts";
import type { Tokenizer } from "./tokenizer.ts";

const vectors = new URL("../../test/vectors/tokenizer/", import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "grok1-tokenizer-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
async function fromGguf(values: Readonly<Record<string, GgufValue>>): Promise<Tokenizer> {
  const path = join(folder, `${files++}.gguf`);
  const metadata = Object.entries(values).map(([name, value]) => [`tokenizer.ggml.${name}`, value] as const);
  await writeGguf(path, { metadata, tensors: [] });
  const file = openGguf(path);
  try {
    return tokenizerFromGguf(file.metadata, path);
  } finally {
    file.close();
  }
}

// Made by the tokenizers library, see test/oracles/make_tokenizer_vectors.py.
const byteBpe: {
  tokens: string[];
  types: number[];
  merges: string[];
  texts: string[];
  encode: Record<string, number[][]>;
  decode: { ids: number[]; decoded: string }[];
} = JSON.parse(readFileSync(new URL("byte-bpe.json", vectors), "utf8"));

const gpt2 = (pre: string, more: Record<string, GgufValue> = {}): Record<string, GgufValue> => ({
  model: { type: "string", value: "gpt2" },
  pre: { type: "string", value: pre },
  tokens: { type: "array", items: "string", value: byteBpe.tokens },
  token_type: { type: "array", items: "i32", value: Int32Array.from(byteBpe.types) },
  merges: { type: "array", items: "string", value: byteBpe.merges },
  eos_token_id: { type: "u32", value: 0 },
  ...more,
});

describe.each(Object.keys(byteBpe.encode))("byte-level BPE, %s", async (name) => {
  const [pre, special] = name.split(" ");
  const tokenizer = await fromGguf(gpt2(pre!));

  it("encodes as the tokenizers library does", () => {
    byteBpe.texts.forEach((text, i) => {
      const ids = [...tokenizer.encode(text, { special: special !== undefined })];
      expect({ text, ids }).toEqual({ text, ids: byteBpe.encode[name]![i] });
    });
  });
});

describe("a byte-level BPE tokenizer", async () => {
  const tokenizer = await fromGguf(gpt2("grok-2"));

  it("decodes as the tokenizers library does, at once and token by token", () => {
    for (const { ids, decoded } of byteBpe.decode) {
      expect({ ids, text: tokenizer.decode(ids) }).toEqual({ ids, text: decoded });
      const stream = tokenizer.decoder();
      const parts = ids.map((id) => stream.push(id));
      expect(parts.every((part) => part.isWellFormed())).toBe(true);
      expect(parts.join("") + stream.end()).toBe(decoded);
    }
  });

  it.each([...preTokenizers.keys()])("gives back every text, cut by %s", async (pre) => {
    const cut = await fromGguf(gpt2(pre, { bos_token_id: { type: "u32", value: 0 } }));
    const { scan } = preTokenizers.get(pre)!;
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 100 }), (text) => {
        const kept = text.toWellFormed();
        expect(cut.decode(cut.encode(text))).toBe(kept);
        // Words follow each other without a gap, and none ends inside a character.
        const bytes = Buffer.from(kept);
        for (let at = 0, end = 0; at < bytes.length; at = end) {
          end = scan(bytes, at, bytes.length);
          expect(end).toBeGreaterThan(at);
          expect(bytes[end]! & 0xc0).not.toBe(0x80);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("ends generation where the file and the names of added tokens say", () => {
    expect([...tokenizer.endOfGeneration].sort()).toEqual([0, 2]); // <|endoftext|>, <|im_end|>
  });

  it("is not slowed down by long words", () => {
    const time = (length: number): number => {
      const text = "s".repeat(length);
      return processorSeconds(() => tokenizer.encode(text), 3);
    };
    time(50_000);
    // Four times the length: 4 times as long, and a little, where a quadratic search takes 16 times.
    expect(time(200_000)).toBeLessThan(Math.max(0.5, 10 * time(50_000)));
  });

  it("refuses an unknown pre-tokenizer by name", async () => {
    await expect(fromGguf(gpt2("cuts-by-magic"))).rejects.toThrow(/"cuts-by-magic" is not known/);
    await expect(fromGguf(gpt2("cuts-by-magic"))).rejects.toMatchObject({ code: "unsupported" });
  });

  it.each([
    ["a merge of unknown parts", { merges: { type: "array", items: "string", value: ["t h", "zq xj"] } }],
    ["a merge without a space", { merges: { type: "array", items: "string", value: ["th"] } }],
    ["too few types", { token_type: { type: "array", items: "i32", value: new Int32Array(3) } }],
    [
      "an unknown type",
      { token_type: { type: "array", items: "i32", value: new Int32Array(byteBpe.tokens.length).fill(9) } },
    ],
    ["equal tokens", { tokens: { type: "array", items: "string", value: byteBpe.tokens.with(9, byteBpe.tokens[8]!) } }],
    [
      "no tokens",
      {
        tokens: { type: "array", items: "string", value: [] },
        token_type: { type: "array", items: "i32", value: new Int32Array(0) },
      },
    ],
    ["an id out of range", { eos_token_id: { type: "u32", value: 100000 } }],
    ["bos to add, but none", { add_bos_token: { type: "bool", value: true } }],
  ] as [string, Record<string, GgufValue>][])("refuses %s", async (_, change) => {
    const attempt = fromGguf(gpt2("gpt-2", change));
    await expect(attempt).rejects.toThrow(GrokError);
    await expect(attempt).rejects.toMatchObject({ code: "format" });
  });
});

describe("SentencePiece from GGUF", () => {
  const vectorsOf = (name: string): { encode: { text: string; ids: number[]; decoded: string }[] } =>
    JSON.parse(readFileSync(new URL(`${name}.json`, vectors), "utf8"));

  const asGguf = (path: URL): Promise<Tokenizer> => {
    const model = readSentencePieceModel(readFileSync(path), path.pathname);
    return fromGguf({
      model: { type: "string", value: "llama" },
      tokens: {
        type: "array",
        items: "string",
        value: Array.from({ length: model.pieces.count }, (_, id) => pieceBytes(model.pieces, id)),
      },
      scores: { type: "array", items: "f32", value: model.scores },
      token_type: { type: "array", items: "i32", value: Int32Array.from(model.types) },
      bos_token_id: { type: "u32", value: 1 },
      eos_token_id: { type: "u32", value: 2 },
    });
  };

  it.each(["sp-bpe", "sp-bpe-unused", "sp-bpe-crossing"])("%s gives the library's ids", async (name) => {
    const tokenizer = await asGguf(new URL(`${name}.model`, vectors));
    for (const { text, ids, decoded } of vectorsOf(name).encode) {
      expect({ text, ids: [...tokenizer.encode(text)] }).toEqual({ text, ids });
      expect(tokenizer.decode(ids)).toBe(decoded);
    }
    expect(tokenizer.addBos).toBe(true);
  });

  const shared = new URL("../../../shared/", import.meta.url);
  const absent = existsSync(shared) ? "" : " (skipped: the shared data is not there)";
  it.skipIf(absent !== "")(`Grok-1's vocabulary gives the library's ids on every line${absent}`, async () => {
    const tokenizer = await asGguf(new URL("data/tokenizer/tokenizer.model", shared));
    const lines = readFileSync(new URL("vectors/tokenizer/grok-1.jsonl", shared), "utf8").trimEnd().split("\n");
    const wrong = lines.filter((line) => {
      const { text, ids, decoded } = JSON.parse(line);
      const given = tokenizer.encode(text);
      return given.length !== ids.length || given.some((id, i) => id !== ids[i]) || tokenizer.decode(ids) !== decoded;
    });
    expect([lines.length, wrong.length]).toEqual([2692, 0]);
  });

  it("refuses other tokenizers by name", async () => {
    await expect(fromGguf({ model: { type: "string", value: "bert" } })).rejects.toThrow(/"bert"/);
  });
});
