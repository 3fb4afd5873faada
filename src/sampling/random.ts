/** A seeded stream of random numbers: the same on every platform, being whole-number arithmetic only. */
export interface Random {
  /** 32 random bits. */
  next(): number;
  /** A multiple of 2^-53 in [0, 1). */
  uniform(): number;
  /** The same numbers from here on, once more. */
  fork(): Random;
}

/** xoshiro128** 1.1 (Blackman and Vigna, 2018) from its four words of state, not all zero. */
export function xoshiro128(state: readonly [number, number, number, number]): Random {
  let [a, b, c, d] = state;
  const next = () => {
    const scrambled = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate(d, 11);
    return scrambled;
  };
  return {
    next,
    uniform() {
      const high = next() >>> 5;
      return (high * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
    },
    fork: () => xoshiro128([a, b, c, d]),
  };
}

/** xoshiro128** whose state comes from splitmix64 (Steele et al., 2014), so that near seeds give unlike streams. */
export function createRandom(seed: number): Random {
  const mix = splitmix64(BigInt(seed));
  const [first, second] = [mix(), mix()];
  const word = (bits: bigint) => Number(BigInt.asUintN(32, bits));
  return xoshiro128([word(first), word(first >> 32n), word(second), word(second >> 32n)]);
}

/** The splitmix64 generator: 64 bits a call. */
export function splitmix64(seed: bigint): () => bigint {
  let state = seed;
  const wrap = (value: bigint) => BigInt.asUintN(64, value);
  return () => {
    state = wrap(state + 0x9e3779b97f4a7c15n);
    let mixed = state;
    mixed = wrap((mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n);
    mixed = wrap((mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
    return mixed ^ (mixed >> 31n);
  };
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}
