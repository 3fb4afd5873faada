import { choice, type Expression, oneByte, type Ranges, sequence } from "./expression.ts";
import { allCharacters, intersect, unite } from "./ranges.ts";

/** The last code point that so many bytes can say. */
const lastOfLength = [0x7f, 0x7ff, 0xffff, 0x10ffff];

/** One character of a set of code points, as UTF-8. */
export function oneCharacter(codePoints: Ranges): Expression {
  const characters = intersect(codePoints, allCharacters);
  const branches: Expression[] = [];
  let from = 0;
  for (const [i, last] of lastOfLength.entries()) {
    const part = intersect(characters, [from, last]);
    if (i === 0 && part.length > 0) branches.push(oneByte(part));
    else for (let at = 0; at < part.length; at += 2) addRange(branches, part[at]!, part[at + 1]!, i);
    from = last + 1;
  }
  return choice(...mergeHeads(branches));
}

/** Those of `from` ... `to` that all have `more` bytes after the first. */
function addRange(branches: Expression[], from: number, to: number, more: number): void {
  // Cut where the bytes after the first are not all free at both ends.
  for (let i = 1; i <= more; i++) {
    const free = (1 << (6 * i)) - 1;
    if (from >> (6 * i) === to >> (6 * i)) continue;
    if ((from & free) !== 0) {
      addRange(branches, from, from | free, more);
      addRange(branches, (from | free) + 1, to, more);
      return;
    }
    if ((to & free) !== free) {
      addRange(branches, from, (to & ~free) - 1, more);
      addRange(branches, to & ~free, to, more);
      return;
    }
  }
  const first = encode(from, more);
  const last = encode(to, more);
  branches.push(sequence(...first.map((byte, i) => oneByte([byte, last[i]!]))));
}

function encode(codePoint: number, more: number): number[] {
  if (more === 0) return [codePoint];
  const lead = [0, 0xc0, 0xe0, 0xf0][more]! | (codePoint >> (6 * more));
  const rest = Array.from({ length: more }, (_, i) => 0x80 | ((codePoint >> (6 * (more - 1 - i))) & 0x3f));
  return [lead, ...rest];
}

/** Branches that differ in their first byte alone become one. */
function mergeHeads(branches: readonly Expression[]): Expression[] {
  const byRest = new Map<string, { heads: Ranges; rest: readonly Expression[] }>();
  for (const branch of branches) {
    const [head, ...rest] = branch.kind === "sequence" ? branch.items : [branch];
    const { ranges } = head as Extract<Expression, { kind: "bytes" }>;
    const key = JSON.stringify(rest);
    byRest.set(key, { heads: unite(byRest.get(key)?.heads ?? [], ranges), rest });
  }
  return [...byRest.values()].map(({ heads, rest }) => sequence(oneByte(heads), ...rest));
}
