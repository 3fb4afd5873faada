/**
 * Regular expressions from an adapter's configuration, matched without backtracking: all places that a pattern can be in at once (Thompson,
 * 1968), so that time is at most characters times states, whatever the pattern. What Python's `re` has beyond regular languages
 * (references, looking around) is not there.
 */

/** Whether a whole text is in a pattern's language. */
export type Matcher = (text: string) => boolean;

/** One place in a pattern. `to` and `or` are places to go on to. */
type State =
  | { readonly type: "character"; readonly fits: (code: number) => boolean; to: number }
  | { readonly type: "split"; to: number; or: number }
  | { readonly type: "start" | "end"; to: number }
  | { readonly type: "match" };

/** A part of the pattern, from the state that comes after it to the state that it begins with. */
type Part = (after: number) => number;

/** What a pattern makes room for: a pattern within bounds, or a message about one that is not. */
export class PatternError extends Error {}

/**
 * @param budget States that may be used; what this pattern takes is subtracted.
 * @throws PatternError saying what is wrong with the pattern, or not supported.
 */
export function compilePattern(pattern: string, budget: { states: number }): Matcher {
  const states: State[] = [{ type: "match" }];
  const spend = () => {
    if (--budget.states < 0) throw new PatternError("is too large");
  };
  const add = (state: State): number => {
    spend();
    return states.push(state) - 1;
  };
  const begin = parse(pattern, add, spend)(0);

  return (text) => {
    let current = new Set<number>();
    const enter = (into: Set<number>, first: number, at: number) => {
      for (const open = [first]; open.length > 0; ) {
        const place = open.pop()!;
        if (into.has(place)) continue;
        into.add(place);
        const state = states[place]!;
        if (state.type === "split") open.push(state.or, state.to);
        else if (state.type === "start" && at === 0) open.push(state.to);
        else if (state.type === "end" && at === text.length) open.push(state.to);
      }
    };
    enter(current, begin, 0);
    for (let at = 0; at < text.length && current.size > 0; at++) {
      const next = new Set<number>();
      for (const place of current) {
        const state = states[place]!;
        if (state.type === "character" && state.fits(text.charCodeAt(at))) enter(next, state.to, at + 1);
      }
      current = next;
    }
    return current.has(0);
  };
}

/** How deep groups may lie in groups, and how often a part may be asked for by a number. */
const mostDepth = 20;
const mostRepeats = 100;

function parse(pattern: string, add: (state: State) => number, spend: () => void): Part {
  let at = 0;
  let depth = 0;

  const alternatives = (): Part => {
    if (++depth > mostDepth) throw new PatternError(`has groups more than ${mostDepth} deep`);
    const choices = [sequence()];
    while (pattern[at] === "|") {
      at++;
      choices.push(sequence());
    }
    depth--;
    return (after) => choices.map((choice) => choice(after)).reduceRight((or, to) => add({ type: "split", to, or }));
  };

  const sequence = (): Part => {
    const parts: Part[] = [];
    while (at < pattern.length && pattern[at] !== "|" && pattern[at] !== ")") parts.push(repeated(single()));
    return (after) => parts.reduceRight((next, part) => part(next), after);
  };

  const single = (): Part => {
    const character = pattern[at++]!;
    if (character === "(") {
      if (pattern[at] === "?") {
        if (pattern[at + 1] !== ":") throw new PatternError(`has "(?${pattern[at + 1] ?? ""}"`);
        at += 2;
      }
      const inner = alternatives();
      if (pattern[at++] !== ")") throw new PatternError('lacks a ")"');
      return inner;
    }
    if (character === "^" || character === "$") {
      const type = character === "^" ? "start" : "end";
      return (after) => add({ type, to: after });
    }
    if ("*+?".includes(character)) throw new PatternError(`has "${character}" after nothing`);
    const fits = character === "[" ? set() : character === "\\" ? escaped() : character === "." ? any : is(character);
    return (after) => add({ type: "character", fits, to: after });
  };

  const repeated = (part: Part): Part => {
    const many = /^(?:[*+?]|\{(\d{1,4})?(?:(,)(\d{1,4})?)?\})\??/.exec(pattern.slice(at, at + 12));
    if (many === null || (many[0].startsWith("{") && many[1] === undefined && many[3] === undefined)) return part;
    at += many[0].length;
    if ("*+?{".includes(pattern[at] ?? " ")) throw new PatternError("repeats what is repeated");
    const [sign] = many[0];
    const least = sign === "{" ? Number(many[1] ?? 0) : sign === "+" ? 1 : 0;
    const exact = many[2] === undefined ? least : Number(many[3] ?? Number.POSITIVE_INFINITY);
    const most = sign === "{" ? exact : sign === "?" ? 1 : Number.POSITIVE_INFINITY;
    if (least > mostRepeats || (most !== Number.POSITIVE_INFINITY && most > mostRepeats) || most < least) {
      throw new PatternError(`has ${many[0]}, expected at most ${mostRepeats} times`);
    }
    return (after) => {
      let begin = after;
      // Also for what is empty, a hundred times a hundred times.
      for (let i = 0; i < Math.max(least, Number.isFinite(most) ? most : 1); i++) spend();
      if (most === Number.POSITIVE_INFINITY) {
        const loop: State = { type: "split", to: 0, or: after };
        begin = add(loop);
        loop.to = part(begin);
      } else {
        for (let i = least; i < most; i++) begin = add({ type: "split", to: part(begin), or: after });
      }
      for (let i = 0; i < least; i++) begin = part(begin);
      return begin;
    };
  };

  /** `[a-z_]`, after its bracket. */
  const set = (): ((code: number) => boolean) => {
    const negated = pattern[at] === "^";
    if (negated) at++;
    const tests: ((code: number) => boolean)[] = [];
    for (let first = true; first || pattern[at] !== "]"; first = false) {
      if (at >= pattern.length) throw new PatternError('lacks a "]"');
      const from = pattern[at++]!;
      if (from === "\\") tests.push(escaped());
      else if (pattern[at] === "-" && pattern[at + 1] !== undefined && pattern[at + 1] !== "]") {
        const [low, high] = [from.charCodeAt(0), pattern.charCodeAt(at + 1)];
        if (pattern[at + 1] === "\\" || high < low) throw new PatternError("has a range that is none");
        at += 2;
        tests.push((code) => low <= code && code <= high);
      } else tests.push(is(from));
    }
    at++;
    return (code) => tests.some((test) => test(code)) !== negated;
  };

  /** What follows a backslash. */
  const escaped = (): ((code: number) => boolean) => {
    const character = pattern[at++];
    const known = character !== undefined && classes[character];
    if (known) return known;
    if (character === undefined || /[0-9A-Za-z]/.test(character)) {
      throw new PatternError(`has "\\${character ?? ""}"`);
    }
    return is(character);
  };

  const whole = alternatives();
  if (at < pattern.length) throw new PatternError('has a ")" too many');
  return whole;
}

const any = (code: number) => code !== 10;
const is = (character: string) => {
  const wanted = character.charCodeAt(0);
  return (code: number) => code === wanted;
};
const among = (expression: RegExp) => (code: number) => expression.test(String.fromCharCode(code));

/** Of Unicode's, as Python has them, what names of modules can have: ASCII's. */
const classes: Readonly<Record<string, (code: number) => boolean>> = {
  d: among(/[0-9]/),
  D: among(/[^0-9]/),
  w: among(/\w/),
  W: among(/\W/),
  s: among(/\s/),
  S: among(/\S/),
};
