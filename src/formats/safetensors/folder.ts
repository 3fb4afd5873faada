import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ioError } from "../../bytes/io-error.ts";
import { GrokError, shown } from "../../errors.ts";
import { openSafetensors, refuseMissing, type SafetensorsEntry, type SafetensorsFile } from "./file.ts";

/** The tensors of a folder. */
export interface SafetensorsFolder {
  readonly path: string;
  /** All files that tensors are taken from, and the index where there is one. */
  readonly paths: readonly string[];
  /**
   * By name. Several entries of one name are parts of it, in the order of their files' names: a release that was cut for several
   * devices has each part in a file of its own, and no index.
   */
  readonly tensors: ReadonlyMap<string, readonly SafetensorsEntry[]>;
  close(): void;
}

const ending = ".safetensors";
const indexEnding = ".safetensors.index.json";
/** `NAME-00001-of-00003.safetensors`. */
const numbered = /^(.*)-(\d{5})-of-(\d{5})\.safetensors$/;
/** `NAME-00006-TP-003.safetensors`, the parts of device 3; `NAME-00000-TP-common.safetensors` is whole. */
const cut = /^(.*)-TP-(\d{3}|common)\.safetensors$/;
/** Beside a model: the same weights once more in another layout, and adapters. */
const other = /^(consolidated|adapter_)/;

/**
 * Opens a model's folder: by `model.safetensors.index.json`, or the one index that is there; else `model.safetensors`; else all
 * safetensors files. Only headers are read.
 *
 * @throws GrokError `io` where files are missing, all of them named; `format` for a damaged file, or several indices; `unsupported`
 * where weights are there in another format only.
 */
export function openSafetensorsFolder(path: string): SafetensorsFolder {
  const names = list(path);
  const index = findIndex(path, names);
  const files = index !== undefined ? [index] : findFiles(path, names);
  const opened: SafetensorsFile[] = [];
  const close = () => {
    for (const file of opened) file.close();
  };
  try {
    const tensors = new Map<string, SafetensorsEntry[]>();
    for (const name of files) {
      const file = openSafetensors(join(path, name));
      opened.push(file);
      for (const [tensor, entry] of file.entries) {
        const parts = tensors.get(tensor);
        if (parts === undefined) tensors.set(tensor, [entry]);
        else parts.push(entry);
      }
    }
    const paths = opened.flatMap((file) => file.paths);
    return { path, paths: index === undefined ? paths : [join(path, index), ...paths], tensors, close };
  } catch (error) {
    close();
    throw error;
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch (error) {
    throw ioError("list the folder", path, error);
  }
}

function findIndex(path: string, names: readonly string[]): string | undefined {
  const indices = names.filter((name) => name.endsWith(indexEnding));
  const usual = `model${indexEnding}`;
  if (indices.includes(usual)) return usual;
  if (indices.length <= 1) return indices[0];
  throw new GrokError("format", `${path}: several indices, none of them ${usual}: ${indices.map(shown).join(", ")}`, {
    ...{ path, found: indices },
  });
}

function findFiles(path: string, names: readonly string[]): string[] {
  if (names.includes(`model${ending}`)) return [`model${ending}`];
  const files = names.filter((name) => name.endsWith(ending) && !other.test(name));
  if (files.length === 0) {
    const pickles = names.filter((name) => /\.(bin|pt|pth)$/.test(name));
    throw new GrokError(
      "unsupported",
      pickles.length === 0
        ? `${path}: no safetensors files in the folder`
        : `${path}: weights as ${shown(pickles[0])} only, which are programs (pickles): save the model as safetensors`,
      { path },
    );
  }
  refuseMissing(join(path, files[0]!), expected(files));
  return files;
}

/** The files that there are, by the names and numbers of those that are there. */
function expected(files: readonly string[]): string[] {
  const all = new Set(files);
  let devices = 0;
  for (const name of files) {
    const [, stem, , count] = numbered.exec(name) ?? [];
    for (let i = 1; count !== undefined && i <= Math.min(Number(count), files.length + 1000); i++) {
      all.add(`${stem}-${`${i}`.padStart(5, "0")}-of-${count}${ending}`);
    }
    const device = cut.exec(name)?.[2] ?? "common";
    if (device !== "common") devices = Math.max(devices, Number(device) + 1);
  }
  for (const name of files) {
    const [, stem, device = "common"] = cut.exec(name) ?? [];
    if (device === "common") continue;
    for (let i = 0; i < devices; i++) all.add(`${stem}-TP-${`${i}`.padStart(3, "0")}${ending}`);
  }
  return [...all].sort();
}
