import { GrokError } from "../errors.ts";
import type { Expression, Rules } from "./expression.ts";

/**
 * Partial derivatives of a grammar (Antimirov 1996): what may still come is a list of parts, one behind the other, and after a byte
 * it is one of some other lists. A rule is replaced by its body where it comes first, so a list is also the stack of a pushdown
 * automaton. Lists, parts and sets of bytes are numbers: equal ones are the same. All is made when it is first asked for.
 */
export interface Derivatives {
  /** What may come at the beginning. */
  readonly start: number;
  /** How many lists there are. */
  readonly size: () => number;
  /** Looks at how a rule begins. @throws GrokError `unsupported` where that is with itself */
  checkRule(rule: number): void;
  /** Whether a text may end here. */
  mayEnd(list: number): boolean;
  /** Flat pairs of a set of bytes, and the list that is left after one of them. */
  edges(list: number): readonly number[];
  /** Whether a byte is in a set. */
  has(set: number, byte: number): boolean;
  /** The first part of a list where that is a rule or a repetition, and what comes after it; undefined where it is something simpler. */
  split(list: number): { readonly part: number; readonly rest: number } | undefined;
  /** The part, and then what one of the lists says. */
  join(part: number, lists: readonly number[]): number;
}

/** What may still be worked out, in edges that are looked at: about half a microsecond each. */
export interface Allowance {
  left: number;
}

/** @throws GrokError `unsupported` where more is asked for than there is */
export function spend(allowance: Allowance, edges: number): void {
  allowance.left -= edges;
  if (allowance.left < 0) throw new GrokError("unsupported", "the grammar takes too long to follow");
}

/** The list of nothing more. */
const end = 0;

type Part =
  | { readonly kind: "bytes"; readonly set: number }
  | { readonly kind: "choice"; readonly lists: readonly number[] }
  | { readonly kind: "repeat"; readonly body: number; readonly min: number; readonly max: number }
  | { readonly kind: "both"; readonly first: number; readonly second: number }
  | { readonly kind: "except"; readonly item: number; readonly excluded: readonly number[] }
  | { readonly kind: "rule"; readonly rule: number };

/** What a part, or a list, can begin with. */
interface Beginnings {
  readonly mayBeEmpty: boolean;
  readonly edges: readonly number[];
}

/** Lists, and pairs of ways on, that are looked at to find out whether conditions can be met together. */
const mostSearched = 4096;
const mostPairs = 1 << 18;

/** Rules that may begin with each other, one in the other. */
const deepest = 1000;

function tooEntangled(): never {
  const message = "the grammar has conditions on one text that are too entangled to be met together";
  throw new GrokError("unsupported", message);
}

/**
 * @param allowance what may be worked out; without end where the caller bounds it in another way
 * @throws GrokError (from any function) `unsupported` for a rule that begins with itself, conditions that are too entangled, or an
 * allowance that is spent
 */
export function createDerivatives({ bodies, names }: Rules, allowance: Allowance = { left: Infinity }): Derivatives {
  const sets: Uint32Array[] = [];
  const setNumbers = new Map<string, number>();
  const parts: Part[] = [];
  const partNumbers = new Map<string, number>();
  /** Of a list its first part and the list behind that. */
  const heads: number[] = [-1];
  const tails: number[] = [end];
  const lists = new Map<number, number>();
  const ofParts: (Beginnings | undefined)[] = [];
  const ofLists: (Beginnings | undefined)[] = [{ mayBeEmpty: true, edges: [] }];
  const ruleBodies: (number | undefined)[] = [];
  const canEnd = new Map<number, boolean>();
  let pairs = 0;

  function setOf(words: Uint32Array): number {
    const key = words.join();
    let set = setNumbers.get(key);
    if (set === undefined) {
      set = sets.push(words) - 1;
      setNumbers.set(key, set);
    }
    return set;
  }

  function partOf(part: Part): number {
    // Without an end, a repetition's `max` is written as null.
    const key = JSON.stringify(part);
    let number = partNumbers.get(key);
    if (number === undefined) {
      number = parts.push(part) - 1;
      partNumbers.set(key, number);
    }
    return number;
  }

  function listOf(part: number, rest: number): number {
    const key = part * 2 ** 26 + rest;
    let list = lists.get(key);
    if (list === undefined) {
      list = heads.push(part) - 1;
      tails.push(rest);
      lists.set(key, list);
    }
    return list;
  }

  /** A list, and behind it another. */
  function append(list: number, rest: number): number {
    if (rest === end) return list;
    const before: number[] = [];
    for (; list !== end; list = tails[list]!) before.push(heads[list]!);
    spend(allowance, before.length);
    for (let i = before.length - 1; i >= 0; i--) rest = listOf(before[i]!, rest);
    return rest;
  }

  function choose(options: readonly number[], rest: number): number {
    const different = [...new Set(options)].sort((a, b) => a - b);
    if (different.length === 1) return append(different[0]!, rest);
    return listOf(partOf({ kind: "choice", lists: different }), rest);
  }

  function repeated(body: number, min: number, max: number, rest: number): number {
    return max === 0 || body === end ? rest : listOf(partOf({ kind: "repeat", body, min, max }), rest);
  }

  /** Of expressions, which rules share, the lists that they become. */
  const made = new Map<Expression, number>();
  const byByte: (number | undefined)[] = [];

  function listFor(expression: Expression): number {
    const before = made.get(expression);
    if (before !== undefined) return before;
    const list = prepend(expression, end);
    made.set(expression, list);
    return list;
  }

  /** An expression, and behind it a list. */
  function prepend(expression: Expression, rest: number): number {
    switch (expression.kind) {
      case "literal":
        for (let i = expression.bytes.length - 1; i >= 0; i--) {
          const byte = expression.bytes[i]!;
          byByte[byte] ??= partOfBytes([byte, byte]);
          rest = listOf(byByte[byte], rest);
        }
        return rest;
      case "bytes":
        return listOf(partOfBytes(expression.ranges), rest);
      case "sequence":
        for (let i = expression.items.length - 1; i >= 0; i--) rest = prepend(expression.items[i]!, rest);
        return rest;
      case "choice":
        return choose(expression.items.map(listFor), rest);
      case "repeat":
        return repeated(listFor(expression.item), expression.min, expression.max, rest);
      case "both":
        return listOf(bothOf(listFor(expression.first), listFor(expression.second)), rest);
      case "except":
        return listOf(exceptOf(listFor(expression.item), [listFor(expression.excluded)]), rest);
      case "rule":
        return listOf(partOf({ kind: "rule", rule: expression.rule }), rest);
    }
  }

  function partOfBytes(ranges: readonly number[]): number {
    const words = new Uint32Array(8);
    for (let i = 0; i < ranges.length; i += 2) {
      for (let byte = ranges[i]!; byte <= ranges[i + 1]!; byte++) words[byte >> 5]! |= 1 << (byte & 31);
    }
    return partOf({ kind: "bytes", set: setOf(words) });
  }

  const bothOf = (first: number, second: number) =>
    partOf({ kind: "both", first: Math.min(first, second), second: Math.max(first, second) });
  const exceptOf = (item: number, excluded: readonly number[]) =>
    partOf({ kind: "except", item, excluded: [...new Set(excluded)].sort((a, b) => a - b) });

  /** Those being worked out: a rule that is met again here begins with itself. */
  const underWay = new Set<number>();

  function beginningsOfPart(number: number): Beginnings {
    const known = ofParts[number];
    if (known !== undefined) return known;
    const part = parts[number]!;
    if (underWay.has(number)) {
      const name = part.kind === "rule" ? names[part.rule]! : "a repetition";
      throw new GrokError("unsupported", `the grammar's rule ${name} can begin with itself (left recursion)`, {
        rule: name,
      });
    }
    if (underWay.size >= deepest) {
      throw new GrokError("unsupported", `the grammar's rules name each other more than ${deepest} deep`);
    }
    underWay.add(number);
    try {
      const found = workOut(part);
      ofParts[number] = found;
      return found;
    } finally {
      underWay.delete(number);
    }
  }

  function workOut(part: Part): Beginnings {
    switch (part.kind) {
      case "bytes":
        return { mayBeEmpty: false, edges: [part.set, end] };
      case "choice": {
        const all = part.lists.map(beginningsOf);
        return {
          mayBeEmpty: all.some(({ mayBeEmpty }) => mayBeEmpty),
          edges: unique(all.flatMap(({ edges }) => edges)),
        };
      }
      case "repeat": {
        const body = beginningsOf(part.body);
        const min = body.mayBeEmpty ? 0 : part.min;
        const more = repeated(part.body, Math.max(0, min - 1), part.max - 1, end);
        return { mayBeEmpty: min === 0, edges: thenAll(body.edges, more) };
      }
      case "rule": {
        ruleBodies[part.rule] ??= prepend(bodies[part.rule]!, end);
        return beginningsOf(ruleBodies[part.rule]!);
      }
      default:
        return { mayBeEmpty: isEmptyWithin(part), edges: alive(edgesWithin(part)) };
    }
  }

  function beginningsOf(list: number): Beginnings {
    const known = ofLists[list];
    if (known !== undefined) return known;
    const edges: number[] = [];
    let mayBeEmpty = true;
    for (let at = list; mayBeEmpty && at !== end; at = tails[at]!) {
      const first = beginningsOfPart(heads[at]!);
      const rest = tails[at]!;
      for (const edge of thenAll(first.edges, rest)) edges.push(edge);
      mayBeEmpty = first.mayBeEmpty;
    }
    spend(allowance, edges.length);
    const found = { mayBeEmpty, edges: unique(edges) };
    ofLists[list] = found;
    return found;
  }

  function thenAll(edges: readonly number[], rest: number): readonly number[] {
    if (rest === end) return edges;
    return edges.map((value, i) => (i % 2 === 0 ? value : append(value, rest)));
  }

  /** Whether a condition on top of another allows the text to end. */
  function isEmptyWithin(part: Part): boolean {
    if (part.kind === "both") return beginningsOf(part.first).mayBeEmpty && beginningsOf(part.second).mayBeEmpty;
    if (part.kind !== "except") return false;
    return beginningsOf(part.item).mayBeEmpty && !part.excluded.some((list) => beginningsOf(list).mayBeEmpty);
  }

  /** Edges of parts with conditions, those too that lead nowhere. */
  function edgesWithin(part: Part): number[] {
    if (part.kind === "both") return edgesOfBoth(beginningsOf(part.first).edges, beginningsOf(part.second).edges);
    if (part.kind !== "except") return [];
    const excluded = part.excluded.flatMap((list) => [...beginningsOf(list).edges]);
    return edgesOfExcept(beginningsOf(part.item).edges, excluded);
  }

  function edgesOfBoth(a: readonly number[], b: readonly number[]): number[] {
    const edges: number[] = [];
    pairs += a.length * b.length;
    spend(allowance, a.length * b.length);
    if (pairs > mostPairs) tooEntangled();
    for (let i = 0; i < a.length; i += 2) {
      for (let j = 0; j < b.length; j += 2) {
        const common = sets[a[i]!]!.map((word, at) => word & sets[b[j]!]![at]!);
        if (common.every((word) => word === 0)) continue;
        edges.push(setOf(common), listOf(bothOf(a[i + 1]!, b[j + 1]!), end));
      }
    }
    return edges;
  }

  function edgesOfExcept(a: readonly number[], excluded: readonly number[]): number[] {
    const edges: number[] = [];
    for (let i = 0; i < a.length; i += 2) {
      /** Of the bytes those that lead to the same excluded lists, by these. */
      const groups = new Map<string, { readonly words: Uint32Array; readonly lists: readonly number[] }>();
      for (let byte = 0; byte < 256; byte++) {
        if (!has(a[i]!, byte)) continue;
        const after = excluded.filter((_, j) => j % 2 === 1 && has(excluded[j - 1]!, byte));
        const key = after.join();
        const group = groups.get(key) ?? { words: new Uint32Array(8), lists: after };
        group.words[byte >> 5]! |= 1 << (byte & 31);
        groups.set(key, group);
      }
      for (const { words, lists: after } of groups.values()) {
        edges.push(setOf(words), after.length === 0 ? a[i + 1]! : listOf(exceptOf(a[i + 1]!, after), end));
      }
    }
    return edges;
  }

  /** Those edges after which the text can come to an end. */
  function alive(edges: readonly number[]): number[] {
    return edges.filter((_, i) => search(edges[i - (i % 2) + 1]!));
  }

  /** Whether a list, whose first part may have conditions, comes to an end. */
  function search(list: number): boolean {
    const known = canEnd.get(list);
    if (known !== undefined) return known;
    pairs = 0;
    const came = new Map<number, number>([[list, -1]]);
    const open = [list];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const part = parts[heads[at]!];
      const within = part !== undefined && (part.kind === "both" || part.kind === "except");
      // What has no condition on it comes to an end: rules that do not are left out when a grammar is made.
      if (!within || isEmptyWithin(part) || canEnd.get(at) === true) {
        for (let back = at; back !== -1; back = came.get(back)!) canEnd.set(back, true);
        return true;
      }
      if (canEnd.get(at) === false) continue;
      const edges = edgesWithin(part);
      for (let i = 1; i < edges.length; i += 2) {
        if (came.has(edges[i]!)) continue;
        came.set(edges[i]!, at);
        open.push(edges[i]!);
      }
      if (came.size > mostSearched) tooEntangled();
    }
    for (const list of came.keys()) canEnd.set(list, false);
    return false;
  }

  /** Pairs of edges without those that are there already. */
  function unique(edges: readonly number[]): readonly number[] {
    if (edges.length <= 2) return edges;
    const seen = new Set<number>();
    return edges.filter((_, i) => {
      const key = edges[i - (i % 2)]! * 2 ** 26 + edges[i - (i % 2) + 1]!;
      if (i % 2 === 1) {
        const first = !seen.has(key);
        seen.add(key);
        return first;
      }
      return !seen.has(key);
    });
  }

  function has(set: number, byte: number): boolean {
    return ((sets[set]![byte >> 5]! >>> (byte & 31)) & 1) === 1;
  }

  return {
    start: prepend({ kind: "rule", rule: 0 }, end),
    size: () => heads.length,
    checkRule: (rule) => void beginningsOfPart(partOf({ kind: "rule", rule })),
    mayEnd: (list) => beginningsOf(list).mayBeEmpty,
    edges: (list) => beginningsOf(list).edges,
    has,
    split(list) {
      const part = parts[heads[list]!];
      const splits = part?.kind === "rule" || part?.kind === "repeat";
      return splits ? { part: heads[list]!, rest: tails[list]! } : undefined;
    },
    join: (part, rests) => listOf(part, choose(rests, end)),
  };
}
