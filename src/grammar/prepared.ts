import { deserialize, serialize } from "node:v8";
import type { Rules } from "./expression.ts";
import { createTokenGrammar, type Matcher, type TokenGrammar } from "./matcher.ts";
import type { TokenTrie } from "./token-trie.ts";
import { createVocabulary, type Vocabulary } from "./vocabulary.ts";

/** A grammar on its way to who follows it, on another thread. */
export interface PreparedGrammar {
  /** Equal for equal grammars. */
  readonly key: number;
  /** {@link Rules}, as bytes: nobody on the way looks at them. */
  readonly rules: Uint8Array;
  readonly trie: TokenTrie;
}

export const packRules = (rules: Rules): Uint8Array => serialize(rules);

/** Grammars that are being followed, over one vocabulary. */
export interface Grammars {
  /**
   * @param endTokens which may come where a text may end
   * @param afterText whether the text goes on after other text, so that its first token keeps a leading space
   * @throws GrokError `unsupported`
   */
  begin(grammar: PreparedGrammar, endTokens: readonly number[], afterText: boolean): Matcher;
}

/** The last ones keep what they have found out, for who comes with the same grammar again. */
const mostKept = 16;

/** @param rows of the model's logits */
export function createGrammars(rows: number): Grammars {
  const kept = new Map<string, TokenGrammar>();
  let vocabulary: Vocabulary | undefined;
  return {
    begin({ key, rules, trie }, endTokens, afterText) {
      vocabulary ??= createVocabulary(trie, rows);
      const name = `${key} ${endTokens.join()}`;
      const grammar = kept.get(name) ?? createTokenGrammar(deserialize(rules) as Rules, vocabulary, endTokens);
      kept.delete(name);
      kept.set(name, grammar);
      if (kept.size > mostKept) kept.delete(kept.keys().next().value!);
      return grammar.begin(afterText);
    },
  };
}
