import { dirname, resolve } from "node:path";
import { parseJson } from "../bytes/json.ts";
import { createFields, type Fields } from "../bytes/json-fields.ts";
import { readTextFile } from "../bytes/text-file.ts";
import { GrokError } from "../errors.ts";
import { type DataFormat, type DataKeys, type DataSource, dataFormats, defaultDataSource } from "./data/source.ts";

/** A training run, as its configuration file says. Paths are absolute; the file's are relative to the file. */
export interface TrainConfig {
  /** The configuration file. */
  readonly path: string;
  readonly model: TrainModel;
  /** What the exported model says of itself, as `general.*`. */
  readonly about?: TrainAbout;
  /** A `tokenizer.model` or a GGUF file; its pieces are the model's vocabulary. */
  readonly tokenizer: string;
  /** A Jinja chat template; needed for chat data, and written into the exported model. */
  readonly chatTemplate?: string;
  /** A checkpoint or model to go on from; absent: random weights. */
  readonly initial?: string;
  /** Folder for checkpoints, logs and the exported model. */
  readonly out: string;
  readonly data: TrainData;
  readonly optimizer: TrainOptimizer;
  readonly losses: TrainLosses;
  /** Steps of the optimizer. */
  readonly steps: number;
  /** Rows of one forward pass. */
  readonly batchTokens: number;
  /** Forward passes of a replica a step. */
  readonly accumulation: number;
  readonly replicas: number;
  readonly seed: number;
  readonly evaluation: { readonly interval: number; readonly maxTokens: number };
  readonly checkpoint: { readonly interval: number; readonly keep: number };
}

export interface TrainAbout {
  readonly author?: string;
  readonly description?: string;
  /** An SPDX licence expression. */
  readonly license?: string;
}

export interface TrainModel {
  readonly architecture: "grok";
  readonly name: string;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly experts: number;
  /** Experts a token goes to. */
  readonly used: number;
  /** Inner width of an expert. */
  readonly hidden: number;
  /** Pieces; absent: as many as the tokenizer has. More than that leaves ids without use. */
  readonly vocabulary?: number;
  /** Tokens of a sequence. */
  readonly context: number;
  readonly ropeBase: number;
}

export interface TrainData {
  readonly sources: readonly DataSource[];
  /** Folder for tokenized files. */
  readonly cache: string;
}

export interface TrainOptimizer {
  /** Highest rate, after the warm-up. */
  readonly rate: number;
  /** The rate falls along a cosine to this share of `rate`. */
  readonly finalShare: number;
  readonly warmup: number;
  readonly weightDecay: number;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  /** Gradients are scaled down to this norm. */
  readonly clip: number;
}

export interface TrainLosses {
  /** Factor of the load-balancing loss over experts. */
  readonly balance: number;
  /** Factor of the router's z-loss. */
  readonly routerZ: number;
}

/** What holds where a configuration says nothing. */
const defaultTrainConfig = {
  optimizer: { rate: 6e-4, finalShare: 0.1, warmup: 100, weightDecay: 0.1, betas: [0.9, 0.95], epsilon: 1e-8, clip: 1 },
  losses: { balance: 0.01, routerZ: 0.001 },
  batchTokens: 8192,
  accumulation: 1,
  replicas: 1,
  seed: 1,
  evaluation: { interval: 250, maxTokens: 50_000 },
  checkpoint: { interval: 250, keep: 2 },
  ropeBase: 10_000,
} as const;

/** @throws GrokError `io`; `argument` naming the file and the entry. */
export function readTrainConfig(path: string): TrainConfig {
  const content = readTextFile(path);
  let value: unknown;
  try {
    value = parseJson(content);
  } catch (error) {
    throw new GrokError("argument", `${path}: not JSON: ${(error as Error).message}`, { path }, error);
  }
  return parseTrainConfig(value, path);
}

/** Checks a configuration and fills in the defaults. @throws GrokError `argument` naming `path` and the entry. */
export function parseTrainConfig(value: unknown, path: string): TrainConfig {
  const defaults = defaultTrainConfig;
  const fields = createFields(value, path, "");
  const folder = dirname(resolve(path));
  const file = (text: string | undefined) => (text === undefined ? undefined : resolve(folder, text));
  const model = readModel(fields.object("model"));
  const about = readAbout(fields.object("about", {}));
  const optimizer = fields.object("optimizer", {});
  const losses = fields.object("losses", {});
  const evaluation = fields.object("evaluation", {});
  const checkpoint = fields.object("checkpoint", {});
  const steps = fields.integer("steps", 1);
  const chatTemplate = file(fields.text("chatTemplate", null));
  const initial = file(fields.text("initial", null));
  const config: TrainConfig = {
    path,
    model,
    ...(about !== undefined && { about }),
    tokenizer: file(fields.text("tokenizer"))!,
    ...(chatTemplate !== undefined && { chatTemplate }),
    ...(initial !== undefined && { initial }),
    out: file(fields.text("out"))!,
    data: readData(fields.object("data"), folder),
    optimizer: {
      rate: optimizer.number("rate", 0, 1, defaults.optimizer.rate),
      finalShare: optimizer.number("finalShare", 0, 1, defaults.optimizer.finalShare),
      warmup: optimizer.integer("warmup", 0, undefined, Math.min(defaults.optimizer.warmup, steps)),
      weightDecay: optimizer.number("weightDecay", 0, 10, defaults.optimizer.weightDecay),
      betas: readBetas(optimizer),
      epsilon: optimizer.number("epsilon", 1e-16, 1, defaults.optimizer.epsilon),
      clip: optimizer.number("clip", 1e-6, 1e6, defaults.optimizer.clip),
    },
    losses: {
      balance: losses.number("balance", 0, 10, defaults.losses.balance),
      routerZ: losses.number("routerZ", 0, 10, defaults.losses.routerZ),
    },
    steps,
    batchTokens: fields.integer("batchTokens", 1, 2 ** 24, Math.max(defaults.batchTokens, model.context)),
    accumulation: fields.integer("accumulation", 1, 65536, defaults.accumulation),
    replicas: fields.integer("replicas", 1, 1024, defaults.replicas),
    seed: fields.integer("seed", 0, Number.MAX_SAFE_INTEGER, defaults.seed),
    evaluation: {
      interval: evaluation.integer("interval", 1, undefined, defaults.evaluation.interval),
      maxTokens: evaluation.integer("maxTokens", 1, undefined, defaults.evaluation.maxTokens),
    },
    checkpoint: {
      interval: checkpoint.integer("interval", 1, undefined, defaults.checkpoint.interval),
      keep: checkpoint.integer("keep", 1, 1000, defaults.checkpoint.keep),
    },
  };
  for (const part of [optimizer, losses, evaluation, checkpoint, fields]) part.finish();
  if (config.batchTokens < model.context) {
    fields.fail("batchTokens", `${config.batchTokens} is less than model.context, ${model.context}`);
  }
  if (config.optimizer.warmup > steps)
    optimizer.fail("warmup", `${config.optimizer.warmup} is more than steps, ${steps}`);
  if (chatTemplate === undefined && config.data.sources.some(({ format }) => format === "chat")) {
    fields.fail("chatTemplate", "needed, because a source has the format chat");
  }
  return config;
}

function readModel(fields: Fields): TrainModel {
  const vocabulary = fields.integer("vocabulary", 4, 1 << 20, null);
  const model: TrainModel = {
    architecture: fields.choice("architecture", ["grok"], "grok"),
    name: fields.text("name"),
    layers: fields.integer("layers", 1, 1024),
    width: fields.integer("width", 1, 65536),
    heads: fields.integer("heads", 1, 1024),
    kvHeads: fields.integer("kvHeads", 1, 1024),
    headSize: fields.integer("headSize", 2, 1024),
    experts: fields.integer("experts", 1, 1024),
    used: fields.integer("used", 1, 1024),
    hidden: fields.integer("hidden", 1, 1 << 20),
    ...(vocabulary !== undefined && { vocabulary }),
    context: fields.integer("context", 2, 1 << 20),
    ropeBase: fields.number("ropeBase", 1, 1e12, defaultTrainConfig.ropeBase),
  };
  fields.finish();
  if (model.heads % model.kvHeads !== 0) {
    fields.fail("kvHeads", `${model.kvHeads} does not divide heads, ${model.heads}`);
  }
  if (model.headSize % 2 !== 0) fields.fail("headSize", `${model.headSize} is odd: rotary embedding turns pairs`);
  if (model.used > model.experts) fields.fail("used", `${model.used} is more than experts, ${model.experts}`);
  return model;
}

function readAbout(fields: Fields): TrainAbout | undefined {
  const entries = (["author", "description", "license"] as const).flatMap((key) => {
    const text = fields.text(key, null);
    return text === undefined ? [] : [[key, text] as const];
  });
  fields.finish();
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function readBetas(fields: Fields): readonly [number, number] {
  const betas = fields.numbers("betas", 0, 1, defaultTrainConfig.optimizer.betas);
  if (betas.length !== 2 || betas.includes(1)) fields.fail("betas", "expected two numbers of at least 0 and below 1");
  return [betas[0]!, betas[1]!];
}

function readData(fields: Fields, folder: string): TrainData {
  const data: TrainData = {
    sources: fields.objects("sources").map((source) => readDataSource(source, folder)),
    cache: resolve(folder, fields.text("cache")),
  };
  fields.finish();
  return data;
}

function readDataSource(fields: Fields, folder: string): DataSource {
  const defaults = defaultDataSource;
  const path = fields.text("path");
  const keys = fields.object("keys", {});
  const source: DataSource = {
    name: fields.text("name", path),
    path: resolve(folder, path),
    format: fields.choice("format", Object.keys(dataFormats) as DataFormat[]),
    weight: fields.number("weight", 1e-9, 1e9, defaults.weight),
    separator: fields.text("separator", defaults.separator),
    keys: Object.fromEntries(
      Object.entries(defaults.keys).map(([name, usual]) => [name, keys.text(name, usual)]),
    ) as unknown as DataKeys,
    overlong: fields.choice("overlong", ["error", "truncate", "skip"], defaults.overlong),
    heldOut: fields.shareOrText("heldOut", defaults.heldOut, (text) => resolve(folder, text)),
  };
  keys.finish();
  fields.finish();
  return source;
}
