/**
 * Seeded damage to bytes, for tests that read hostile input: the same seed gives the same mutants, and each carries a
 * label that says what was done, so that a failure can be repeated.
 */
export interface Mutant {
  readonly label: string;
  readonly bytes: Uint8Array;
}

/** A small seeded generator (mulberry32): uniform integers in [0, bound). */
export function createRandom(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * bound);
  };
}

/** Values that lying counts, lengths and offsets take: borders of 8, 16, 31, 32, 53, 63 and 64 bits and their neighbours. */
export const lies: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  7n,
  31n,
  33n,
  127n,
  128n,
  255n,
  256n,
  32767n,
  65535n,
  65536n,
  (1n << 20n) + 1n,
  (1n << 31n) - 1n,
  1n << 31n,
  (1n << 32n) - 1n,
  1n << 32n,
  (1n << 32n) + 1n,
  1n << 40n,
  (1n << 53n) - 1n,
  1n << 53n,
  (1n << 53n) + 1n,
  1n << 61n,
  1n << 62n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 32n,
  (1n << 64n) - 1n,
];

/** The bytes cut off at every boundary, from none left to all but one. */
export function* truncations(bytes: Uint8Array): Generator<Mutant> {
  for (let length = 0; length < bytes.length; length++) {
    yield { label: `cut to ${length} bytes`, bytes: bytes.subarray(0, length) };
  }
}

/** Every position (in steps of `step`) overwritten with every lie of `width` bytes, little-endian. */
export function* liesEverywhere(bytes: Uint8Array, width: 1 | 2 | 4 | 8, step = 1): Generator<Mutant> {
  for (let at = 0; at + width <= bytes.length; at += step) {
    for (const lie of lies) {
      if (lie >> BigInt(8 * width) === 0n)
        yield { label: `${lie} in ${width} bytes at ${at}`, bytes: overwrite(bytes, at, width, lie) };
    }
  }
}

/** `count` mutants of `bytes`, each with one to three wounds: flipped bits, lies, cuts, holes, repeats, swaps, noise. */
export function* mutants(bytes: Uint8Array, seed: number, count: number): Generator<Mutant> {
  const random = createRandom(seed);
  for (let i = 0; i < count; i++) {
    let mutant: Mutant = { label: `seed ${seed}, mutant ${i}:`, bytes };
    for (let wounds = 1 + (random(2) && random(3)); wounds > 0; wounds--) {
      const next = wound(mutant.bytes, random);
      mutant = { label: `${mutant.label} ${next.label};`, bytes: next.bytes };
    }
    yield mutant;
  }
}

function wound(bytes: Uint8Array, random: (bound: number) => number): Mutant {
  const at = random(bytes.length);
  const length = 1 + random(Math.min(64, Math.max(1, bytes.length - at)));
  // Not slice: that of a Buffer shares its memory.
  const copy = Uint8Array.from(bytes);
  switch (random(10)) {
    case 0:
    case 1:
      if (copy.length > 0) copy[at]! ^= 1 << random(8);
      return { label: `bit flipped at ${at}`, bytes: copy };
    case 2:
      if (copy.length > 0) copy[at] = random(256);
      return { label: `byte ${copy[at]} at ${at}`, bytes: copy };
    case 3:
    case 4: {
      const width = 1 << random(4);
      const lie = lies[random(lies.length)]! & ((1n << BigInt(8 * width)) - 1n);
      return { label: `${lie} in ${width} bytes at ${at}`, bytes: overwrite(bytes, at, width, lie) };
    }
    case 5:
      return { label: `cut to ${at}`, bytes: copy.subarray(0, at) };
    case 6:
      return {
        label: `${length} bytes at ${at} removed`,
        bytes: join(copy.subarray(0, at), copy.subarray(at + length)),
      };
    case 7: {
      const repeats = 1 + random(8);
      const part = copy.subarray(at, at + length);
      const repeated = Array.from({ length: repeats }, () => part);
      return {
        label: `${length} bytes at ${at} repeated ${repeats} times`,
        bytes: join(copy.subarray(0, at), ...repeated, copy.subarray(at)),
      };
    }
    case 8: {
      const to = random(bytes.length);
      copy.set(bytes.subarray(at, at + Math.min(length, bytes.length - to)), to);
      return { label: `${length} bytes at ${at} copied to ${to}`, bytes: copy };
    }
    default:
      for (let i = at; i < Math.min(at + length, copy.length); i++) copy[i] = random(256);
      return { label: `noise of ${length} bytes at ${at}`, bytes: copy };
  }
}

/** A decimal number inside text (JSON) replaced by each lie in turn. */
export function* lyingNumbers(bytes: Uint8Array): Generator<Mutant> {
  const text = Buffer.from(bytes).toString("latin1");
  for (const match of text.matchAll(/\d+/g)) {
    for (const lie of [...lies.map(String), "-1", "1.5", "1e3", "1e999", "00", "null", '"1"', "[]", "{}"]) {
      const changed = text.slice(0, match.index) + lie + text.slice(match.index + match[0].length);
      yield { label: `${match[0]} at ${match.index} became ${lie}`, bytes: Buffer.from(changed, "latin1") };
    }
  }
}

function overwrite(bytes: Uint8Array, at: number, width: number, value: bigint): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (let i = 0; i < width && at + i < copy.length; i++) copy[at + i] = Number((value >> BigInt(8 * i)) & 255n);
  return copy;
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
