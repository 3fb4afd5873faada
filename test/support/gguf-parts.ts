import { createSink } from "../../src/formats/gguf/encode.ts";
import type { GgufFile } from "../../src/formats/gguf/file.ts";
import { type ValueType, valueBytes, valueTypes } from "../../src/formats/gguf/values.ts";
import { readTensor } from "../../src/tensor/tensor.ts";
import { lies } from "./mutate.ts";

type Random = (bound: number) => number;

/** A GGUF file in parts that a mutation can change one by one, and that are then put together whether or not they fit. */
export interface GgufParts {
  readonly keys: { name: string; type: ValueType; value: Uint8Array }[];
  readonly tensors: { name: string; dimensions: bigint[]; ggml: number; data: Uint8Array; offset?: bigint }[];
}

export function takeApart(file: GgufFile): GgufParts {
  const keys = [...file.metadata.keys()].map((name) => {
    const { type, encoded } = file.metadata.encoded(name);
    return { name, type, value: Uint8Array.from(encoded) };
  });
  const tensors = [...file.tensors.values()].map((tensor) => ({
    ...{ name: tensor.name, dimensions: tensor.shape.toReversed().map(BigInt), ggml: tensor.ggml },
    data: Uint8Array.from(readTensor(tensor, 0, tensor.shape[0]!)),
  }));
  return { keys, tensors };
}

export function putTogether({ keys, tensors }: GgufParts): Uint8Array {
  const sink = createSink();
  sink.bytes(Buffer.from("GGUF"));
  sink.u32(3);
  sink.u64(tensors.length);
  sink.u64(keys.length);
  for (const { name, type, value } of keys) {
    sink.string(name);
    sink.u32(valueTypes.indexOf(type));
    sink.bytes(value);
  }
  const padded = (length: number) => Math.ceil(length / 32) * 32;
  let at = 0;
  for (const { name, dimensions, ggml, data, offset = BigInt(at) } of tensors) {
    sink.string(name);
    sink.u32(dimensions.length);
    for (const n of dimensions) sink.u64(n);
    sink.u32(ggml);
    sink.u64(offset);
    at += padded(data.length);
  }
  const start = padded(sink.done().length);
  const bytes = new Uint8Array(start + at);
  bytes.set(sink.done());
  let place = start;
  for (const { data } of tensors) {
    bytes.set(data, place);
    place += padded(data.length);
  }
  return bytes;
}

/** One to three changes to what a file means; `key` chooses which metadata are changed. Returns what was done. */
export function changeParts(parts: GgufParts, random: Random, key: RegExp = /./): string {
  const done: string[] = [];
  for (let changes = 1 + (random(2) && random(3)); changes > 0; changes--) {
    const keys = parts.keys.filter(({ name }) => key.test(name));
    done.push(
      random(5) < 3 || parts.tensors.length === 0 ? changeKey(parts, keys, random) : changeTensor(parts, random),
    );
  }
  return done.join("; ");
}

const names = [
  "blk.0.attn_q.bias",
  "rope_freqs.weight",
  "x".repeat(70),
  "\u0000",
  "blk.9.attn_q.weight",
  "token_embd.weight",
];

function changeKey(parts: GgufParts, keys: GgufParts["keys"], random: Random): string {
  const one = keys[random(keys.length)];
  if (one === undefined) return "nothing";
  switch (random(7)) {
    case 0:
      parts.keys.splice(parts.keys.indexOf(one), 1);
      return `${one.name} taken away`;
    case 1: {
      const other = keys[random(keys.length)]!;
      [one.type, one.value] = [other.type, other.value];
      return `${one.name} as ${other.name}`;
    }
    case 2:
      one.name = random(2) ? `${one.name}x` : names[random(names.length)]!;
      return `a key called ${one.name}`;
    case 3:
      return changeArray(one, random);
    default:
      return changeNumber(one, random);
  }
}

const numbers = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -1,
  0,
  1e-40,
  1e38,
  -0.5,
  3.5,
  2 ** 31,
];

function changeNumber(one: GgufParts["keys"][0], random: Random): string {
  const types = ["f32", "f64", "u32", "i32", "u64", "u8", "bool"] as const;
  const type =
    random(2) && one.type in valueBytes ? (one.type as (typeof types)[number]) : types[random(types.length)]!;
  one.type = type;
  one.value = new Uint8Array(valueBytes[type]);
  const view = new DataView(one.value.buffer);
  if (type === "f32" || type === "f64") {
    const value = numbers[random(numbers.length)]!;
    if (type === "f32") view.setFloat32(0, value, true);
    else view.setFloat64(0, value, true);
    return `${one.name} is ${value}`;
  }
  const lie = lies[random(lies.length)]!;
  for (let i = 0; i < one.value.length; i++) one.value[i] = Number((lie >> BigInt(8 * i)) & 255n);
  return `${one.name} is ${lie} in ${type}`;
}

/** Of an array: another length, another type of items, or values in it that lie. */
function changeArray(one: GgufParts["keys"][0], random: Random): string {
  const value = Uint8Array.from(one.value);
  one.value = value;
  if (one.type !== "array") return changeNumber(one, random);
  const view = new DataView(value.buffer);
  const what = random(4);
  if (what === 0) view.setUint32(0, random(13), true);
  else if (what === 1) view.setBigUint64(4, lies[random(lies.length)]!, true);
  else if (what === 2 && view.getUint32(0, true) !== 8) {
    for (let i = 0; i < 5; i++)
      view.setUint32(12 + 4 * random(Math.max(1, (value.length - 12) >> 2)), Number(lies[random(12)]), true);
  } else {
    for (let i = 0; i < 5; i++) value[12 + random(value.length - 12)] = random(256);
  }
  return `${one.name}: array changed (${what})`;
}

function changeTensor({ tensors }: GgufParts, random: Random): string {
  const at = random(tensors.length);
  const one = tensors[at]!;
  switch (random(8)) {
    case 0:
      tensors.splice(at, 1);
      return `${one.name} taken away`;
    case 1:
      one.dimensions = one.dimensions.map((n) => (random(2) ? n : lies[random(lies.length)]!));
      return `${one.name} of [${one.dimensions}]`;
    case 2:
      one.dimensions = random(2) ? one.dimensions.toReversed() : [...one.dimensions, BigInt(random(3))];
      return `${one.name} of [${one.dimensions}]`;
    case 3:
      one.ggml = random(45);
      return `${one.name} of type ${one.ggml}`;
    case 4:
      one.name = random(2) ? names[random(names.length)]! : tensors[random(tensors.length)]!.name;
      return `a tensor called ${one.name}`;
    case 5:
      one.offset = lies[random(lies.length)]!;
      return `${one.name} at ${one.offset}`;
    case 6: {
      const other = tensors[random(tensors.length)]!;
      [one.data, one.dimensions, one.ggml] = [other.data, other.dimensions, other.ggml];
      return `${one.name} as ${other.name}`;
    }
    default:
      one.data = Uint8Array.from(one.data);
      for (let i = random(64); i >= 0; i--)
        one.data[random(Math.max(1, one.data.length))] = random(2) ? 255 : random(256);
      return `noise in ${one.name}`;
  }
}
