// What the accuracy benches share: next-token distributions compared, means with their standard errors, chunks of a text, and the
// copy of a model whose weights are decoded to f32, the exact path that quantized ones are held against.
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { openGguf } from "../dist/formats/gguf/file.js";
import { writeGguf } from "../dist/formats/gguf/write.js";
import { decodeRow } from "../dist/tensor/decode.js";
import { elementCount, readTensor } from "../dist/tensor/tensor.js";

/** Turns a row of logits into natural log-probabilities, in place. */
export function normalize(row) {
  let most = Number.NEGATIVE_INFINITY;
  for (const x of row) if (x > most) most = x;
  let sum = 0;
  for (const x of row) sum += Math.exp(x - most);
  const normalizer = most + Math.log(sum);
  for (let i = 0; i < row.length; i++) row[i] -= normalizer;
}

/** The Kullback-Leibler divergence of `row` from `truth` in nats, both log-probabilities, and whether the most probable token is the same. */
export function compare(truth, row) {
  let divergence = 0;
  let [best, bestTruth] = [0, 0];
  for (let token = 0; token < row.length; token++) {
    divergence += Math.exp(truth[token]) * (truth[token] - row[token]);
    if (row[token] > row[best]) best = token;
    if (truth[token] > truth[bestTruth]) bestTruth = token;
  }
  return { divergence, same: best === bestTruth };
}

export const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;

/** Standard error of the mean of independent values; NaN of fewer than two. */
export function standardError(values) {
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, x) => sum + (x - middle) ** 2, 0) / values.length / (values.length - 1));
}

/**
 * By how much perplexity differs, "+0.136 % ± 0.062", from the chunks' mean losses paired with those of what it is held against:
 * tokens of a chunk depend on each other, chunks hardly do.
 */
export function perplexityChange(losses, held) {
  const ratios = losses.map((loss, i) => loss - held[i]);
  const ratio = Math.exp(mean(ratios));
  const percent = 100 * (ratio - 1);
  const error = ratios.length > 1 ? ` ± ${(100 * ratio * standardError(ratios)).toFixed(3)}` : "";
  return `${percent < 0 ? "" : "+"}${percent.toFixed(3)} %${error}`;
}

/**
 * As many chunks of `context` tokens as `count` says and the text fills, in an order of which any beginning is spread evenly over
 * the whole text: steps of its golden section.
 */
export function spreadChunks(tokens, context, count) {
  const all = Math.floor(tokens.length / context);
  if (all === 0) throw new Error(`the text has ${tokens.length} tokens, fewer than a chunk of ${context}`);
  const divisor = (a, b) => (b === 0 ? a : divisor(b, a % b));
  let step = Math.max(1, Math.round(0.618 * all));
  while (divisor(all, step) !== 1) step++;
  return Array.from({ length: Math.min(all, count) }, (_, i) => {
    const at = ((i * step) % all) * context;
    return tokens.slice(at, at + context);
  });
}

/** Rows found so far, one a chunk, kept in a file where one is named: a run that is cut goes on where it stopped. */
export function openRows(path) {
  const rows =
    path && existsSync(path)
      ? readFileSync(path, "utf8")
          .trim()
          .split("\n")
          .filter(Boolean)
          .map((line) => JSON.parse(line))
      : [];
  return {
    rows,
    add(row) {
      rows.push(row);
      if (path) appendFileSync(path, `${JSON.stringify(row)}\n`);
    },
  };
}

/** What a table says of its text. */
export const describeText = (path, chunks, context) =>
  `${chunks} chunks of ${context} tokens, spread evenly over ${basename(path)}`;

export const readText = (path) => readFileSync(path, "utf8");

/** The path of `path`'s copy in f32, made in `bench/files` the first time; of `path` itself, where nothing in it is quantized. */
export async function decodedCopy(path) {
  const file = openGguf(path);
  try {
    const tensors = [...file.tensors.values()];
    if (tensors.every(({ type }) => type === "f32" || type === "f16" || type === "bf16")) return path;
    const out = join(dirname(fileURLToPath(import.meta.url)), "files", `${basename(path, ".gguf")}-f32.gguf`);
    if (existsSync(out)) return out;
    mkdirSync(dirname(out), { recursive: true });
    const decoded = (tensor) => ({
      name: tensor.name,
      type: "f32",
      shape: tensor.shape,
      *data() {
        const { type, shape } = tensor;
        // A vector is one row.
        const rows = shape.length === 1 ? 1 : shape[0];
        const step = shape[0] / rows;
        for (let i = 0; i < rows; i++) {
          const values = new Float32Array(elementCount(shape) / rows);
          decodeRow(type, readTensor(tensor, i * step, (i + 1) * step), values);
          yield new Uint8Array(values.buffer);
        }
      },
    });
    console.error(`making ${out} …`);
    await writeGguf(out, {
      metadata: [...file.metadata.keys()].map((key) => [key, file.metadata.encoded(key)]),
      tensors: tensors.map(decoded),
    });
    return out;
  } finally {
    file.close();
  }
}
