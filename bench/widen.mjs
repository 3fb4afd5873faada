// Makes a trained mixture's experts as large as one likes, for measurements of reading: their inner width is multiplied, and what is added is
// zero, so that the model says what it said and routes as it did, in experts of so many times the bytes.
//
// usage: node bench/widen.mjs IN.gguf OUT.gguf --times 64
import { tensorChunks } from "../dist/convert/copy.js";
import { openGguf } from "../dist/formats/gguf/file.js";
import { writeGguf } from "../dist/formats/gguf/write.js";
import { encodedBytes, tensorTypes } from "../dist/tensor/types.js";
import { readOptions } from "./options.mjs";

const {
  times,
  IN: input,
  OUT: [output],
} = readOptions(import.meta.url, { times: 64 }, ["IN", "OUT"]);
const file = openGguf(input);
const stack = /_(gate|up|down)_exps\.weight$/;

/** An expert's own bytes, then zeros; of the projection down, of each row. A block of zero bytes is zeros in every type. */
function* widened({ type, shape, ...tensor }) {
  const [experts, rows, cols] = shape;
  const down = tensor.name.includes("down");
  const pieces = down ? experts * rows : experts;
  const bytes = encodedBytes(type, down ? cols : rows * cols);
  const all = Buffer.concat([...tensorChunks(tensor)]);
  for (let piece = 0; piece < pieces; piece++) {
    const wide = new Uint8Array(times * bytes);
    wide.set(all.subarray(piece * bytes, (piece + 1) * bytes));
    yield wide;
  }
}

const u32 = (value) => ({ type: "u32", value });
await writeGguf(output, {
  metadata: [...file.metadata.keys()].map((key) => {
    if (!/\.(expert_)?feed_forward_length$/.test(key)) return [key, file.metadata.encoded(key)];
    return [key, u32(times * file.metadata.number(key))];
  }),
  tensors: [...file.tensors.values()].map((tensor) => {
    const { name, type, shape } = tensor;
    if (!stack.test(name)) return { name, type, shape, data: () => tensorChunks(tensor) };
    if (tensorTypes[type] === undefined) throw new Error(`${name} is of an unknown type`);
    const [experts, rows, cols] = shape;
    const wide = name.includes("down") ? [experts, rows, times * cols] : [experts, times * rows, cols];
    return { name, type, shape: wide, data: () => widened(tensor) };
  }),
});
file.close();
