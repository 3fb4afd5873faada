import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll } from "vitest";
import { createJinjaTemplate } from "../../generate/chat-template.ts";
import { tokenizerFromSentencePiece } from "../../tokenizer/sentencepiece-file.ts";
import { createTokenizerTrainer } from "../../tokenizer/train.ts";
import { type Corpus, type CorpusOptions, loadCorpus } from "./corpus.ts";
import { type DataSource, defaultDataSource } from "./source.ts";

export const folder = mkdtempSync(join(tmpdir(), "grok1-data-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

export function put(content: string | Uint8Array, name = `file-${files++}.txt`): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const vector = resolve(import.meta.dirname, "../../../test/vectors/tokenizer/trained.json");
const words = (JSON.parse(readFileSync(vector, "utf8")) as { lines: string[] }).lines.join("\n");
const trainer = createTokenizerTrainer({
  vocabSize: 480,
  controlSymbols: ["<|user|>", "<|assistant|>", "<|end|>"],
  userSymbols: ["\n"],
});
trainer.add(words);
export const tokenizer = tokenizerFromSentencePiece(trainer.train().bytes, "trained");
const template = createJinjaTemplate(
  "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
  "template",
);
export const options: CorpusOptions = {
  tokenizer,
  template,
  addBos: true,
  addEos: true,
  context: 32,
  encodingKey: "test",
};

export function source(path: string, settings: Partial<DataSource>): DataSource {
  return { ...defaultDataSource, name: path, path, format: "text", ...settings };
}
export function load(
  content: string | Uint8Array,
  settings: Partial<DataSource>,
  changes: Partial<CorpusOptions> = {},
) {
  return loadCorpus(source(put(content), settings), { ...options, ...changes });
}
/** A line with a question and one more message, the assistant's unless changed. */
export function chat(changes: Readonly<Record<string, unknown>>): string {
  const messages = [
    { role: "user", content: "a" },
    { role: "assistant", content: "b", ...changes },
  ];
  return JSON.stringify({ messages });
}
export function learned({ documents }: Corpus): string {
  const { ids, mask } = documents;
  return [...ids].map((id, i) => (mask![i] ? tokenizer.decode([id], { special: true }) : "")).join("");
}
export function texts({ documents }: Corpus): string[] {
  return Array.from({ length: documents.count }, (_, i) =>
    tokenizer.decode(documents.ids.subarray(documents.starts[i]!, documents.starts[i + 1]!)),
  );
}

/** The text of the tokens that are learned. */
export function learnedText({ documents }: Corpus, index: number): string {
  const ids = [];
  for (let at = documents.starts[index]!; at < documents.starts[index + 1]!; at++) {
    if (documents.mask![at]) ids.push(documents.ids[at]!);
  }
  return tokenizer.decode(ids, { special: true }).replaceAll(" ", "");
}

export const stories = Array.from(
  { length: 60 },
  (_, i) => `story ${i} ${words.slice(i * 37, i * 37 + ((i * 53) % 400))}`,
);
export const separated = stories.join("\n<|endoftext|>\n");
