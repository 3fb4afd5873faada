/**
 * Guesses how a text goes on from how it went on before: the tokens that followed the longest match of its last tokens, the
 * latest of equally long ones (prompt look-up decoding, Saxena 2023). Summaries, edits, code and lists repeat
 * themselves. Pure bookkeeping; who verifies a guess loses nothing by a wrong one but time.
 *
 * Places are found as in LZ77 coders: a table from the hash of the last few tokens to the latest place they ended at, and a
 * chain from each place to the one before with the same hash. A token costs two writes, a guess follows a bounded
 * number of links, memory is four bytes a token besides a table of fixed size.
 */
export interface Lookup {
  /** Takes in the tokens from the last one known on; a list that got shorter is read afresh. */
  update(tokens: ArrayLike<number>): void;
  /** At most `most` tokens that may follow the tokens of the last update. */
  guess(most: number): Guess;
}

export interface Guess {
  readonly tokens: readonly number[];
  /** Tokens that matched before them, at most {@link longestMatch}; 0 without a guess. */
  readonly match: number;
}

/** Matches shorter than this are chance. */
export const shortestMatch = 2;
/** Longer ones say no more. */
export const longestMatch = 16;
/** Places looked at for a guess. */
const mostPlaces = 32;
const tableSize = 4096;
const hashShift = 32 - Math.log2(tableSize);

const none: Guess = { tokens: [], match: 0 };

export function createLookup(): Lookup {
  /** Latest place (a number of tokens) with a hash, and the place before each place with its hash; 0: none. */
  const latest = new Uint32Array(tableSize);
  let before = new Uint32Array(256);
  let known: ArrayLike<number> = [];
  let indexed = 0;

  const hash = (end: number) =>
    (Math.imul(known[end - 1]!, 0x9e3779b1) ^ Math.imul(known[end - 2]!, 0x85ebca6b)) >>> hashShift;

  function matchAt(place: number): number {
    let length = 0;
    while (length < longestMatch && length < place && known[place - 1 - length] === known[indexed - 1 - length])
      length++;
    return length;
  }

  return {
    update(tokens) {
      if (tokens.length < indexed) {
        latest.fill(0);
        indexed = 0;
      }
      known = tokens;
      if (tokens.length >= before.length) {
        const grown = new Uint32Array(2 * tokens.length);
        grown.set(before);
        before = grown;
      }
      for (indexed++; indexed <= tokens.length; indexed++) {
        if (indexed < shortestMatch) continue;
        const slot = hash(indexed);
        before[indexed] = latest[slot]!;
        latest[slot] = indexed;
      }
      indexed = tokens.length;
    },
    guess(most) {
      if (indexed < shortestMatch || most < 1) return none;
      let best = 0;
      let match = shortestMatch - 1;
      let place = before[indexed]!;
      for (let looked = 0; place > 0 && looked < mostPlaces && match < longestMatch; looked++) {
        const length = matchAt(place);
        if (length > match) [best, match] = [place, length];
        place = before[place]!;
      }
      if (best === 0) return none;
      // Past the last token the repetition is taken to go on: the guess continues with itself.
      const tokens: number[] = [];
      for (let i = 0; i < most; i++) {
        const at = best + i;
        tokens.push(at < indexed ? known[at]! : tokens[at - indexed]!);
      }
      return { tokens, match };
    },
  };
}
