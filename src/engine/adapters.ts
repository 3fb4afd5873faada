import { GrokError } from "../errors.ts";
import type { Batch } from "../kernels/ops.ts";
import { checkAdapterScale } from "../model/lora/adapter.ts";
import type { AdaptedOps, AppliedAdapter } from "../model/lora/apply.ts";
import { readAdapter } from "../model/lora/read.ts";
import type { ModelFile } from "../model/model.ts";
import { checkNames } from "../options.ts";

/** A low-rank adapter in the layout of Python's `peft` (its folder, or its `adapter_model.safetensors`), or llama.cpp's GGUF file of one. */
export interface AdapterSource {
  readonly path: string;
  /** What requests call it. Default: the path. */
  readonly name?: string;
  /** Multiplies what the adapter adds; may be negative, from -1000 to 1000. Default 1. */
  readonly scale?: number;
}

/** An adapter that a request uses. */
export interface AdapterChoice {
  readonly name: string;
  /** In place of the scale that it was opened with. */
  readonly scale?: number;
}

/** The adapters that an engine holds, and who uses which. */
export interface AdapterSet {
  /** Those that it holds, at the strength that each was given. */
  readonly held: readonly Required<AdapterChoice>[];
  /** Those of a request; without a choice all, each as it was given. @throws GrokError `argument` for a name that is not there. */
  select(choice: readonly AdapterChoice[] | undefined): AdapterSelection;
  /** Says which adapters each sequence of a batch uses; of a batch that nobody spoke of, all use all. */
  assign(batch: Batch, selections: readonly AdapterSelection[]): void;
}

export interface AdapterSelection {
  /** The same for the same adapters at the same strength: keys and values in a cache are good for one such only. */
  readonly key: string;
  readonly adapters: readonly AppliedAdapter[];
}

export const noAdapters: AdapterSelection = { key: "[]", adapters: [] };

/** Reads and binds adapters, which passes follow from then on. @throws GrokError what reading them throws; `argument` for two of one name, or a scale that is none. */
export function openAdapters(ops: AdaptedOps, file: ModelFile, sources: readonly AdapterSource[]): AdapterSet {
  const held = new Map<string, AppliedAdapter>();
  checkList(sources, sourceNames, "path");
  for (const { path, name = path, scale = 1 } of sources) {
    if (held.has(name)) throw new GrokError("argument", `two adapters have the name ${name}`, { adapter: name });
    checkAdapterScale(name, scale);
    held.set(name, { adapter: ops.bind(readAdapter(path, file)), scale });
  }
  const assigned = new WeakMap<Batch, readonly AdapterSelection[]>();
  const select: AdapterSet["select"] = (choice) => {
    if (choice !== undefined) checkList(choice, choiceNames, "name");
    const chosen = (choice ?? [...held].map(([name]) => ({ name }))).map(({ name, scale }: AdapterChoice) => {
      const found = held.get(name);
      if (found === undefined) {
        const names = [...held.keys()].join(", ");
        throw new GrokError("argument", `there is no adapter ${name}, expected one of ${names}`, { adapter: name });
      }
      return { name, adapter: found.adapter, scale: checkAdapterScale(name, scale ?? found.scale) };
    });
    const twice = chosen.find(({ name }, index) => chosen.findIndex((other) => other.name === name) !== index);
    if (twice) throw new GrokError("argument", `adapter ${twice.name} is chosen twice`, { adapter: twice.name });
    return { key: JSON.stringify(chosen.map(({ name, scale }) => [name, scale])), adapters: chosen };
  };
  const all = select(undefined);
  ops.follow((batch) => (assigned.get(batch) ?? batch.sequences.map(() => all)).map((one) => one.adapters));
  const names = [...held].map(([name, { scale }]) => ({ name, scale }));
  return { held: names, select, assign: (batch, selections) => void assigned.set(batch, selections) };
}

const sourceNames = Object.keys({ path: true, name: true, scale: true } satisfies Record<keyof AdapterSource, true>);
const choiceNames = Object.keys({ name: true, scale: true } satisfies Record<keyof AdapterChoice, true>);

/** Callers from JavaScript have no compiler to tell them. */
function checkList(list: unknown, known: readonly string[], needed: string): void {
  const wrong = (place: string, what: string) =>
    new GrokError("argument", `${place}: expected ${what}`, { option: "adapters" });
  if (!Array.isArray(list)) throw wrong("adapters", `a list of objects with a ${needed}`);
  for (const [index, entry] of (list as unknown[]).entries()) {
    const place = `adapters[${index}]`;
    checkNames(place, entry, known);
    const { [needed]: value, name = "-" } = entry as Record<string, unknown>;
    if (typeof value !== "string" || value === "") throw wrong(place, `a ${needed}`);
    if (typeof name !== "string" || name === "") throw wrong(place, "a text for its name");
  }
}
