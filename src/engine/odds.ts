/** How often drafted tokens were right, by what kind of guess each was. Old ones fade. */
export interface Odds {
  /** The chance that a token of a kind is right when those before it are. */
  of(kind: number): number;
  /** One that was judged: those before it were right. */
  add(kind: number, right: boolean): void;
  /** Nothing was judged in a pass: what is known grows old, so that what did not pay is tried again some day. */
  rest(): void;
}

const fade = 0.98;
/** What is thought at first counts as much as so many that were seen. */
const thought = 2;

/** @param chances what is thought of each kind at first */
export function createOdds(chances: readonly number[]): Odds {
  const kinds = chances.map((chance) => ({ chance, right: thought * chance, seen: thought }));
  const of = (kind: number) => kinds[Math.min(kinds.length - 1, kind)]!;
  return {
    of(kind) {
      const { right, seen } = of(kind);
      return right / seen;
    },
    add(kind, right) {
      const all = of(kind);
      all.right = all.right * fade + (right ? 1 : 0);
      all.seen = all.seen * fade + 1;
    },
    rest() {
      for (const all of kinds) {
        const lost = Math.max(0, thought - all.seen * fade);
        all.right = all.right * fade + lost * all.chance;
        all.seen = all.seen * fade + lost;
      }
    },
  };
}
