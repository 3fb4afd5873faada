import { GrokError } from "../../errors.ts";
import type { Dtype } from "../../formats/safetensors/dtypes.ts";
import type { SafetensorsEntry } from "../../formats/safetensors/file.ts";
import type { Config } from "./config.ts";
import { wrongDtype } from "./matrix.ts";
import type { TensorStore } from "./store.ts";

export interface Size {
  readonly rows: number;
  readonly columns: number;
}

/** A quantization's tensor, of one of some dtypes and of a shape. @throws GrokError `shape`, `unsupported`. */
export function packedEntry(
  store: TensorStore,
  name: string,
  dtypes: readonly Dtype[],
  shapes: readonly (readonly number[])[],
): SafetensorsEntry {
  const entry = store.entry(name);
  if (!dtypes.includes(entry.dtype)) throw wrongDtype(entry, dtypes.join(" or "));
  const { shape, source } = entry;
  if (shapes.some((each) => each.length === shape.length && each.every((n, axis) => n === shape[axis]))) return entry;
  const expected = shapes.map((each) => `[${each.join(", ")}]`).join(" or ");
  throw new GrokError("shape", `${source}: tensor ${name} has shape [${shape.join(", ")}], expected ${expected}`, {
    ...{ path: source, tensor: name, found: shape },
  });
}

/** 32-bit words in an array of their own. */
export function wordsOf(entry: SafetensorsEntry): Uint32Array {
  return new Uint32Array(entry.bytes().buffer);
}

/** @throws GrokError `unsupported` unless a matrix's rows are of whole groups of 4-bit words. */
export function groupOf(settings: Config, key: string, { columns }: Size): number {
  const given = settings.get(key);
  const group = given === -1 ? columns : settings.count(key, 1);
  if (columns % group === 0 && columns % 8 === 0) return group;
  throw settings.fail("unsupported", key, `is ${group}, and a matrix has ${columns} columns, expected whole groups`);
}

/** Groups of matrices that compressed-tensors' configuration has, each with its own `weights`. */
export function groupsOf(settings: Config): Config[] {
  const all = settings.section("config_groups");
  const names = Object.keys((settings.get("config_groups") ?? {}) as object);
  return names.flatMap((name) => all?.section(name) ?? []);
}
