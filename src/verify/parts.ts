import { closeSync, existsSync, readSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { readHead } from "../bytes/head.ts";
import { openRegular } from "../bytes/regular-file.ts";
import { readJsonObject } from "../bytes/whole-file.ts";
import { counted } from "../errors.ts";
import { layerTensors, outerTensors } from "../formats/xai/checkpoint.ts";
import { type Check, listSome } from "./report.ts";

/** Whether all files of a checkpoint are there: what can be told by names, sizes and first and last bytes. */

/** Indexes of sharded models are lists of names, a few MB at most. */
const mostIndexBytes = 2 ** 27;

/** All files that a sharded model's index (`*.index.json`, `weight_map`) names. @throws GrokError `io`, `format`. */
export function checkIndex(path: string): Check {
  const map = readJsonObject(path, mostIndexBytes).weight_map;
  const complete = (verdict: Check["verdict"], detail: string): Check => ({ path, check: "complete", verdict, detail });
  if (typeof map !== "object" || map === null || Array.isArray(map)) return complete("failed", "it has no weight_map");
  const names = [...new Set(Object.values(map))];
  const odd = names.filter((name) => typeof name !== "string" || /[\\/]|^\.\.?$/.test(name));
  if (odd.length > 0) return complete("failed", `it names a file outside of its folder: ${listSome(odd.map(String))}`);
  const missing = (names as string[]).filter((name) => !existsSync(join(dirname(path), name))).sort();
  return complete(...sayMissing(missing, names.length));
}

/** The verdict on a list of `count` files of which some may be missing, and its reason. */
export function sayMissing(missing: readonly string[], count: number): [verdict: "ok" | "failed", detail: string] {
  if (missing.length === 0) return ["ok", count === 1 ? "its one file is there" : `all ${count} files are there`];
  return [
    "failed",
    `${missing.length} of ${counted(count, "file")} ${count === 1 ? "is" : "are"} missing: ${listSome(missing)}`,
  ];
}

/** Sets of numbered parts (`NAME-00001-of-00003.EXTENSION`) among a folder's files. */
export function checkNumbered(folder: string, names: readonly string[]): Check[] {
  const sets = new Map<string, { count: number; found: Set<number>; nameOf: (n: number) => string }>();
  for (const name of names) {
    const [, stem, number, count, ending] = /^(.*)-(\d{5})-of-(\d{5})(\.[^.]+)$/.exec(name) ?? [];
    if (stem === undefined) continue;
    const key = `${stem}-of-${count}${ending}`;
    const nameOf = (n: number) => `${stem}-${String(n).padStart(5, "0")}-of-${count}${ending}`;
    if (!sets.has(key)) sets.set(key, { count: Number(count), found: new Set(), nameOf });
    sets.get(key)!.found.add(Number(number));
  }
  return [...sets.values()].map(({ count, found, nameOf }): Check => {
    const missing = Array.from({ length: count }, (_, i) => i + 1).filter((n) => !found.has(n));
    const path = join(folder, nameOf(1));
    if (missing.length === 0) return { path, check: "complete", verdict: "ok", detail: `all ${count} parts are there` };
    const detail = `${missing.length} of ${count} parts are missing: ${listSome(missing.map(nameOf))}`;
    return { path, check: "complete", verdict: "failed", detail };
  });
}

/** Embedding and final norm come first, then these many tensors a layer. */
const [leadingTensors, inLayer] = [outerTensors.length, layerTensors.length];
/** Grok-1's: 64 layers. */
const releaseFiles = leadingTensors + 64 * inLayer;
/** Bytes of Grok-1's embedding, 131072 x 6144 float32: who has it is the release. */
const releaseEmbedding = 131_072 * 6144 * 4;

const tensorName = /^tensor(\d{5})_000$/;

/**
 * xAI's checkpoint: one pickle a tensor, numbered from 0. The same tensor of another layer has the same shape, so all of a kind have
 * the same size; a pickle begins with its protocol and ends with STOP.
 */
export function checkCheckpoint(folder: string, names: readonly string[]): Check {
  const complete = (verdict: Check["verdict"], detail: string): Check => ({
    ...{ path: folder, check: "complete", verdict, detail },
  });
  const numbers = names.flatMap((name) => (tensorName.test(name) ? [Number(name.slice(6, 11))] : []));
  const nameOf = (n: number) => `tensor${String(n).padStart(5, "0")}_000`;
  const sizeOf = (n: number) => statSync(join(folder, nameOf(n))).size;
  const found = new Set(numbers);
  const release = found.has(0) && sizeOf(0) >= releaseEmbedding;
  const last = numbers.reduce((a, b) => Math.max(a, b), 0);
  const layers = Math.max(1, Math.ceil((last + 1 - leadingTensors) / inLayer));
  const count = Math.max(leadingTensors + layers * inLayer, release ? releaseFiles : 0);
  const missing = Array.from({ length: count }, (_, n) => n).filter((n) => !found.has(n));
  if (missing.length > 0) {
    return complete("failed", `${missing.length} of ${count} files are missing: ${listSome(missing.map(nameOf))}`);
  }
  const kinds = Array.from({ length: inLayer }, (_, kind) =>
    Array.from({ length: layers }, (_, layer) => leadingTensors + layer * inLayer + kind),
  );
  const odd = kinds.flatMap((kind) => {
    const sizes = kind.map(sizeOf);
    const usual = mostFrequent(sizes);
    return kind.filter((_, i) => sizes[i] !== usual).map((n) => `${nameOf(n)} (${sizeOf(n)} bytes, expected ${usual})`);
  });
  if (odd.length > 0) return complete("failed", `of another size than in most layers: ${listSome(odd)}`);
  const broken = numbers.sort((a, b) => a - b).filter((n) => !isWholePickle(join(folder, nameOf(n))));
  if (broken.length > 0) return complete("failed", `not a whole pickle: ${listSome(broken.map(nameOf))}`);
  return complete(
    "ok",
    `all ${count} files are there: ${counted(layers, "layer")}${release ? ", Grok-1's release" : ""}`,
  );
}

function mostFrequent(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]![0];
}

/** PROTO (0x80) at the beginning, STOP (".") at the end. */
function isWholePickle(path: string): boolean {
  const { fd, stats } = openRegular(path);
  try {
    const last = Buffer.alloc(1);
    readSync(fd, last, 0, 1, Math.max(0, stats.size - 1));
    return readHead(path, 1)[0] === 0x80 && last[0] === 0x2e;
  } finally {
    closeSync(fd);
  }
}
