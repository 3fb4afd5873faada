import type { ScoreText } from "../engine/consumers/score.ts";
import { GrokError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Pair } from "./questions.ts";

/** What Python's `str.rstrip` takes away, which is not quite what `trimEnd` does. */
const trailingSpace = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/;

/** A pair as tokens; of too long a one, the end. */
export interface EncodedPair extends ScoreText {
  readonly tokens: Int32Array;
  readonly from: number;
  readonly truncated: boolean;
}

/**
 * Tokens of a context and its continuation, and where that begins, as lm-evaluation-harness has them (`_encode_pair`): both are encoded as
 * one text, spaces at the context's end count as the continuation's, and as many tokens as the context has by itself are its. What does
 * not fit loses its beginning. A context without a token is the beginning-of-text token, or else the end-of-text token.
 * @throws GrokError `argument` where nothing can be scored.
 */
export function encodePair(tokenizer: Tokenizer, { context, continuation }: Pair, contextLength: number): EncodedPair {
  const kept = context.replace(trailingSpace, "");
  const moved = `${context.slice(kept.length)}${continuation}`;
  const bos = tokenizer.addBos;
  const { whole, start } = kept === "" ? behindNothing(tokenizer, moved) : split(kept, moved);
  if (start >= whole.length) {
    throw new GrokError("argument", "the continuation has no token of its own", { continuation });
  }
  const left = Math.max(0, whole.length - contextLength);
  if (start - left < 1) {
    const message = `the continuation has ${whole.length - start} tokens, and the model reads ${contextLength}`;
    throw new GrokError("capacity", message, { tokens: whole.length - start, contextLength });
  }
  return { tokens: whole.subarray(left), from: start - left, truncated: left > 0 };

  function split(before: string, behind: string) {
    return {
      whole: tokenizer.encode(`${before}${behind}`, { bos }),
      start: tokenizer.encode(before, { bos }).length,
    };
  }
}

function behindNothing(tokenizer: Tokenizer, text: string) {
  const first = tokenizer.bos ?? tokenizer.eos;
  if (first === undefined) {
    throw new GrokError("argument", "the context is empty, and the model has no token that begins or ends a text");
  }
  return { whole: Int32Array.of(first, ...tokenizer.encode(text)), start: 1 };
}
