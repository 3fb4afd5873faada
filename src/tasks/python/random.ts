/** Python's `random.Random(seed)`, as far as it is needed here: the same draws. Mersenne Twister, Matsumoto and Nishimura (1998). */
export interface PythonRandom {
  /** `randrange(n)`, and the index that `choice` draws of n. */
  below(n: number): number;
  /** `gauss(0, 1)` */
  gauss(): number;
  /** `sample(range(n), count)` */
  sample(n: number, count: number): readonly number[];
}

const size = 624;
const period = 397;

/** @param seed a whole number below 2^32. */
export function createPythonRandom(seed: number): PythonRandom {
  const state = seedByArray(seed);
  let at = size;

  function next(): number {
    if (at === size) {
      for (let i = 0; i < size; i++) {
        const y = (state[i]! & 0x80000000) | (state[(i + 1) % size]! & 0x7fffffff);
        state[i] = state[(i + period) % size]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      at = 0;
    }
    let y = state[at++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** `_randbelow_with_getrandbits` */
  function below(n: number): number {
    const bits = 32 - Math.clz32(n);
    for (;;) {
      const drawn = next() >>> (32 - bits);
      if (drawn < n) return drawn;
    }
  }

  /** `random()` */
  function unit(): number {
    const high = next() >>> 5;
    return (high * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
  }

  /** They are drawn in pairs. */
  let second: number | undefined;

  return {
    below,
    gauss() {
      const kept = second;
      second = undefined;
      if (kept !== undefined) return kept;
      const angle = unit() * 2 * Math.PI;
      const radius = Math.sqrt(-2 * Math.log(1 - unit()));
      second = Math.sin(angle) * radius;
      return Math.cos(angle) * radius;
    },
    sample(n, count) {
      // Whether a list or a set takes less memory decides what is drawn.
      let setSize = 21;
      if (count > 5) setSize += 4 ** Math.ceil(Math.log(count * 3) / Math.log(4));
      if (n <= setSize) {
        const pool = Array.from({ length: n }, (_, i) => i);
        return Array.from({ length: count }, (_, i) => {
          const j = below(n - i);
          const drawn = pool[j]!;
          pool[j] = pool[n - i - 1]!;
          return drawn;
        });
      }
      const drawn = new Set<number>();
      while (drawn.size < count) drawn.add(below(n));
      return [...drawn];
    },
  };
}

/** `init_by_array` with a key of one word. */
function seedByArray(seed: number): Uint32Array {
  const state = new Uint32Array(size);
  state[0] = 19650218;
  for (let i = 1; i < size; i++) {
    const last = state[i - 1]! ^ (state[i - 1]! >>> 30);
    state[i] = Math.imul(last, 1812433253) + i;
  }
  const mixed = (i: number) => state[i - 1]! ^ (state[i - 1]! >>> 30);
  let i = 1;
  const step = () => {
    if (++i < size) return;
    state[0] = state[size - 1]!;
    i = 1;
  };
  for (let k = 0; k < size; k++) {
    state[i] = (state[i]! ^ Math.imul(mixed(i), 1664525)) + seed;
    step();
  }
  for (let k = 1; k < size; k++) {
    state[i] = (state[i]! ^ Math.imul(mixed(i), 1566083941)) - i;
    step();
  }
  state[0] = 0x80000000;
  return state;
}
