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
import { checkSteps } from "./steps.case.ts";
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

  it("gives the same ids in steps, whatever is encoded in between", () => checkSteps(tokenizer, 1));
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
      fc.property(fc.string({ unit: "binary", maxLength: 100 }), (given) => {
        const text = given.toWellFormed();
        expect(cut.decode(cut.encode(text))).toBe(text);
        // Words follow each other without a gap, and none ends inside a character.
        const bytes = Buffer.from(text);
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

  const bool = (value: boolean): GgufValue => ({ type: "bool", value });
  const list = (...value: number[]): GgufValue => ({ type: "array", items: "i32", value: Int32Array.from(value) });

  it.each<[string, GgufValue]>([
    ["normalizer.lowercase", bool(true)],
    ["add_sep_token", bool(true)],
    ["add_space_prefix", bool(true)],
    ["remove_extra_whitespaces", bool(true)],
    ["precompiled_charsmap", { type: "array", items: "u8", value: Uint8Array.of(1, 2, 3) }],
    ["suppress_tokens", list(3)],
    ["added_tokens", { type: "array", items: "string", value: ["<new>"] }],
    ["not.heard.of", { type: "string", value: "\u202e".repeat(100_000) }],
  ])("refuses by name what would change its tokens: %s", async (key, value) => {
    const attempt = fromGguf(gpt2("gpt-2", { [key]: value }));
    await expect(attempt).rejects.toMatchObject({ code: "unsupported", details: { key: `tokenizer.ggml.${key}` } });
    await expect(attempt).rejects.toThrow(`"tokenizer.ggml.${key}" is `);
    const error = (await attempt.catch((caught: unknown) => caught)) as GrokError;
    expect(error.message.length).toBeLessThan(600);
  });

  it("takes what changes nothing: switches that are off, what is empty, names for callers' own uses", async () => {
    const idle = { add_sep_token: bool(false), "normalizer.lowercase": bool(false), add_space_prefix: bool(false) };
    const empty = { suppress_tokens: list(), token_type_count: { type: "u32", value: 1 } } as const;
    const named = { mask_token_id: { type: "u32", value: 1 }, fim_pre_token_id: { type: "u32", value: 2 } } as const;
    const taken = await fromGguf(gpt2("gpt-2", { ...idle, ...empty, ...named }));
    const plain = await fromGguf(gpt2("gpt-2"));
    for (const text of byteBpe.texts) expect(taken.encode(text)).toEqual(plain.encode(text));
  });

  it("ends generation at each of several ends in a list", async () => {
    const { endOfGeneration } = await fromGguf(gpt2("gpt-2", { eos_token_ids: list(0, 5) }));
    expect([...endOfGeneration].sort()).toEqual([0, 2, 5]);
    await expect(fromGguf(gpt2("gpt-2", { eos_token_ids: list(0, -5) }))).rejects.toMatchObject({ code: "format" });
  });

  it("says where there is only the tokenizers library's file, and which kinds are not run", async () => {
    const path = join(folder, "json.gguf");
    await writeGguf(path, { metadata: [["tokenizer.huggingface.json", { type: "string", value: "{}" }]], tensors: [] });
    const file = openGguf(path);
    expect(() => tokenizerFromGguf(file.metadata, path)).toThrow(
      /json\.gguf: .* only there as tokenizer\.huggingface\.json/,
    );
    file.close();
    for (const model of ["bert", "t5", "rwkv", "constructor"]) {
      const attempt = fromGguf(gpt2("gpt-2", { model: { type: "string", value: model } }));
      await expect(attempt).rejects.toMatchObject({
        code: "unsupported",
        message: expect.stringContaining(`"${model}"`),
      });
    }
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

describe("pieces that stand twice", () => {
  const strings = (value: readonly string[]): GgufValue => ({ type: "array", items: "string", value });
  const numbers = (value: readonly number[]): GgufValue => ({ type: "array", items: "f32", value });

  it("are loaded; texts get the last one's id, as with llama.cpp, and each is decoded", async () => {
    const spm = await fromGguf({
      model: { type: "string", value: "llama" },
      tokens: strings(["<unk>", "<s>", "</s>", "a", "b", "ab", "\u2581", "ab"]),
      scores: numbers([0, 0, 0, -1, -2, -3, -4, -5]),
      token_type: { type: "array", items: "i32", value: [2, 3, 3, 1, 1, 1, 1, 1] },
    });
    expect([...spm.encode("ab")]).toEqual([6, 7]);
    expect(spm.info.duplicates).toBe(1);
    expect([spm.decode([6, 5]), spm.decode([6, 7]), spm.idOf("ab")]).toEqual(["ab", "ab", 7]);
    const merges = { merges: strings(["a b"]) };
    const bpe = await fromGguf(
      gpt2("gpt-2", {
        tokens: strings(["<e>", "a", "b", "ab", "ab", "b"]),
        token_type: numbers([3, 1, 1, 1, 1, 1]),
        ...merges,
      }),
    );
    expect([...bpe.encode("abb")]).toEqual([4, 5]);
    expect(bpe.info.duplicates).toBe(2);
    expect(bpe.decode([3, 4, 2, 5])).toBe("ababbb");
  });
});

describe("the beginning of a text", () => {
  const spm = (more: Record<string, GgufValue> = {}) =>
    fromGguf({
      model: { type: "string", value: "llama" },
      tokens: { type: "array", items: "string", value: ["<unk>", "<s>", "</s>", "a", "\u2581", "\u2581a"] },
      scores: { type: "array", items: "f32", value: [0, 0, 0, -3, -2, -1] },
      token_type: { type: "array", items: "i32", value: [2, 3, 3, 1, 1, 1] },
      ...more,
    });

  it("is one token, also where the text spells it", async () => {
    const tokenizer = await spm();
    const ids = (text: string) => [...tokenizer.encode(text, { bos: true, special: true })];
    expect(ids("<s>a")).toEqual(ids("a"));
    expect(ids("<s>")).toEqual([1]);
    expect(ids("<s><s>a")).toEqual([1, 1, 5]);
    expect(ids("a<s>")).toEqual([1, 5, 1]);
    expect([...tokenizer.encode("<s>", { bos: true })].slice(0, 2)).toEqual([1, 4]);
    const bpe = await fromGguf(gpt2("gpt-2", { bos_token_id: { type: "u32", value: 0 } }));
    expect([...bpe.encode(bpe.piece(0), { bos: true, special: true })]).toEqual([0]);
  });

  it("has a space put before it after every control token, as llama.cpp has it", async () => {
    const tokenizer = await spm();
    expect([...tokenizer.encode("<s>a</s>a", { special: true })]).toEqual([1, 5, 2, 5]);
  });

  it("is marked by default, but not in Grok's files, whose reference marks none", async () => {
    const open = async (architecture: string, more: Record<string, GgufValue> = {}) => {
      const path = join(folder, `${files++}.gguf`);
      const metadata: [string, GgufValue][] = [["general.architecture", { type: "string", value: architecture }]];
      const { tokens, types } = { tokens: ["<unk>", "<s>", "</s>", "a"], types: [2, 3, 3, 1] };
      for (const [name, value] of Object.entries<GgufValue>({
        model: { type: "string", value: "llama" },
        tokens: { type: "array", items: "string", value: tokens },
        scores: { type: "array", items: "f32", value: [0, 0, 0, 0] },
        token_type: { type: "array", items: "i32", value: types },
        ...more,
      })) {
        metadata.push([`tokenizer.ggml.${name}`, value]);
      }
      await writeGguf(path, { metadata, tensors: [] });
      const file = openGguf(path);
      const { addBos } = tokenizerFromGguf(file.metadata, path);
      file.close();
      return addBos;
    };
    const told = { add_bos_token: { type: "bool", value: true } } as const;
    expect([await open("llama"), await open("grok"), await open("grok", told)]).toEqual([true, false, true]);
  });
});
