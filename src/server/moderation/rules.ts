import { z } from "zod";
import { parseJson } from "../../bytes/json.ts";
import { GrokError } from "../../errors.ts";
import { compileSearch } from "./automaton.ts";
import type { Moderator, Side } from "./moderator.ts";

const rule = z
  .strictObject({
    id: z.string().regex(/^[\w.-]{1,100}$/, "an id has letters, digits, . _ and -"),
    /** Words, in whatever case and with whatever accents; matched as whole words. */
    text: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).optional(),
    /** A regular expression over the text as it is compared: small letters without accents. */
    pattern: z.string().min(1).optional(),
    on: z.enum(["prompt", "answer", "both"]).default("both"),
  })
  .refine(({ text, pattern }) => (text === undefined) !== (pattern === undefined), "a rule has text or a pattern");

const rulesFile = z.strictObject({ rules: z.array(rule).min(1).max(10_000) });

/** An answer's text is looked at in pieces of this size, and what a pattern finds across them is found up to this length. */
const [window, longestMatch] = [64, 256];

/**
 * A file of rules: `{"rules": [{"id": "...", "text": [...]}, {"id": "...", "pattern": "...", "on": "prompt"}]}`. Texts are compared without
 * case, accents and widths, so that Spanish is found however it is typed.
 * @throws GrokError `argument` naming the file and the rule
 */
export function readRules(json: string, path: string): Moderator {
  let value: unknown;
  try {
    value = parseJson(json);
  } catch (error) {
    throw new GrokError("argument", `${path}: expected JSON: ${(error as Error).message}`, { path });
  }
  const read = rulesFile.safeParse(value);
  if (!read.success) {
    const { path: place, message } = read.error.issues[0]!;
    throw new GrokError("argument", `${path}: ${place.join(".") || "the file"}: ${message}`, { path });
  }
  const rules = read.data.rules.map(({ id, text, pattern, on }) => {
    try {
      const search = pattern === undefined ? searchWords([text!].flat()) : compileSearch(pattern);
      return { id, on, search };
    } catch (error) {
      if (error instanceof GrokError)
        throw new GrokError("argument", `${path}: rule ${id}: ${error.message}`, { path });
      throw error;
    }
  });
  const longest = Math.max(
    longestMatch,
    ...read.data.rules.flatMap(({ text }) => [text ?? ""].flat().map((one) => one.length)),
  );
  return {
    ...{ window, overlap: 2 * longest, held: longest },
    async check(text: string, side: Side) {
      const compared = comparable(text);
      return rules.find(({ on, search }) => (on === "both" || on === side) && search(compared))?.id;
    },
    async close() {},
  };
}

/** Small letters, no accents, no widths, nothing that cannot be seen. */
export function comparable(text: string): string {
  return text
    .normalize("NFKD")
    .replace(/[\p{M}\p{Cf}]/gu, "")
    .toLowerCase()
    .replace(/\s+/g, " ");
}

function searchWords(texts: readonly string[]): (text: string) => boolean {
  const wanted = texts.map((text) => comparable(text).trim());
  const isWord = (character: string | undefined) => character !== undefined && /[\p{L}\p{N}]/u.test(character);
  return (text) =>
    wanted.some((word) => {
      for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
        const [before, after] = [text[at - 1], text[at + word.length]];
        if (!(isWord(before) && isWord(word[0])) && !(isWord(after) && isWord(word.at(-1)))) return true;
      }
      return false;
    });
}
