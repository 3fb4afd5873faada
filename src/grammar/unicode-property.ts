import type { Ranges } from "./expression.ts";
import { unite } from "./ranges.ts";

/** Where characters are: the first four planes, and the tags. The rest is unassigned or private. */
const assigned: Ranges = [0, 0xd7ff, 0xe000, 0x3ffff, 0xe0000, 0xe0fff];
/** One of the unassigned, and one of the private ones. */
const elsewhere = String.fromCodePoint(0x40000, 0xf0000);

let text: string | undefined;
const known = new Map<string, Ranges>();

/**
 * The code points with a property, by its name as in `\p{L}`; undefined where there is no such property, or where those have it that are
 * unassigned or private, which are not looked through.
 */
export function codePointsOf(name: string): Ranges | undefined {
  if (!/^[A-Za-z_]+(=[A-Za-z_]+)?$/.test(name)) return undefined;
  const found = known.get(name) ?? look(name);
  if (found !== undefined && known.size < 64) known.set(name, found);
  return found;
}

function look(name: string): Ranges | undefined {
  let property: RegExp;
  try {
    property = new RegExp(`\\p{${name}}+`, "gu");
  } catch {
    return undefined;
  }
  if (property.test(elsewhere)) return undefined;
  text ??= allAssigned();
  const pairs: Ranges[] = [];
  property.lastIndex = 0;
  for (const { 0: run, index } of text.matchAll(property)) {
    // Between the parts of `assigned` a run can go on; it is cut there.
    const to = lastOf(run);
    const from = text.codePointAt(index)!;
    for (let i = 0; i < assigned.length; i += 2) {
      const [low, high] = [Math.max(from, assigned[i]!), Math.min(to, assigned[i + 1]!)];
      if (low <= high) pairs.push([low, high]);
    }
  }
  return unite(...pairs);
}

function lastOf(run: string): number {
  const unit = run.charCodeAt(run.length - 1);
  return unit >= 0xdc00 && unit <= 0xdfff ? run.codePointAt(run.length - 2)! : unit;
}

function allAssigned(): string {
  const pieces: string[] = [];
  for (let i = 0; i < assigned.length; i += 2) {
    for (let from = assigned[i]!; from <= assigned[i + 1]!; from += 4096) {
      const count = Math.min(4096, assigned[i + 1]! - from + 1);
      pieces.push(String.fromCodePoint(...Array.from({ length: count }, (_, j) => from + j)));
    }
  }
  return pieces.join("");
}
