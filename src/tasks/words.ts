/** ASCII's punctuation, which is left out. */
const punctuation = /[!-/:-@[-`{-~]/g;

/** An answer as SQuAD compares it: small letters, no punctuation, no articles, single spaces. */
export function normalizeAnswer(text: string): readonly string[] {
  const plain = text.toLowerCase().replace(punctuation, "");
  return plain
    .replace(/(?<![\p{L}\p{N}_])(a|an|the)(?![\p{L}\p{N}_])/gu, " ")
    .split(/\s+/)
    .filter((word) => word !== "");
}

/** Whether two answers are the same to SQuAD. */
export function isSameAnswer(one: string, other: string): boolean {
  return normalizeAnswer(one).join(" ") === normalizeAnswer(other).join(" ");
}

/** The words that two answers share: the harmonic mean of their shares in each (Rajpurkar et al. 2016). */
export function sharedWords(one: string, other: string): number {
  const [words, others] = [normalizeAnswer(one), normalizeAnswer(other)];
  if (words.length === 0 || others.length === 0) return Number(words.length === others.length);
  const left = [...others];
  let shared = 0;
  for (const word of words) {
    const at = left.indexOf(word);
    if (at < 0) continue;
    left.splice(at, 1);
    shared++;
  }
  return (2 * shared) / (words.length + others.length);
}
