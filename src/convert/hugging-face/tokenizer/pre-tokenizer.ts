import { GrokError, shown } from "../../../errors.ts";

type Json = Readonly<Record<string, unknown>>;

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const tail = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const words = (numbers: string) =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${tail}`;
const [upper, lower] = ["[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"];
const cased = (end: string, numbers: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${end}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${end}|` +
  `${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${tail}`;
export const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
export const grok2Pattern = words("\\p{N}");

/** What texts are cut by, and whether whole pieces come before merges: the name that GGUF files have for it. */
const names: readonly (readonly [pattern: string, ignoreMerges: boolean, name: string])[] = [
  [words("\\p{N}{1,3}"), true, "llama-bpe"],
  [words("\\p{N}{1,3}"), false, "smaug-bpe"],
  [grok2Pattern, false, "qwen2"],
  [cased(`${contractions}?`, "\\p{N}{1,3}"), false, "gpt-4o"],
  [cased("", "\\p{N}"), true, "tekken"],
  [gpt2Pattern, false, "gpt-2"],
];

/**
 * The name of a byte-level BPE's pre-tokenizer, by what it does.
 * @throws GrokError `unsupported` showing what is not known.
 */
export function findPreTokenizer(path: string, preTokenizer: unknown, ignoreMerges: boolean, isGrok: boolean): string {
  const steps = flatten(preTokenizer);
  const unknown = (what: string) =>
    new GrokError("unsupported", `${path}: the pre-tokenizer ${what} is not known`, { path, preTokenizer: what });
  const patterns: string[] = [];
  let byteLevel = false;
  for (const step of steps) {
    if (step.type === "ByteLevel" && step.add_prefix_space !== true) {
      byteLevel = true;
      if (step.use_regex !== false) patterns.push(gpt2Pattern);
    } else if (step.type === "Digits" && step.individual_digits === true) {
      patterns.push("digits");
    } else if (step.type === "Split" && step.behavior === "Isolated" && step.invert !== true) {
      patterns.push(`${(step.pattern as Json | undefined)?.Regex}`);
    } else {
      throw unknown(`${shown(step.type)}${step.add_prefix_space === true ? " with add_prefix_space" : ""}`);
    }
  }
  if (!byteLevel) throw unknown("without ByteLevel");
  if (patterns.join("\n") === `digits\n${gpt2Pattern}` && !ignoreMerges) return "smollm";
  const found =
    patterns.length === 1
      ? names.find(([pattern, ignores]) => pattern === patterns[0] && ignores === ignoreMerges)
      : undefined;
  if (found === undefined)
    throw unknown(`${patterns.map(shown).join(" and ")}${ignoreMerges ? " that ignores merges" : ""}`);
  return found[0] === grok2Pattern && isGrok ? "grok-2" : found[2];
}

/** The steps of a sequence, in which others may stand: a few deep, as a file in use has them. */
export function flatten(value: unknown, key = "pretokenizers", depth = 0): readonly Json[] {
  if (typeof value !== "object" || value === null) return [];
  const step = value as Json;
  const inner = step[key];
  if (step.type !== "Sequence" || !Array.isArray(inner) || depth === 8) return [step];
  return inner.flatMap((each) => flatten(each, key, depth + 1));
}
