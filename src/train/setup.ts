import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { ioError } from "../bytes/io-error.ts";
import { show } from "../bytes/json-fields.ts";
import { decodeText } from "../bytes/text.ts";
import { readTextBytes } from "../bytes/text-file.ts";
import { readWhole } from "../bytes/whole-file.ts";
import { tokenizerMetadata } from "../convert/tokenizer-metadata.ts";
import { counted, GrokError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf/encode.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { createJinjaTemplate } from "../generate/chat-template.ts";
import { decodeRow } from "../tensor/decode.ts";
import { elementCount, readTensor } from "../tensor/tensor.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import { createSentencePiece } from "../tokenizer/sentencepiece.ts";
import { readSentencePieceModel } from "../tokenizer/sentencepiece-file.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { TrainConfig } from "./config.ts";
import { type Corpus, loadCorpus } from "./data/corpus.ts";
import { type HeldOutSet, heldOutSets } from "./data/held-out.ts";
import { type BatchStream, createBatchStream } from "./data/stream.ts";
import { drawValues, type ParameterSpec, parameterSpecs } from "./parameters.ts";
import { openCheckpoint, openLastCheckpoint, type RunState } from "./run-checkpoint.ts";

/** What a configuration's files say, read and checked. */
export interface TrainSetup {
  readonly config: TrainConfig;
  readonly tokenizer: Tokenizer;
  /** `tokenizer.*` of the exported model. */
  readonly tokenizerMetadata: readonly (readonly [string, GgufValue])[];
  /** Rows of the embedding. */
  readonly vocab: number;
  readonly specs: readonly ParameterSpec[];
  /** [vocab] UTF-8 bytes a token stands for. */
  readonly tokenBytes: Uint16Array;
  readonly corpora: readonly Corpus[];
  readonly heldOut: readonly HeldOutSet[];
  /** A new stream at the beginning of the data. */
  stream(): BatchStream;
}

/** @throws GrokError of what cannot be read, naming the file. */
export async function prepareTraining(
  config: TrainConfig,
  onFile: (file: string) => void = () => {},
): Promise<TrainSetup> {
  const { model } = config;
  // A model file can stand for its tokenizer, so there is no telling how long it is.
  const tokenizerBytes = Buffer.from(readWhole(config.tokenizer, Number.POSITIVE_INFINITY).buffer);
  const templateBytes = config.chatTemplate === undefined ? undefined : readTextBytes(config.chatTemplate);
  const chatTemplate = templateBytes && decodeText(templateBytes, config.chatTemplate!);
  const { tokenizer, metadata, vocab } = openTokenizer(config, tokenizerBytes);
  const encodingKey = createHash("sha256")
    .update(createHash("sha256").update(tokenizerBytes).digest())
    .update(templateBytes ?? "")
    .digest("hex");
  const corpora: Corpus[] = [];
  for (const source of config.data.sources) {
    corpora.push(
      await loadCorpus(source, {
        tokenizer,
        ...(chatTemplate !== undefined && { template: createJinjaTemplate(chatTemplate, config.chatTemplate!) }),
        addBos: true,
        addEos: true,
        context: model.context,
        encodingKey,
        cache: config.data.cache,
        onFile,
      }),
    );
  }
  const { batchTokens, accumulation, replicas, seed } = config;
  const { context } = model;
  return {
    config,
    tokenizer,
    tokenizerMetadata:
      chatTemplate === undefined
        ? metadata
        : [...metadata, ["tokenizer.chat_template", { type: "string", value: chatTemplate }]],
    vocab,
    specs: parameterSpecs(model, vocab),
    tokenBytes: Uint16Array.from({ length: vocab }, (_, id) =>
      id < tokenizer.vocabSize ? tokenizer.bytes(id).length : 0,
    ),
    corpora,
    heldOut: heldOutSets(corpora, { context, batchTokens, maxTokens: config.evaluation.maxTokens }),
    stream: () => createBatchStream(corpora, { context, batchTokens, accumulation, replicas, seed }),
  };
}

function openTokenizer(config: TrainConfig, bytes: Buffer) {
  const { tokenizer: path } = config;
  const sizeFor = (pieces: number): number => {
    const { vocabulary = pieces } = config.model;
    if (vocabulary < pieces) {
      throw new GrokError(
        "argument",
        `${config.path}: model.vocabulary is ${vocabulary}, and the tokenizer has ${counted(pieces, "piece")}`,
        { path: config.path },
      );
    }
    return vocabulary;
  };
  if (bytes.toString("latin1", 0, 4) !== "GGUF") {
    const model = readSentencePieceModel(bytes, path);
    const vocab = sizeFor(model.pieces.count);
    return { tokenizer: createSentencePiece(model), metadata: tokenizerMetadata(model, vocab), vocab };
  }
  const file = openGguf(path);
  try {
    const tokenizer = tokenizerFromGguf(file.metadata, path);
    const metadata = [...file.metadata.keys()]
      .filter((key) => key.startsWith("tokenizer.ggml."))
      // A copy: the values are views of a file that is about to be closed.
      .map((key) => {
        const { type, encoded } = file.metadata.encoded(key);
        return [key, { type, encoded: encoded.slice() }] as const;
      });
    const vocab = sizeFor(tokenizer.vocabSize);
    if (vocab !== tokenizer.vocabSize) {
      throw new GrokError("unsupported", `${config.path}: model.vocabulary beyond the pieces of a GGUF tokenizer`, {
        path: config.path,
      });
    }
    return { tokenizer, metadata, vocab };
  } finally {
    file.close();
  }
}

/** Where first values come from. */
export interface Initial {
  values(spec: ParameterSpec): Float32Array | Float64Array;
  close(): void;
}

/**
 * The first values that a configuration asks for: random, or those of a checkpoint, of a run's folder (its last checkpoint) or
 * of a GGUF model. @throws GrokError naming the file that is missing, damaged or of another shape.
 */
export function openInitial({ initial, seed }: TrainConfig): Initial {
  if (initial === undefined) return { values: (spec) => drawValues(spec, seed), close() {} };
  if (initial.endsWith(".gguf")) return ggufValues(initial);
  const checkpoint = isFolder(initial) ? openLastCheckpoint(initial) : openCheckpoint(initial);
  return { values: ({ name, shape }) => checkpoint.values("values", name, shape), close: checkpoint.close };
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw ioError("read", path, error);
  }
}

function ggufValues(path: string): Initial {
  const file = openGguf(path);
  return {
    values({ name, shape }) {
      const tensor = file.tensors.get(name);
      if (tensor === undefined || tensor.shape.length !== shape.length || tensor.shape.some((n, i) => n !== shape[i])) {
        const found = tensor === undefined ? "is missing" : `has shape [${tensor.shape.join(", ")}]`;
        throw new GrokError("shape", `${path}: tensor ${name} ${found}, expected one of [${shape.join(", ")}]`, {
          path,
          tensor: name,
        });
      }
      const values = new Float32Array(elementCount(shape));
      decodeRow(tensor.type, readTensor(tensor, 0, shape[0]!), values);
      return values;
    },
    close: () => file.close(),
  };
}

/** @throws GrokError `argument` naming the first measure in which a checkpoint's model is another one. */
export function checkSameModel(checkpoint: Checkpoint<RunState>, { config, vocab }: TrainSetup): void {
  const { model } = checkpoint.state;
  for (const [key, value] of Object.entries({ ...config.model, vocabulary: vocab })) {
    const found = key === "vocabulary" ? checkpoint.state.vocab : model[key as keyof typeof model];
    if (key === "name" || found === value) continue;
    throw new GrokError(
      "argument",
      `${checkpoint.path}: the checkpoint's model has ${key} ${show(found)}, the configuration ${show(value)}`,
      { path: checkpoint.path, entry: key },
    );
  }
}
