import type { ScoreText } from "../engine/consumers/score.ts";
import { GrokError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { beginningOf, behind, encodePrompt, type Prompt, textOf } from "./conversation.ts";
import { stripEnd } from "./python/text.ts";

/** A pair as tokens; of too long a one, the end. */
export interface EncodedPair extends ScoreText {
  readonly tokens: Int32Array;
  readonly from: number;
  readonly truncated: boolean;
}

/** A text whose log-likelihood is wanted behind what a model has read. */
export interface ReadPair {
  readonly context: Prompt;
  readonly continuation: string;
}

/**
 * Tokens of a context and its continuation, and where that begins, as lm-evaluation-harness has them (`_encode_pair`): both are encoded as
 * one text, spaces at the context's end count as the continuation's, and as many tokens as the context has by itself are its. What does
 * not fit loses its beginning. A context without a token is the beginning-of-text token, or else the end-of-text token.
 * @throws GrokError `argument` where nothing can be scored.
 */
export function encodePair(
  tokenizer: Tokenizer,
  { context, continuation }: ReadPair,
  contextLength: number,
): EncodedPair {
  const kept = stripEnd(textOf(context)).length;
  const all = behind(context, continuation);
  const { whole, start } =
    kept === 0
      ? behindNothing(tokenizer, textOf(all))
      : {
          whole: encodePrompt(tokenizer, all),
          start: encodePrompt(tokenizer, beginningOf(context, kept)).length,
        };
  if (start >= whole.length) {
    throw new GrokError("argument", "the continuation has no token of its own", { continuation });
  }
  // Nothing follows the last token: the model does not read it.
  const left = Math.max(0, whole.length - contextLength - 1);
  if (start - left < 1) {
    const message = `the continuation has ${whole.length - start} tokens, and the model reads ${contextLength}`;
    throw new GrokError("capacity", message, { tokens: whole.length - start, contextLength });
  }
  return { tokens: whole.subarray(left), from: start - left, truncated: left > 0 };
}

function behindNothing(tokenizer: Tokenizer, text: string) {
  return { whole: joined([firstToken(tokenizer)], tokenizer.encode(text)), start: 1 };
}

/** What stands in front of a text that has nothing in front. */
function firstToken({ bos, eos }: Tokenizer): number {
  const first = bos ?? eos;
  if (first !== undefined) return first;
  throw new GrokError("argument", "the context is empty, and the model has no token that begins or ends a text");
}

function joined(first: ArrayLike<number>, rest: ArrayLike<number>): Int32Array {
  const all = new Int32Array(first.length + rest.length);
  all.set(first);
  all.set(rest, first.length);
  return all;
}

/**
 * A text in windows that predict each of its tokens once, as lm-evaluation-harness has them (`get_rolling_token_windows` with one token
 * of context): as many tokens each as the model reads, behind the one before them; the last window is filled up with what precedes it.
 * Where texts begin with a token, that one is predicted too.
 */
export function encodeWindows(tokenizer: Tokenizer, text: string, contextLength: number): readonly EncodedPair[] {
  const tokens = joined([firstToken(tokenizer)], tokenizer.encode(text, { bos: tokenizer.addBos }));
  const windows: EncodedPair[] = [];
  for (let from = 1; from < tokens.length; from += contextLength) {
    const to = Math.min(from + contextLength, tokens.length);
    const start = Math.max(0, to - contextLength - 1);
    windows.push({ tokens: tokens.subarray(start, to), from: from - start, truncated: false });
  }
  return windows;
}
