import { isUtf8 } from "node:buffer";
import { GrokError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** A token as text; a control token by its name, and a part of a character by its bytes, as `<0xE2><0x80>`. */
export function textOf(tokenizer: Tokenizer, token: number): string {
  // A model's table can have more rows than the tokenizer has pieces.
  if (token >= tokenizer.vocabSize) return `<${token}>`;
  const bytes = Buffer.from(tokenizer.bytes(token));
  if (bytes.length === 0) return tokenizer.piece(token);
  if (isUtf8(bytes)) return bytes.toString("utf8");
  return [...bytes].map((byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`).join("");
}

/**
 * The token that stands for just this text, or has this name in the vocabulary.
 * @throws GrokError `argument` where none does, with what the text consists of.
 */
export function findToken(tokenizer: Tokenizer, option: string, text: string): number {
  const found = tokenOf(tokenizer, text) ?? tokenizer.idOf(text);
  if (found !== undefined) return found;
  const parts = [...tokenizer.encode(text)].map((id) => JSON.stringify(textOf(tokenizer, id)));
  const other = text.startsWith(" ") ? text.slice(1) : ` ${text}`;
  const near = tokenOf(tokenizer, other) === undefined ? "" : `; ${JSON.stringify(other)} is one`;
  const message = `${option} is ${JSON.stringify(text)}, which is no token of the model but ${parts.join(", ")}${near}`;
  throw new GrokError("argument", message, { option });
}

/** Where several have the same bytes, one that is not the byte's own stand-in. */
function tokenOf(tokenizer: Tokenizer, text: string): number | undefined {
  const bytes = Buffer.from(text);
  let found: number | undefined;
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    if (!bytes.equals(tokenizer.bytes(id))) continue;
    if (!/^<0x[0-9A-F]{2}>$/.test(tokenizer.piece(id))) return id;
    found ??= id;
  }
  return found;
}

/** What a token is replaced by to see what it did: a space where the vocabulary has one, else what stands for what it does not know. */
export function neutralToken(tokenizer: Tokenizer): number {
  const found = tokenOf(tokenizer, " ") ?? tokenizer.unknown;
  if (found !== undefined) return found;
  throw new GrokError("argument", "the vocabulary has neither a space nor an unknown token: name a baseline", {
    option: "baseline",
  });
}
