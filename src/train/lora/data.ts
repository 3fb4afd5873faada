import { createHash } from "node:crypto";
import type { GgufFile } from "../../formats/gguf/file.ts";
import { createJinjaTemplate, plainTemplate, templateOf } from "../../generate/chat-template.ts";
import type { FilePlace } from "../../tensor/tensor.ts";
import { tokenizerFromGguf } from "../../tokenizer/gguf.ts";
import { type Corpus, loadCorpus } from "../data/corpus.ts";
import type { FinetuneEvent, SettledOptions } from "./options.ts";
import { sourceOf } from "./source.ts";

/** What there is to read, and how. */
export type DataOptions = Pick<SettledOptions, "data" | "heldOut" | "format" | "overlong" | "chatTemplate">;

/** Reads and tokenizes what is fine-tuned on, as the model is used. @throws GrokError naming file and line. */
export async function loadData(
  file: GgufFile,
  given: DataOptions,
  context: number,
  emit: (event: FinetuneEvent) => void,
): Promise<Corpus[]> {
  const tokenizer = tokenizerFromGguf(file.metadata, file.path);
  const own = given.chatTemplate ?? templateOf(file);
  const template = own === undefined ? undefined : createJinjaTemplate(own, file.path);
  const encodingKey = createHash("sha256")
    .update(identify(file))
    .update(own ?? "")
    .digest("hex");
  const { heldOut, overlong } = given;
  const corpora: Corpus[] = [];
  for (const path of given.data) {
    const source = sourceOf(path, {
      ...(given.format !== undefined && { format: given.format }),
      ...(overlong !== undefined && { overlong }),
      heldOut,
    });
    // As in use: a model without a template of its own chats in a plain format, and goes on with a prompt as it is.
    const format = template ?? (source.format === "chat" ? plainTemplate : undefined);
    const corpus = await loadCorpus(source, {
      ...{ tokenizer, context, encodingKey, addBos: tokenizer.addBos, addEos: true },
      ...(format !== undefined && { template: format }),
      onFile: (name) => emit({ type: "file", path: name }),
    });
    // Sources count by what there is of them.
    const weight = corpus.training.reduce(
      (sum, index) => sum + corpus.documents.starts[index + 1]! - corpus.documents.starts[index]!,
      0,
    );
    corpora.push({ ...corpus, source: { ...source, weight } });
  }
  return corpora;
}

/** The largest share of a document's tokens that are learned: no packing of them has more. */
export function largestLearnedShare(corpora: readonly Corpus[]): number {
  let most = 0;
  const look = ({ mask, starts }: Corpus["documents"], chosen: Uint32Array) => {
    if (mask === undefined) most = 1;
    for (let i = 0; most < 1 && i < chosen.length; i++) {
      const [start, end] = [starts[chosen[i]!]!, starts[chosen[i]! + 1]!];
      let learned = 0;
      for (let at = start + 1; at < end; at++) learned += mask![at]!;
      most = Math.max(most, learned / (end - start - 1));
    }
  };
  for (const { documents, training, heldOutDocuments, heldOut } of corpora) {
    look(documents, training);
    look(heldOutDocuments, heldOut);
  }
  return most;
}

/** Bytes of a tensor that tell its weights from another's. */
const sampleBytes = 256;

/** A short hash of a model's size, its tensors' names, types, shapes and places, and a piece from the middle of each. */
export function identify(file: GgufFile): string {
  const hash = createHash("sha256").update(`${file.size}`);
  for (const { name, type, shape, places } of file.tensors.values()) {
    for (const { file: source, offset, bytes } of places as readonly FilePlace[]) {
      const length = Math.min(sampleBytes, bytes);
      hash.update(JSON.stringify([name, type, shape, offset]));
      hash.update(source.read(offset + Math.floor((bytes - length) / 2), length));
    }
  }
  return hash.digest("hex").slice(0, 16);
}
