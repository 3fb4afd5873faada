import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readTextFile } from "../../bytes/text-file.ts";
import { readJsonObject } from "../../bytes/whole-file.ts";
import { GrokError, shown } from "../../errors.ts";
import type { Metadata } from "../source.ts";
import type { Config } from "./config.ts";
import type { Description } from "./layout.ts";
import { readAdded, readTokenizerJson, vocabularyOf } from "./tokenizer/json.ts";
import { readSentencePiece } from "./tokenizer/sentencepiece.ts";
import { readTokJson } from "./tokenizer/tok-json.ts";
import {
  addToken,
  checkId,
  checkVocab,
  type SpecialTokens,
  type Vocabulary,
  vocabularyMetadata,
} from "./tokenizer/vocabulary.ts";

export interface ReadTokenizer {
  /** `tokenizer.*`; empty where the folder has no tokenizer. */
  readonly metadata: Metadata;
  readonly files: readonly string[];
}

const maxConfigBytes = 2 ** 26;

type Json = Readonly<Record<string, unknown>>;

/**
 * A folder's tokenizer and chat template as a GGUF file has them. Of several files, byte-level BPE's `tokenizer.json` counts, then
 * `tokenizer.model`, then `tokenizer.json`; a model's own `tokenizer.tok.json` where none of these is there.
 *
 * @throws GrokError `format` for damage and for ids past the embedding's rows; `unsupported` naming what is not understood.
 */
export function readTokenizer(folder: string, config: Config, description: Description): ReadTokenizer {
  const files: string[] = [];
  /** A file of the folder, noted as read; undefined where it is not there. */
  const find = (name: string): string | undefined => {
    const path = join(folder, name);
    if (!existsSync(path)) return undefined;
    files.push(path);
    return path;
  };
  const read = (name: string): Json | undefined => {
    const path = find(name);
    return path === undefined ? undefined : readJsonObject(path, maxConfigBytes);
  };
  const { vocab, architecture } = description;
  checkVocab(config.path, vocab);
  const vocabulary = readVocabulary(find, vocab, architecture === "grok");
  if (vocabulary === undefined) return { metadata: [], files: [] };
  const settings = read("tokenizer_config.json") ?? {};
  addTokens(vocabulary, folder, settings, read("added_tokens.json"));
  const ends = readEnds(config, read("generation_config.json") ?? {}, vocab);
  const special = chooseSpecial(vocabulary, settings, config, ends, architecture);
  const template = readTemplates(folder, find, settings, description.chatTemplate);
  return { metadata: [...vocabularyMetadata(vocabulary, special, ends), ...template], files };
}

function readVocabulary(
  find: (name: string) => string | undefined,
  vocab: number,
  isGrok: boolean,
): Vocabulary | undefined {
  const [jsonPath, modelPath] = [find("tokenizer.json"), find("tokenizer.model")];
  const json = jsonPath === undefined ? undefined : readTokenizerJson(jsonPath);
  if (json !== undefined && (!json.byteFallback || modelPath === undefined)) return vocabularyOf(json, vocab, isGrok);
  if (modelPath !== undefined) return readSentencePiece(modelPath, vocab);
  const own = find("tokenizer.tok.json");
  return own === undefined ? undefined : readTokJson(own, vocab);
}

/** Tokens beside a SentencePiece model's own. A `tokenizer.json` has them itself. */
function addTokens(vocabulary: Vocabulary, folder: string, settings: Json, added: Json | undefined): void {
  if (!vocabulary.source.endsWith(".model")) return;
  const beside = join(folder, "added_tokens.json");
  for (const [content, id] of Object.entries(added ?? {})) addToken(vocabulary, readAdded(beside, { content }, id));
  const path = join(folder, "tokenizer_config.json");
  const decoder = settings.added_tokens_decoder ?? {};
  if (typeof decoder !== "object" || Array.isArray(decoder)) {
    throw new GrokError("format", `${path}: added_tokens_decoder is ${shown(decoder)}, expected an object`, { path });
  }
  for (const [id, token] of Object.entries(decoder as Json)) addToken(vocabulary, readAdded(path, token, Number(id)));
}

/** All ids at which generation ends, where a configuration has several. */
function readEnds(config: Config, generation: Json, vocab: number): readonly number[] {
  for (const value of [generation.eos_token_id, config.get("eos_token_id")]) {
    if (Array.isArray(value)) return value.map((id) => checkId(config.path, "eos_token_id", id, vocab));
  }
  return [];
}

/**
 * Ids by the names in `tokenizer_config.json`, then by the numbers in `config.json`, then as the tokenizer's own file has them; bos
 * and eos around prompts by the tokenizer's post-processor, then the settings, then as the family's class in transformers.
 */
function chooseSpecial(
  { tokens, own, model }: Vocabulary,
  settings: Json,
  config: Config,
  ends: readonly number[],
  architecture: string,
): SpecialTokens {
  const names = new Map(
    tokens.map((token, id) => [typeof token === "string" ? token : Buffer.from(token).toString(), id]),
  );
  const named = (key: string): number | undefined => {
    const entry = settings[`${key}_token`];
    const name = typeof entry === "object" && entry !== null ? (entry as Json).content : entry;
    return typeof name === "string" ? names.get(name) : undefined;
  };
  const numbered = (key: string): number | undefined => {
    const id = config.get(`${key}_token_id`);
    return typeof id === "number" && Number.isInteger(id) && id >= 0 && id < tokens.length ? id : undefined;
  };
  const flag = (key: string): boolean | undefined => {
    const value = settings[`add_${key}_token`];
    return typeof value === "boolean" ? value : undefined;
  };
  const bos = named("bos") ?? numbered("bos") ?? own.bos;
  const eos = named("eos") ?? numbered("eos") ?? own.eos ?? ends[0];
  return {
    ...{ bos, eos, eot: own.eot },
    unknown: named("unk") ?? numbered("unk") ?? own.unknown,
    pad: named("pad") ?? numbered("pad") ?? own.pad,
    addBos: (own.addBos ?? flag("bos") ?? (model === "llama" && architecture !== "grok")) && bos !== undefined,
    addEos: (own.addEos ?? flag("eos") ?? false) && eos !== undefined,
  };
}

/** The chat template, and others by their names. A file of its own counts before the settings, as transformers has it. */
function readTemplates(
  folder: string,
  find: (name: string) => string | undefined,
  settings: Json,
  fallback: string | undefined,
): Metadata {
  const own = find("chat_template.jinja");
  const old = own === undefined ? find("chat_template.json") : undefined;
  const given =
    own !== undefined
      ? readTextFile(own)
      : (settings.chat_template ??
        (old === undefined ? undefined : readJsonObject(old, maxConfigBytes).chat_template) ??
        fallback);
  const named = new Map<string, string>();
  if (typeof given === "string") named.set("default", given);
  else if (Array.isArray(given)) {
    for (const each of given) {
      if (typeof each?.name === "string" && typeof each.template === "string") named.set(each.name, each.template);
    }
  }
  const more = join(folder, "additional_chat_templates");
  for (const file of existsSync(more) ? readdirSync(more).sort() : []) {
    const path = file.endsWith(".jinja") ? find(join("additional_chat_templates", file)) : undefined;
    if (path !== undefined) named.set(file.replace(/\.jinja$/, ""), readTextFile(path));
  }
  const first = named.get("default");
  named.delete("default");
  const plain = [...named].map(([name, template]) => [name.replace(/[^a-zA-Z0-9]/g, "_"), template] as const);
  return [
    ...(first === undefined ? [] : [["tokenizer.chat_template", { type: "string", value: first }] as const]),
    ...(plain.length === 0
      ? []
      : [
          ["tokenizer.chat_templates", { type: "array", items: "string", value: plain.map(([name]) => name) }] as const,
        ]),
    ...new Map(plain.map(([name, value]) => [`tokenizer.chat_template.${name}`, { type: "string", value } as const])),
  ];
}
