// What every bench shares: the tokens that are fed, and the median.

/** Varied token ids, the same for every engine: a small linear congruential walk past the special ids. */
export function* benchTokens(count, vocabulary) {
  let state = 12345;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    yield 300 + (state % (vocabulary - 300));
  }
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
