import { createHash } from "node:crypto";
import { type DataFile, openDataFile } from "../bytes/data-file.ts";
import { GrokError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf/encode.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { type TensorToWrite, writeGguf } from "../formats/gguf/write.ts";
import { decodeRow } from "../tensor/decode.ts";
import { elementCount, readTensor, type Tensor } from "../tensor/tensor.ts";

/** What calibration found of one matrix, or of a stack of them: over the tokens that met it, the squares of its inputs. */
export interface MatrixImportance {
  /** [matrices * columns]: sums of squared inputs. */
  readonly squares: Float32Array;
  /** [matrices]: tokens that each matrix met. */
  readonly counts: Float32Array;
}

/** Importance of columns by tensors' names. */
export interface Importance {
  readonly path: string;
  /** Of the file. */
  readonly sha256: string;
  readonly matrices: ReadonlyMap<string, MatrixImportance>;
  /** Names of the texts that it was made from. */
  readonly datasets: readonly string[];
  readonly chunks: number;
  /** Tokens a chunk. */
  readonly chunkTokens: number;
}

/**
 * Mean squared input of each column, matrix after matrix: how much an error in that column weighs. A matrix that no token met is all ones.
 */
export function meanSquares({ squares, counts }: MatrixImportance): Float32Array {
  const columns = squares.length / counts.length;
  return squares.map((sum, i) => {
    const count = counts[Math.floor(i / columns)]!;
    return count > 0 ? sum / count : 1;
  });
}

/**
 * Writes importance in the GGUF layout of llama.cpp's `imatrix`: NAME.in_sum2 [matrices, columns] and NAME.counts [matrices, 1] in f32.
 * @throws GrokError `io`, `cancelled`.
 */
export async function writeImportance(
  path: string,
  { matrices, datasets, chunks, chunkTokens }: Omit<Importance, "path" | "sha256">,
  signal?: AbortSignal,
): Promise<void> {
  const metadata: (readonly [string, GgufValue])[] = [
    ["general.type", { type: "string", value: "imatrix" }],
    ["imatrix.datasets", { type: "array", items: "string", value: datasets }],
    ["imatrix.chunk_count", { type: "u32", value: chunks }],
    ["imatrix.chunk_size", { type: "u32", value: chunkTokens }],
  ];
  const tensors = [...matrices].flatMap(([name, { squares, counts }]): TensorToWrite[] => [
    float(`${name}.in_sum2`, [counts.length, squares.length / counts.length], squares),
    float(`${name}.counts`, [counts.length, 1], counts),
  ]);
  await writeGguf(path, { metadata, tensors }, signal === undefined ? {} : { signal });
}

function float(name: string, shape: readonly number[], values: Float32Array): TensorToWrite {
  return {
    name,
    type: "f32",
    shape,
    data: () => [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)],
  };
}

/**
 * Reads importance: a GGUF file as {@link writeImportance} and llama.cpp write it, or llama.cpp's older `.dat`.
 * @throws GrokError `io`; `format` for what is neither, or has sums that are no numbers.
 */
export function readImportance(path: string): Importance {
  const file = openDataFile(path);
  try {
    const bytes = file.read(0, file.size);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const isGguf = Buffer.from(bytes.subarray(0, 4)).toString("latin1") === "GGUF";
    const found = isGguf ? readGguf(path) : readLegacy(file, bytes);
    for (const [name, { squares, counts }] of found.matrices) {
      if (squares.every((sum) => sum >= 0 && Number.isFinite(sum)) && counts.every((count) => count >= 0)) continue;
      throw new GrokError("format", `${path}: ${name}: a sum of squares that is negative, or no number`, {
        path,
        name,
      });
    }
    return { path, sha256, ...found };
  } finally {
    file.close();
  }
}

type Content = Omit<Importance, "path" | "sha256">;

function readGguf(path: string): Content {
  const file = openGguf(path);
  try {
    const refuse = (problem: string) => new GrokError("format", `${path}: ${problem}`, { path });
    const { metadata, tensors } = file;
    if (!metadata.has("general.type") || metadata.string("general.type") !== "imatrix") {
      throw refuse('is no importance matrix: its general.type is not "imatrix"');
    }
    const matrices = new Map<string, MatrixImportance>();
    for (const [key, tensor] of tensors) {
      if (!key.endsWith(".in_sum2")) continue;
      const name = key.slice(0, -".in_sum2".length);
      const counts = tensors.get(`${name}.counts`);
      if (counts === undefined) throw refuse(`${name} has sums and no counts`);
      const [squares, tokens] = [floats(tensor), floats(counts)];
      if (tokens.length === 0 || squares.length % tokens.length !== 0) {
        throw refuse(`${name}: ${squares.length} sums do not go with ${tokens.length} counts`);
      }
      matrices.set(name, { squares, counts: tokens });
    }
    if (matrices.size === 0) throw refuse("has no sums (NAME.in_sum2)");
    return { matrices, ...described(file) };
  } finally {
    file.close();
  }
}

function described({ metadata }: GgufFile): Pick<Content, "datasets" | "chunks" | "chunkTokens"> {
  return {
    datasets: metadata.has("imatrix.datasets") ? metadata.strings("imatrix.datasets") : [],
    chunks: metadata.has("imatrix.chunk_count") ? metadata.number("imatrix.chunk_count") : 0,
    chunkTokens: metadata.has("imatrix.chunk_size") ? metadata.number("imatrix.chunk_size") : 0,
  };
}

function floats(tensor: Tensor): Float32Array {
  const values = new Float32Array(elementCount(tensor.shape));
  decodeRow(tensor.type, readTensor(tensor, 0, tensor.shape[0] ?? 1), values);
  return values;
}

/** Entries: length and text of a name, calls, number of values, means times calls. Then the calls of all and the text's name. */
function readLegacy({ path }: DataFile, bytes: Uint8Array): Content {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const take = (count: number): number => {
    if (!(count >= 0 && at + count <= bytes.length)) {
      throw new GrokError(
        "format",
        `${path}: is no importance matrix: at byte ${at} it ends, or means what it cannot`,
        {
          ...{ path, offset: at },
        },
      );
    }
    at += count;
    return at - count;
  };
  const int = () => view.getInt32(take(4), true);
  const text = () => {
    const length = int();
    return Buffer.from(bytes.subarray(take(length), at)).toString();
  };
  const matrices = new Map<string, MatrixImportance>();
  const entries = int();
  for (let i = 0; i < entries; i++) {
    const name = text();
    const calls = int();
    const count = int();
    const start = take(4 * count);
    const squares = Float32Array.from({ length: count }, (_, j) => view.getFloat32(start + 4 * j, true));
    matrices.set(name, { squares, counts: Float32Array.of(Math.max(1, calls)) });
  }
  const chunks = at < bytes.length ? int() : 0;
  return { matrices, chunks, datasets: at < bytes.length ? [text()] : [], chunkTokens: 0 };
}
