import { toUtf8 } from "../bytes/utf8.ts";

/**
 * A language over bytes as plain data, which can cross between threads: regular expressions whose parts may be rules, so that they
 * may nest. Parts may be shared; nothing is ever changed.
 */
export type Expression =
  | { readonly kind: "literal"; readonly bytes: Uint8Array }
  | { readonly kind: "bytes"; readonly ranges: Ranges }
  | { readonly kind: "sequence"; readonly items: readonly Expression[] }
  | { readonly kind: "choice"; readonly items: readonly Expression[] }
  /** `max` may be Infinity. */
  | { readonly kind: "repeat"; readonly item: Expression; readonly min: number; readonly max: number }
  /** What both say. Neither has rules in it. */
  | { readonly kind: "both"; readonly first: Expression; readonly second: Expression }
  /** What `item` says and `excluded` does not. Neither has rules in it. */
  | { readonly kind: "except"; readonly item: Expression; readonly excluded: Expression }
  /** The number of a rule. */
  | { readonly kind: "rule"; readonly rule: number };

/** A set of numbers, bytes or code points: [from, to, from, to, ...], ascending, both ends included, never touching. */
export type Ranges = readonly number[];

/** Rules that may name each other; the first is the whole. */
export interface Rules {
  readonly bodies: readonly Expression[];
  /** For messages. */
  readonly names: readonly string[];
}

/** The empty text. */
export const empty: Expression = { kind: "sequence", items: [] };

/** No text at all. */
export const nothing: Expression = { kind: "choice", items: [] };

export function literal(text: string): Expression {
  return text === "" ? empty : { kind: "literal", bytes: toUtf8(text) };
}

export function oneByte(ranges: Ranges): Expression {
  return { kind: "bytes", ranges };
}

export function sequence(...items: readonly Expression[]): Expression {
  const flat = items.filter((item) => item !== empty);
  if (flat.includes(nothing)) return nothing;
  return flat.length === 0 ? empty : flat.length === 1 ? flat[0]! : { kind: "sequence", items: flat };
}

export function choice(...items: readonly Expression[]): Expression {
  const some = items.filter((item) => item !== nothing);
  return some.length === 0 ? nothing : some.length === 1 ? some[0]! : { kind: "choice", items: some };
}

export function repeat(item: Expression, min: number, max: number): Expression {
  if (max === 0 || item === empty) return empty;
  if (item === nothing) return min === 0 ? empty : nothing;
  return min === 1 && max === 1 ? item : { kind: "repeat", item, min, max };
}

export const optional = (item: Expression) => repeat(item, 0, 1);

export function both(first: Expression, second: Expression): Expression {
  return first === nothing || second === nothing ? nothing : { kind: "both", first, second };
}

export function except(item: Expression, excluded: Expression): Expression {
  return item === nothing || excluded === nothing ? item : { kind: "except", item, excluded };
}

export const ruleOf = (rule: number): Expression => ({ kind: "rule", rule });

/** One of many texts, of which those that begin alike share their beginnings. */
export function oneOfTexts(texts: Iterable<string>): Expression {
  interface Node {
    readonly next: Map<number, Node>;
    ends: boolean;
    made: Expression;
  }
  const createNode = (): Node => ({ next: new Map(), ends: false, made: nothing });
  const root = createNode();
  for (const text of texts) {
    let node = root;
    for (const byte of toUtf8(text)) {
      const child = node.next.get(byte) ?? createNode();
      node.next.set(byte, child);
      node = child;
    }
    node.ends = true;
  }
  // From the leaves up, without recursion: a text may be long.
  const order = [root];
  for (const { next } of order) for (const child of next.values()) order.push(child);
  for (const node of order.reverse()) {
    const branches = choice(...[...node.next].map(([byte, child]) => startWith(byte, child.made)));
    node.made = node.ends ? optional(branches) : branches;
  }
  return root.made;
}

function startWith(byte: number, rest: Expression): Expression {
  const bytes = Uint8Array.of(byte);
  return rest.kind === "literal"
    ? { kind: "literal", bytes: Uint8Array.of(byte, ...rest.bytes) }
    : sequence({ kind: "literal", bytes }, rest);
}
