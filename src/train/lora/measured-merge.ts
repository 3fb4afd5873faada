import {
  type MergeOptions as FileOptions,
  type MergeResult as FileResult,
  mergeOptionNames as fileOptionNames,
  merge as mergeIntoFile,
} from "../../convert/merge.ts";
import type { EngineOptions } from "../../engine/options.ts";
import { GrokError } from "../../errors.ts";
import { openGguf } from "../../formats/gguf/file.ts";
import { loadModel } from "../../generate/load.ts";
import type { LanguageModel } from "../../generate/types.ts";
import { checkList, checkNames, checkText } from "../../options.ts";
import { countLearned, cutSegments, type Segment } from "../data/segments.ts";
import type { DataFormat } from "../data/source.ts";
import { loadData } from "./data.ts";

export interface MergeOptions extends FileOptions, Pick<EngineOptions, "backend" | "threads"> {
  /** Files of the task, as for `finetune`: what the answers in them cost is measured with the adapters beside the model, and merged. */
  readonly data?: readonly string[];
  /** How the data lies in its files. Default: told from the file. */
  readonly format?: DataFormat;
  /** The Jinja chat template that the adapters were trained with, where it is not the model's own. */
  readonly chatTemplate?: string;
  /** Told how many texts are scored, of all, with the adapters and again with the merged file. */
  readonly onScored?: (done: number, texts: number) => void;
}

/** Mean negative log-likelihood of what is learned from the data, in nats a token. */
export interface MergeLoss {
  /** With the adapters beside the model. */
  readonly adapter: number;
  /** With the merged file. */
  readonly merged: number;
  /** Tokens scored, each time. */
  readonly tokens: number;
}

export interface MergeResult extends FileResult {
  /** Where there was data to measure it by. */
  readonly loss?: MergeLoss;
}

/**
 * Merges adapters into a model's file ({@link mergeIntoFile}); with `data` also measures what that costs in answers. The data is read
 * before anything is written. Documents longer than the context are cut.
 * @throws GrokError what merging throws, what reading the data throws, with file and line; `argument` for an option that only measuring
 * has, without data.
 */
export async function merge(options: MergeOptions): Promise<MergeResult> {
  checkNames("merge", options, [...fileOptionNames, ...Object.keys(measureNames)]);
  const { data, format, chatTemplate, backend, threads, onScored, ...rest } = options;
  if (data === undefined) {
    const idle = Object.entries({ format, chatTemplate, backend, threads, onScored }).find(
      ([, value]) => value !== undefined,
    );
    if (idle !== undefined) {
      throw new GrokError("argument", `${idle[0]} is for measuring, which needs data`, { option: idle[0] });
    }
    return mergeIntoFile(rest);
  }
  checkText("model", options.model);
  checkList("adapters", options.adapters);
  checkList("data", data);
  for (const [i, path] of data.entries()) checkText(`data[${i}]`, path);
  const engine = { ...(backend !== undefined && { backend }), ...(threads !== undefined && { threads }) };
  const adapters = options.adapters.map(({ path, scale = 1 }, i) => ({ path, scale, name: String(i) }));
  // The adapters first: what is wrong with them, or with the data, is told before a file is written.
  const first = await measure(options, await loadModel(options.model, { ...engine, adapters }), undefined);
  const result = await mergeIntoFile(rest);
  const { contextLength } = first;
  const second = await measure(options, await loadModel(options.out, { ...engine, contextLength }), first);
  return { ...result, loss: { adapter: first.loss, merged: second.loss, tokens: first.tokens } };
}

const measureNames = {
  ...{ data: true, format: true, chatTemplate: true, backend: true, threads: true, onScored: true },
} satisfies Record<Exclude<keyof MergeOptions, keyof FileOptions>, true>;

interface Measured {
  readonly segments: readonly Segment[];
  readonly contextLength: number;
  readonly tokens: number;
  readonly loss: number;
}

/** Scores what `before` scored, or reads the data; closes the model. */
async function measure(options: MergeOptions, opened: LanguageModel, before: Measured | undefined): Promise<Measured> {
  await using model = opened;
  const { contextLength } = model.info;
  const segments = before?.segments ?? (await readSegments(options, contextLength));
  const learned = segments.map(({ documents: { mask }, start, count }) => {
    const places = Array.from({ length: count }, (_, i) => i + 1);
    return mask === undefined ? places : places.filter((i) => mask[start + i] === 1);
  });
  const texts = segments.map(({ documents, start, count }, i) => ({
    tokens: documents.ids.subarray(start, start + count + 1),
    from: learned[i]![0]!,
  }));
  let done = before === undefined ? 0 : texts.length;
  const logprobs = await model.score(texts, {
    ...(options.signal && { signal: options.signal }),
    onScored: () => options.onScored?.(++done, 2 * texts.length),
  });
  let [sum, tokens] = [0, 0];
  for (const [i, places] of learned.entries()) {
    for (const place of places) sum -= logprobs[i]![place - places[0]!]!;
    tokens += places.length;
  }
  return { segments, contextLength, tokens, loss: sum / tokens };
}

/** The data as sequences that fit the context, those with something to learn. */
async function readSegments(options: MergeOptions, contextLength: number): Promise<readonly Segment[]> {
  const { model, data = [], format, chatTemplate } = options;
  const file = openGguf(model);
  try {
    // A sequence has a token more than inputs: what its last one has to predict.
    const context = contextLength - 1;
    const corpora = await loadData(
      file,
      {
        ...{ data, heldOut: 0, overlong: "truncate" },
        ...(format !== undefined && { format }),
        ...(chatTemplate !== undefined && { chatTemplate }),
      },
      context,
      () => {},
    );
    const segments = corpora.flatMap(({ documents, training }) => {
      const { starts, counts } = cutSegments(documents, training, context);
      return Array.from(starts, (start, i): Segment => ({ documents, start, count: counts[i]! }));
    });
    const learned = segments.filter((segment) => countLearned(segment) > 0);
    if (learned.length > 0) return learned;
    throw new GrokError("argument", `${data.join(", ")}: nothing to learn fits a context of ${contextLength}`, {
      data: data.join(", "),
    });
  } finally {
    file.close();
  }
}
