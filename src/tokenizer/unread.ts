import { describeValue, GrokError, shown } from "../errors.ts";
import type { GgufMetadata } from "../formats/gguf/metadata.ts";

/**
 * Metadata that say how text becomes tokens, or which tokens may come, and that no code here reads: such a file's tokens are
 * others, so what changes them is refused by name.
 */

/** Keys after `tokenizer.ggml.` that both kinds of tokenizers read. */
const read = [
  ...[
    "model",
    "tokens",
    "token_type",
    "add_bos_token",
    "add_eos_token",
    "bos_token_id",
    "eos_token_id",
    "eos_token_ids",
  ],
  ...["eot_token_id", "eom_token_id", "unknown_token_id", "padding_token_id"],
];

/** What the one kind reads, and what of the other's converters leave in its files without a meaning there. */
const readByKind: Readonly<Record<string, readonly string[]>> = {
  llama: ["scores", "add_space_prefix", "remove_extra_whitespaces", "precompiled_charsmap", "merges", "pre"],
  gpt2: ["merges", "pre", "scores"],
};

/** Names of single tokens, for uses that callers choose (filling in, masks), and a count that belongs to encoders. */
const harmless = /_token_ids?$|^token_type_count$/;

/** Beside `tokenizer.ggml.`: templates, and the same vocabulary again as the tokenizers library keeps it. */
const harmlessBeside = /^tokenizer\.(chat_templates?(\..*)?|huggingface\.json)$/;

/** @throws GrokError `unsupported` naming the key. */
export function refuseUnread(
  metadata: Pick<GgufMetadata, "keys" | "get" | "typeOf">,
  kind: string,
  source: string,
): void {
  for (const key of metadata.keys()) {
    if (!key.startsWith("tokenizer.") || harmlessBeside.test(key)) continue;
    const name = key.startsWith("tokenizer.ggml.") ? key.slice("tokenizer.ggml.".length) : undefined;
    if (name !== undefined && (read.includes(name) || readByKind[kind]!.includes(name) || harmless.test(name)))
      continue;
    // Values that switch nothing on.
    const count = metadata.typeOf(key)?.count;
    if (count === 0) continue;
    const value = count === undefined ? metadata.get(key) : undefined;
    if (count === undefined && [0, 0n, false, "", "none"].includes(value as string)) continue;
    const found =
      count === undefined ? (typeof value === "object" ? describeValue(value) : shown(value)) : `a list of ${count}`;
    throw new GrokError(
      "unsupported",
      `${source}: ${shown(key)} is ${found}, which grok1 does not follow: a tokenizer that does gives other tokens`,
      { source, key },
    );
  }
}
