import { statSync } from "node:fs";
import { isSameSample, sampleOf } from "../bytes/change-check.ts";
import type { DataFile } from "../bytes/data-file.ts";
import { GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";

/** Copies of a model's files, each of the same bytes as far as was looked. */
export interface ModelCopies {
  /** Of each of the model's files that has tensors. */
  readonly files: ReadonlyMap<DataFile, readonly DataFile[]>;
  close(): void;
}

/**
 * Opens copies of a model on other drives. Of each its size, its header and what stands at some places of it are compared.
 * @throws GrokError as `openGguf`; `argument` for what is no copy, or the file itself
 */
export function openCopies(paths: readonly string[], model: GgufFile): ModelCopies {
  const opened: GgufFile[] = [];
  const close = () => {
    for (const each of opened) each.close();
  };
  try {
    const files = new Map<DataFile, DataFile[]>();
    const own = dataFiles(model);
    for (const path of paths) {
      const copy = openGguf(path);
      opened.push(copy);
      const refuse = (problem: string) =>
        new GrokError("argument", `${path} is no copy of ${model.path}: ${problem}`, {
          ...{ option: "copies", path, model: model.path },
        });
      const others = dataFiles(copy);
      if (others.length !== own.length) throw refuse(`it has ${others.length} files, expected ${own.length}`);
      for (const [i, file] of own.entries()) {
        const other = others[i]!;
        if ([file, ...(files.get(file) ?? [])].some((known) => isSame(known, other))) {
          throw refuse(`${other.path} is a file that is read already`);
        }
        if (other.size !== file.size) {
          throw refuse(`${other.path} has ${other.size} bytes, expected ${file.size} as ${file.path}`);
        }
        if (!isSameSample(sampleOf(other), sampleOf(file)) || !sameHead(file, other, headBytes(model, file))) {
          throw refuse(`${other.path} has other bytes than ${file.path}`);
        }
        files.set(file, [...(files.get(file) ?? []), other]);
      }
    }
    return { files, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Files with tensors, in the order of the tensors. */
function dataFiles({ tensors }: GgufFile): DataFile[] {
  const places = [...tensors.values()].flatMap(({ places }) => places);
  return [...new Set(places.flatMap((place) => ("file" in place ? [place.file] : [])))];
}

const isSame = (a: DataFile, b: DataFile) => {
  const [one, other] = [a, b].map(({ path }) => statSync(path));
  return one!.dev === other!.dev && one!.ino === other!.ino;
};

/** Bytes of a file before its first tensor. */
const headBytes = ({ tensors }: GgufFile, of: DataFile) =>
  [...tensors.values()]
    .flatMap(({ places }) => places)
    .reduce((least, place) => ("file" in place && place.file === of ? Math.min(least, place.offset) : least), of.size);

function sameHead(file: DataFile, other: DataFile, bytes: number): boolean {
  for (let at = 0; at < bytes; at += headPiece) {
    const length = Math.min(headPiece, bytes - at);
    if (Buffer.compare(file.read(at, length), other.read(at, length)) !== 0) return false;
  }
  return true;
}

const headPiece = 2 ** 20;
