import { type Allowance, fault } from "./allowance.ts";
import { bind } from "./arguments.ts";
import { plainText } from "./text.ts";
import { equals, makeFunction, makeInt, makeTuple, makeUndefined, type Thing, toBool, type Value } from "./values.ts";

/** A loop under way, and the variable `loop` that shows it. */
export interface Loop {
  /** The next item, which is then the current one; undefined at the end. */
  next(): Value | undefined;
  readonly variable: Thing;
}

/**
 * @param length of what is iterated, where it is known before its end
 * @param recurse renders the loop's body for other items, where the loop is recursive
 * @param depth how many loops of the same recursion are around this one
 */
export function createLoop(
  items: Iterator<Value>,
  length: number | undefined,
  recurse: ((run: Allowance, items: Value, depth: number) => Value) | undefined,
  depth: number,
): Loop {
  let index = -1;
  let before: Value | undefined;
  let current: Value | undefined;
  let known = length;
  /** Items that were asked for before their turn, from `taken` on. */
  let ahead: Value[] = [];
  let taken = 0;
  let changedTo: Value | undefined;

  const pull = (run: Allowance): boolean => {
    const next = items.next();
    if (next.done) return false;
    run.take(4);
    ahead.push(next.value);
    return true;
  };
  const peek = (run: Allowance): Value | undefined => {
    if (taken === ahead.length) pull(run);
    return ahead[taken];
  };
  const count = (run: Allowance): number => {
    if (known === undefined) {
      while (pull(run));
      known = index + 1 + ahead.length - taken;
    }
    return known;
  };

  function get(run: Allowance, name: string): Value | undefined {
    switch (name) {
      case "index":
        return makeInt(run, index + 1);
      case "index0":
        return makeInt(run, index);
      case "revindex":
        return makeInt(run, count(run) - index);
      case "revindex0":
        return makeInt(run, count(run) - index - 1);
      case "first":
        return toBool(index === 0);
      case "last":
        return toBool(peek(run) === undefined);
      case "length":
        return makeInt(run, count(run));
      case "depth":
        return makeInt(run, depth + 1);
      case "depth0":
        return makeInt(run, depth);
      case "previtem":
        return before ?? makeUndefined("there is no previous item");
      case "nextitem":
        return peek(run) ?? makeUndefined("there is no next item");
      case "cycle":
        return makeFunction("cycle", (_, { positional }) =>
          positional.length === 0 ? fault("no items for cycling given") : positional[index % positional.length]!,
        );
      case "changed":
        return makeFunction("changed", (run, { positional }) => {
          const value = makeTuple(run, positional);
          if (changedTo !== undefined && equals(run, changedTo, value)) return toBool(false);
          changedTo = value;
          return toBool(true);
        });
      default:
        return undefined;
    }
  }

  return {
    next() {
      let value = ahead[taken];
      if (value !== undefined) taken++;
      else {
        ahead = [];
        taken = 0;
        const next = items.next();
        if (next.done) return undefined;
        value = next.value;
      }
      index++;
      before = current;
      current = value;
      return value;
    },
    variable: {
      kind: "thing",
      type: "LoopContext",
      print: (run) => plainText(run, `<LoopContext ${index + 1}/${count(run)}>`),
      get,
      length: count,
      call(run, args) {
        const [items] = bind("loop", "iterable", args);
        if (!recurse) return fault("The loop must have the 'recursive' marker to be called recursively.");
        return recurse(run, items!, depth + 1);
      },
    },
  };
}
