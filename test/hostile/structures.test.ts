import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadAddon } from "../../src/addon.ts";
import { GrokError } from "../../src/errors.ts";
import { type GgufFile, openGguf } from "../../src/formats/gguf/file.ts";
import { createNative } from "../../src/kernels/native/native.ts";
import type { Ops } from "../../src/kernels/ops.ts";
import { createReference } from "../../src/kernels/reference/reference.ts";
import { describeModel } from "../../src/model/describe.ts";
import type { LoraAdapter } from "../../src/model/lora/adapter.ts";
import { adaptOps } from "../../src/model/lora/apply.ts";
import { readAdapter } from "../../src/model/lora/read.ts";
import type { Model } from "../../src/model/model.ts";
import { bindModel } from "../../src/model/registry.ts";
import { tokenizerFromGguf } from "../../src/tokenizer/gguf.ts";
import { tokenizerFromSentencePiece } from "../../src/tokenizer/sentencepiece-file.ts";
import { changeParts, type GgufParts, putTogether, takeApart } from "../support/gguf-parts.ts";
import { createRandom, mutants } from "../support/mutate.ts";

/**
 * Files that are changed where they mean something, put together again and used to the end: opened, bound, run for some tokens. A
 * mutant works, or is refused with a typed error that names the file. More of them: GROK1_MUTANTS=10000, best with an addon that
 * is built with --sanitize.
 */
const count = Number(process.env.GROK1_MUTANTS ?? 150);
const seed = Number(process.env.GROK1_SEED ?? 1);
const vectors = new URL("../vectors/", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "grok1-structures-"));
afterAll(() => rmSync(folder, { recursive: true }));

const { addon } = loadAddon();
const newOps = (): Ops => (addon === undefined ? createReference() : createNative(addon, { threads: 1 }));
const text = "The cat sat on 12 <s> mats\n\n niña 😀";

async function runModel(model: Model, ops: Ops): Promise<void> {
  const { vocab } = model.config;
  const tokens = Int32Array.of(0, Math.min(3, vocab - 1), vocab - 1);
  const positions = tokens.map((_, i) => i);
  const cache = model.kvCache({ pages: 1, pageTokens: 8, type: "f32" });
  const sequences = [{ start: 0, count: tokens.length, pages: Int32Array.of(0) }];
  await ops.read(await model.forward({ tokens, positions, sequences, outputs: positions }, cache));
}

const codes = ["format", "io", "unsupported", "shape", "capacity", "argument"];

async function attack(
  make: (random: (bound: number) => number, i: number) => string,
  use: () => Promise<void>,
  named: string,
) {
  const tally = { valid: 0, refused: 0 };
  const random = createRandom(seed);
  let slowest = 0;
  let most = 0;
  const before = process.memoryUsage.rss();
  for (let i = 0; i < count; i++) {
    const label = `seed ${seed}, mutant ${i}: ${make(random, i)}`;
    const { user, system } = process.cpuUsage();
    try {
      await use();
      tally.valid++;
    } catch (error) {
      if (!(error instanceof GrokError && codes.includes(error.code) && error.message.includes(named))) {
        throw new Error(`${label}: ${error}`, { cause: error });
      }
      tally.refused++;
    }
    const used = process.cpuUsage();
    slowest = Math.max(slowest, (used.user - user + used.system - system) / 1e6);
    most = Math.max(most, process.memoryUsage.rss() - before);
    if (slowest > 5) throw new Error(`${label}: took ${slowest} s`);
    if (most > 2 ** 29) throw new Error(`${label}: ${most} bytes of memory were taken`);
  }
  if (count > 1000) console.log(named, { ...tally, slowest, most: Math.round(most / 2 ** 20) });
  return tally;
}

/** With bytes damaged as well, in every fourth. */
function damaged(bytes: Uint8Array, random: (bound: number) => number): Uint8Array {
  if (random(4) > 0) return bytes;
  const [mutant] = mutants(bytes, random(2 ** 31), 1);
  return mutant!.bytes;
}

const timeout = Math.max(120_000, 500 * count);

describe.each(["grok-1", "grok-2", "llama", "mixtral"])("mutants of %s", (name) => {
  it(
    "run, or are refused by name",
    async () => {
      const original = openGguf(`${vectors}models/${name}.gguf`);
      const path = join(folder, `${name}.gguf`);
      const make = (random: (bound: number) => number) => {
        const parts = takeApart(original);
        const label = changeParts(parts, random);
        rmSync(path, { force: true });
        writeFileSync(path, damaged(putTogether(parts), random));
        return label;
      };
      const use = async () => {
        const file = openGguf(path);
        const ops = newOps();
        try {
          describeModel(file);
          await runModel(bindModel(ops, file), ops);
        } finally {
          ops.close();
          file.close();
        }
      };
      const { valid, refused } = await attack(make, use, name);
      expect(valid).toBeGreaterThan(count / 20);
      expect(refused).toBeGreaterThan(count / 4);
      original.close();
    },
    timeout,
  );
});

describe("mutants of tokenizers", () => {
  it.each(["grok-1", "llama"])(
    "in %s encode and decode, or are refused by name",
    async (name) => {
      const original = openGguf(`${vectors}models/${name}.gguf`);
      const path = join(folder, `tokenizer-${name}.gguf`);
      const make = (random: (bound: number) => number) => {
        const { keys } = takeApart(original);
        const label = changeParts({ keys, tensors: [] }, random, /^tokenizer/);
        rmSync(path, { force: true });
        writeFileSync(path, putTogether({ keys, tensors: [] }));
        return label;
      };
      const use = async () => {
        const file = openGguf(path);
        try {
          useTokenizer(tokenizerFromGguf(file.metadata, path));
        } finally {
          file.close();
        }
      };
      const { valid, refused } = await attack(make, use, `tokenizer-${name}`);
      expect(valid).toBeGreaterThan(count / 20);
      expect(refused).toBeGreaterThan(count / 20);
      original.close();
    },
    timeout,
  );

  it.each(["sp-bpe", "sp-unigram", "sp-bpe-charsmap"])(
    "of %s encode and decode, or are refused by name",
    async (name) => {
      const original = readFileSync(`${vectors}tokenizer/${name}.model`);
      let bytes: Uint8Array = original;
      const make = (random: (bound: number) => number) => {
        bytes = Uint8Array.from(original);
        const label = changeMessage(bytes, 0, bytes.length, random);
        bytes = damaged(bytes, random);
        return label;
      };
      const use = async () => useTokenizer(tokenizerFromSentencePiece(bytes, "hostile.model"));
      const { valid, refused } = await attack(make, use, "hostile.model");
      expect(valid + refused).toBe(count);
      expect(refused).toBeGreaterThan(count / 20);
    },
    timeout,
  );
});

function useTokenizer(tokenizer: ReturnType<typeof tokenizerFromGguf>): void {
  for (const special of [false, true]) tokenizer.decode(tokenizer.encode(text, { special }), { special });
  for (let id = 0; id < Math.min(20, tokenizer.vocabSize); id++) tokenizer.idOf(tokenizer.piece(id));
}

/** Changes a value of one field of a protocol buffer, or of one inside it, and leaves the lengths as they are. */
function changeMessage(bytes: Uint8Array, start: number, end: number, random: (bound: number) => number): string {
  const fields: { number: number; wire: number; start: number; end: number }[] = [];
  for (let at = start; at < end; ) {
    const tag = bytes[at++]!;
    const wire = tag & 7;
    let [length, shift] = [0, 0];
    if (wire === 2 || wire === 0) {
      const from = at;
      for (; at < end && bytes[at]! > 127; shift += 7) length |= (bytes[at++]! & 127) << shift;
      length |= bytes[at++]! << shift;
      if (wire === 0) [at, length] = [from, at - from];
    } else length = 4;
    fields.push({ number: tag >> 3, wire, start: at, end: Math.min(end, at + length) });
    at += length;
  }
  const field = fields[random(fields.length)];
  if (field === undefined) return "nothing";
  if (field.wire === 2 && random(3) > 0 && field.end - field.start > 4 && start === 0) {
    return `field ${field.number}: ${changeMessage(bytes, field.start, field.end, random)}`;
  }
  for (let at = field.start; at < field.end; at++) {
    if (random(3) === 0) bytes[at] = field.wire === 0 ? random(128) : random(256);
  }
  return `field ${field.number} at ${field.start}`;
}

describe("mutants of adapters", () => {
  const llama = (): GgufFile => openGguf(`${vectors}models/llama.gguf`);
  const useAdapter = async (model: GgufFile, path: string) => {
    const adapter = readAdapter(path, model);
    const ops = newOps();
    try {
      const adapted = adaptOps(ops);
      const bound = adapted.bind(adapter);
      adapted.follow(() => [[{ adapter: bound, scale: 1 }]]);
      await runModel(bindModel(adapted.ops, model), adapted.ops);
    } finally {
      ops.close();
    }
  };

  it(
    "of peft run, or are refused by name",
    async () => {
      const model = llama();
      const source = `${vectors}lora/llama`;
      const path = join(folder, "adapter");
      mkdirSync(path);
      const config = JSON.parse(readFileSync(join(source, "adapter_config.json"), "utf8")) as Record<string, unknown>;
      const weights = readFileSync(join(source, "adapter_model.safetensors"));
      const make = (random: (bound: number) => number) => {
        const what = random(3);
        const changed = what === 0 ? config : changeConfig(config, random);
        writeFileSync(join(path, "adapter_config.json"), JSON.stringify(changed));
        const [mutant] = mutants(weights, random(2 ** 31), 1);
        if (what === 0) writeFileSync(join(path, "adapter_model.safetensors"), mutant!.bytes);
        else copyFileSync(join(source, "adapter_model.safetensors"), join(path, "adapter_model.safetensors"));
        return what === 0 ? mutant!.label : JSON.stringify(changed).slice(0, 2000);
      };
      const { refused } = await attack(make, () => useAdapter(model, path), "adapter");
      expect(refused).toBeGreaterThan(count / 5);
      model.close();
    },
    timeout,
  );

  it(
    "of llama.cpp run, or are refused by name",
    async () => {
      const model = llama();
      const whole = readAdapter(`${vectors}lora/llama`, model);
      const path = join(folder, "adapter.gguf");
      const make = (random: (bound: number) => number) => {
        const parts = ggufAdapter(whole);
        const label = changeParts(parts, random);
        rmSync(path, { force: true });
        writeFileSync(path, damaged(putTogether(parts), random));
        return label;
      };
      const { valid, refused } = await attack(make, () => useAdapter(model, path), "adapter");
      expect(valid).toBeGreaterThan(count / 50);
      expect(refused).toBeGreaterThan(count / 4);
      model.close();
    },
    timeout,
  );
});

/** An adapter of a model without experts in the parts of a GGUF file. */
function ggufAdapter({ terms }: LoraAdapter): GgufParts {
  const string = (name: string, value: string) => {
    const bytes = Buffer.from(value);
    const length = new Uint8Array(BigUint64Array.of(BigInt(bytes.length)).buffer);
    return { name, type: "string" as const, value: new Uint8Array(Buffer.concat([length, bytes])) };
  };
  const values = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength);
  return {
    keys: [
      ...[string("general.type", "adapter"), string("general.architecture", "llama"), string("adapter.type", "lora")],
      { name: "adapter.lora.alpha", type: "f32", value: new Uint8Array(Float32Array.of(6).buffer) },
    ],
    tensors: terms.flatMap(({ target, rank, a, b }) =>
      (["a", "b"] as const).map((part) => ({
        ...{ name: `${target.tensor}.lora_${part}`, ggml: 0, data: values(part === "a" ? a : b) },
        dimensions: (part === "a" ? [target.in, rank] : [rank, target.out]).map(BigInt),
      })),
    ),
  };
}

const patterns = [
  "(.*)*x",
  "q_proj",
  "[a-",
  "(a|b){50}",
  "(?=x)",
  "^model.*",
  "\\",
  "(((a+)+)+)+$",
  "x".repeat(5000),
  ".*",
];
const fields = [
  "r",
  "lora_alpha",
  "rank_pattern",
  "alpha_pattern",
  "target_modules",
  "use_rslora",
  "bias",
  "peft_type",
];
const others = [
  "use_dora",
  "modules_to_save",
  "layers_to_transform",
  "init_lora_weights",
  "exclude_modules",
  "layer_replication",
];

/** One to three fields of a configuration with values that others have, or that nobody would write. */
function changeConfig(config: Readonly<Record<string, unknown>>, random: (bound: number) => number) {
  const changed: Record<string, unknown> = { ...config };
  const any = (): unknown => {
    const number = [0, -1, 1.5, 1e308, 2 ** 31, 2 ** 53, 4, 8][random(8)];
    const pattern = patterns[random(patterns.length)]!;
    return [number, pattern, null, true, [pattern], { [pattern]: number }, { [pattern]: pattern }, [[number]], {}, ""][
      random(10)
    ];
  };
  for (let changes = 1 + random(3); changes > 0; changes--) {
    const names = [...fields, ...others];
    changed[names[random(names.length)]!] = any();
  }
  return changed;
}
