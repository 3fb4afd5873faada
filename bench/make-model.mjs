// Writes a GGUF of the `grok` architecture with random weights, for benchmarks: real shapes, any of a few tensor types,
// no download. Quantized blocks are drawn directly (random quants under a constant scale), so gigabytes take seconds.
//
// usage: node bench/make-model.mjs OUT.gguf [--layers 2] [--width 6144] [--hidden 32768] [--heads 48] [--kv-heads 8]
//        [--head-size 128] [--experts 8] [--used 2] [--vocabulary 131072] [--context 8192] [--type q4_0] [--seed 1] [--skew 0]
//        [--tokenizer MODEL]
//        a tokenizer of SentencePiece's gives its pieces; else they are made up
//        types: q4_0 q8_0 q4_k q6_k f16 f32; the embedding is q8_0 unless the type is a float.
//
// --skew S: a router that prefers some experts, others in each layer: its choices follow a Zipf law, the one of rank r as likely as r^-S before
// what the token itself says. Attention, which shares what tokens have in common, gives routing a locality in time with or without that.
// Measured over 8 layers of 8 experts, two of them used, 300 tokens: the share that a layer's most used expert has of its choices, and how
// often one of a token's two was one of the token before, by layer:
//   S = 0: 0.17 to 0.31, 0.47 to 0.72; S = 0.7: 0.20 to 0.40, 0.54 to 0.80; S = 1: 0.22 to 0.44, 0.61 to 0.88.
// Mixtral 8x7B has 0.46 to 0.67 for the second by its paper (Jiang et al. 2024, section 5), where chance has 0.46.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { tokenizerMetadata } from "../dist/convert/tokenizer-metadata.js";
import { writeGguf } from "../dist/formats/gguf/write.js";
import { toF16 } from "../dist/tensor/f16.js";
import { encodedBytes, tensorTypes } from "../dist/tensor/types.js";
import { readSentencePieceModel } from "../dist/tokenizer/sentencepiece-file.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    Object.entries({
      layers: "2",
      width: "6144",
      hidden: "32768",
      heads: "48",
      "kv-heads": "8",
      "head-size": "128",
      experts: "8",
      used: "2",
      vocabulary: "131072",
      context: "8192",
      type: "q4_0",
      seed: "1",
      skew: "0",
      tokenizer: "",
    }).map(([name, fallback]) => [name, { type: "string", default: fallback }]),
  ),
});
const path = positionals[0];
if (!path) {
  console.error("usage: node bench/make-model.mjs OUT.gguf [--layers N] [--type q4_0] …");
  process.exit(2);
}
const n = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));
const type = values.type;
const types = ["q4_0", "q8_0", "q4_k", "q6_k", "f16", "f32"];
const isGood = (name, value) => (name === "skew" ? value >= 0 && value <= 10 : Number.isInteger(value) && value >= 0);
const wrong = Object.entries(n).find(
  ([name, value]) => name !== "type" && name !== "tokenizer" && !isGood(name, value),
);
if (wrong || !types.includes(type)) {
  console.error(
    wrong
      ? `--${wrong[0]} is ${values[wrong[0]]}, expected ${wrong[0] === "skew" ? "a number from 0 to 10" : "a whole number"}`
      : `--type is ${type}, expected ${types.join(", ")}`,
  );
  process.exit(2);
}

// xoshiro128** is more than a benchmark file needs; a 32-bit mix is enough for quants that only have to vary.
let state = n.seed >>> 0;
function random32() {
  state = (state + 0x9e3779b9) >>> 0;
  let z = state;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}
function normal() {
  const u = (random32() + 1) / 2 ** 32;
  return Math.sqrt(-2 * Math.log(u)) * Math.cos((2 * Math.PI * random32()) / 2 ** 32);
}

/** Fills one block so that its values have a standard deviation of about `std` and a mean of about zero. */
const fillers = {
  q4_0(view, at, std) {
    view.setUint16(at, toF16(std / 4.61), true);
  },
  q8_0(view, at, std) {
    view.setUint16(at, toF16(std / 73.9), true);
  },
  q4_k(view, at, std) {
    // d, dmin, then 6-bit scales and minimums packed in 12 bytes: all 32 (the pattern below spells 32 eight times over).
    view.setUint16(at, toF16(std / (4.61 * 32)), true);
    view.setUint16(at + 2, toF16((std * 7.5) / (4.61 * 32)), true);
    for (let i = 0; i < 8; i++) view.setUint8(at + 4 + i, 0x80 | 32);
    for (let i = 8; i < 12; i++) view.setUint8(at + 4 + i, 0);
  },
  q6_k(view, at, std) {
    for (let i = 192; i < 208; i++) view.setInt8(at + i, 32);
    view.setUint16(at + 208, toF16(std / (18.5 * 32)), true);
  },
};

/** Yields `bytes` bytes of random blocks: one megabyte-sized stretch drawn once, then repeated from a varying block on. */
function* blocks(tensorType, bytes, std) {
  const { blockBytes } = tensorTypes[tensorType];
  if (tensorType === "f32" || tensorType === "f16") {
    const count = Math.min(bytes / blockBytes, 1 << 20);
    const chunk = tensorType === "f32" ? new Float32Array(count) : new Uint16Array(count);
    for (let i = 0; i < count; i++) chunk[i] = tensorType === "f32" ? normal() * std : toF16(normal() * std);
    yield* repeat(new Uint8Array(chunk.buffer), bytes, blockBytes);
    return;
  }
  const count = Math.min(bytes / blockBytes, 1 << 16);
  const chunk = new Uint8Array(Math.ceil((count * blockBytes) / 4) * 4);
  const words = new Uint32Array(chunk.buffer);
  for (let i = 0; i < words.length; i++) words[i] = random32();
  const view = new DataView(chunk.buffer);
  for (let block = 0; block < count; block++) fillers[tensorType](view, block * blockBytes, std);
  yield* repeat(chunk.subarray(0, count * blockBytes), bytes, blockBytes);
}

function* repeat(chunk, bytes, blockBytes) {
  const count = chunk.length / blockBytes;
  for (let done = 0; done < bytes; ) {
    const from = done === 0 ? 0 : (random32() % count) * blockBytes;
    const piece = chunk.subarray(from, from + Math.min(chunk.length - from, bytes - done));
    yield piece;
    done += piece.length;
  }
}

function* gains(width, name) {
  const chunk = new Float32Array(width);
  for (let i = 0; i < width; i++) chunk[i] = 1 + 0.1 * normal();
  if (n.skew > 0) chunk[0] = /ffn_norm/.test(name) ? 1 : /output_norm\b/.test(name) ? 0 : chunk[0];
  yield new Uint8Array(chunk.buffer);
}

// A skewed router has to know what to prefer without a bias of its own: the first element of the residual stream is the same for all tokens,
// as some are in trained models. Embeddings begin with it, and no layer adds to it.
const embeddingScale = 78.38367176906169;
const shared = 127 / 73.9;

/** Rows of an embedding, each with the shared element first. */
function* sharing(pieces, { type, rowBytes, std }) {
  let done = 0;
  for (const piece of pieces) {
    const copy = piece.slice();
    const view = new DataView(copy.buffer);
    for (let at = (rowBytes - (done % rowBytes)) % rowBytes; at < copy.length; at += rowBytes) {
      if (type === "q8_0") view.setInt8(at + 2, 127);
      else if (type === "f16") view.setUint16(at, toF16(shared * std), true);
      else view.setFloat32(at, shared * std, true);
    }
    done += piece.length;
    yield copy;
  }
}

/** Gumbel's distribution has it: what is largest of log p + g comes with probability p. */
const gumbelDeviation = Math.PI / Math.sqrt(6);

/** A layer's router, whose logits are those of a Zipf law, in an order of the layer's own, and what the token says. */
function* skewedRouter(layer) {
  const chunk = new Float32Array(n.experts * n.width);
  for (let i = 0; i < chunk.length; i++) chunk[i] = (gumbelDeviation * normal()) / Math.sqrt(n.width);
  const ranks = Array.from({ length: n.experts }, (_, i) => i + 1);
  for (let i = ranks.length - 1; i > 0; i--) {
    const j = random32() % (i + 1);
    [ranks[i], ranks[j]] = [ranks[j], ranks[i]];
  }
  // Norms of what attention and experts give to the residual stream have gains of about 1.
  const embedded = embeddingScale / Math.sqrt(n.width);
  const value = (shared * embedded) / Math.sqrt(embedded ** 2 + 2 * layer + 1);
  for (const [expert, rank] of ranks.entries()) chunk[expert * n.width] = (-n.skew * Math.log(rank)) / value;
  yield new Uint8Array(chunk.buffer);
}

function* dataOf({ name, type, shape }, elements) {
  const width = shape.at(-1);
  const std = 1 / Math.sqrt(width);
  if (shape.length === 1) return yield* gains(width, name);
  if (n.skew > 0 && name.includes("ffn_gate_inp")) return yield* skewedRouter(Number(name.split(".")[1]));
  const pieces = blocks(type, encodedBytes(type, elements), std);
  const shares = n.skew > 0 && name === "token_embd.weight";
  yield* shares ? sharing(pieces, { type, rowBytes: encodedBytes(type, width), std }) : pieces;
}

const quantized = type !== "f32" && type !== "f16";
const q = n.heads * n["head-size"];
const kv = n["kv-heads"] * n["head-size"];
const projection = (name, shape, tensorType = type) => ({ name, type: tensorType, shape });
const gain = (name) => projection(name, [n.width], "f32");
const tensors = [
  projection("token_embd.weight", [n.vocabulary, n.width], quantized ? "q8_0" : type),
  gain("output_norm.weight"),
];
for (let layer = 0; layer < n.layers; layer++) {
  const at = (name) => `blk.${layer}.${name}.weight`;
  tensors.push(
    gain(at("attn_norm")),
    projection(at("attn_q"), [q, n.width]),
    projection(at("attn_k"), [kv, n.width]),
    projection(at("attn_v"), [kv, n.width]),
    projection(at("attn_output"), [n.width, q]),
    gain(at("attn_output_norm")),
    gain(at("ffn_norm")),
    projection(at("ffn_gate_inp"), [n.experts, n.width], "f32"),
    projection(at("ffn_gate_exps"), [n.experts, n.hidden, n.width]),
    projection(at("ffn_down_exps"), [n.experts, n.width, n.hidden]),
    projection(at("ffn_up_exps"), [n.experts, n.hidden, n.width]),
    gain(at("layer_output_norm")),
  );
}

const bytePieces = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
const fillerPieces = Array.from({ length: n.vocabulary - 259 }, (_, i) => `tok${i}`);
const u32 = (value) => ({ type: "u32", value });
const f32 = (value) => ({ type: "f32", value });
const tokenizer = values.tokenizer
  ? Object.fromEntries(
      tokenizerMetadata(readSentencePieceModel(readFileSync(values.tokenizer), values.tokenizer), n.vocabulary, false),
    )
  : {
      "tokenizer.ggml.model": { type: "string", value: "llama" },
      "tokenizer.ggml.tokens": {
        type: "array",
        items: "string",
        value: ["<unk>", "<s>", "</s>", ...bytePieces, ...fillerPieces],
      },
      "tokenizer.ggml.scores": {
        type: "array",
        items: "f32",
        value: Float32Array.from({ length: n.vocabulary }, (_, i) => (i < 259 ? 0 : 259 - i)),
      },
      "tokenizer.ggml.token_type": {
        type: "array",
        items: "i32",
        value: Int32Array.from({ length: n.vocabulary }, (_, i) => (i === 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1)),
      },
      "tokenizer.ggml.bos_token_id": u32(1),
      "tokenizer.ggml.eos_token_id": u32(2),
      "tokenizer.ggml.unknown_token_id": u32(0),
      "tokenizer.ggml.add_bos_token": { type: "bool", value: false },
    };
const metadata = Object.entries({
  "general.architecture": { type: "string", value: "grok" },
  "general.name": {
    type: "string",
    value: `random grok, ${n.layers} layers, ${type}${n.skew > 0 ? `, skew ${n.skew}` : ""}`,
  },
  "grok.block_count": u32(n.layers),
  "grok.context_length": u32(n.context),
  "grok.embedding_length": u32(n.width),
  "grok.feed_forward_length": u32(n.hidden),
  "grok.attention.head_count": u32(n.heads),
  "grok.attention.head_count_kv": u32(n["kv-heads"]),
  "grok.attention.key_length": u32(n["head-size"]),
  "grok.attention.value_length": u32(n["head-size"]),
  "grok.rope.dimension_count": u32(n["head-size"]),
  "grok.rope.freq_base": f32(10000),
  "grok.attention.layer_norm_rms_epsilon": f32(1e-5),
  "grok.expert_count": u32(n.experts),
  "grok.expert_used_count": u32(n.used),
  ...tokenizer,
});

await writeGguf(path, {
  metadata,
  tensors: tensors.map((tensor) => {
    const elements = tensor.shape.reduce((a, b) => a * b, 1);
    return { ...tensor, data: () => dataOf(tensor, elements) };
  }),
});
