import { type Allowance, fault } from "./allowance.ts";
import { bind, toIndex } from "./arguments.ts";
import { toDict } from "./lookup.ts";
import { represent, toText } from "./printing.ts";
import { strftime } from "./strftime.ts";
import { concat, fromCaller, plainText, type Text } from "./text.ts";
import { type Args, makeDict, makeFunction, type Range, type Thing, type Value } from "./values.ts";

/** As jinja2's sandbox. */
const longestRange = 100_000;

function range(_: Allowance, args: Args): Range {
  const [first, second, third] = bind("range", "/ start stop? step?", args).map((value) => value && toIndex(value));
  const [start, stop, step] = second === undefined ? [0, first!, 1] : [first!, second, third ?? 1];
  if (step === 0) return fault("range() arg 3 must not be zero");
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (length > longestRange) return fault(`Range too big. The sandbox blocks ranges larger than ${longestRange}.`);
  return { kind: "range", start, stop, step, length };
}

/** An object whose fields a template may set, also from inside a loop. */
function namespace(run: Allowance, args: Args): Thing {
  const fields = new Map<string, Value>();
  const set = (run: Allowance, name: string, value: Value): void => {
    if (name.startsWith("_")) fault(`Chat templates cannot store underscore-prefixed attributes, but got '${name}'`);
    run.take(16);
    fields.set(name, value);
  };
  const given = new Map<string, Text>();
  for (const [key, value] of toDict(run, args).entries.values()) {
    const name = toText(run, key);
    given.set(name.value, name);
    set(run, name.value, value);
  }
  return {
    kind: "thing",
    type: "Namespace",
    print(run) {
      const shown = makeDict(
        run,
        [...fields].map(([name, value]) => [given.get(name) ?? plainText(run, name), value] as const),
      );
      return concat(run, [plainText(run, "<Namespace "), represent(run, shown), plainText(run, ">")]);
    },
    get: (_, name) => fields.get(name),
    set,
  };
}

function cycler(_: Allowance, { positional }: Args): Thing {
  if (positional.length === 0) return fault("at least one item has to be provided");
  let place = 0;
  const methods: Readonly<Record<string, Value>> = {
    items: { kind: "tuple", items: positional, fromCaller: false },
    next: makeFunction("next", () => {
      const item = positional[place]!;
      place = (place + 1) % positional.length;
      return item;
    }),
    reset: makeFunction("reset", () => {
      place = 0;
      return { kind: "none", fromCaller: false };
    }),
  };
  return {
    kind: "thing",
    type: "Cycler",
    print: (run) => plainText(run, "<Cycler>"),
    get: (_, name) =>
      name === "current" ? positional[place] : Object.hasOwn(methods, name) ? methods[name] : undefined,
  };
}

function joiner(run: Allowance, args: Args): Thing {
  const [given] = bind("joiner", "sep?", args);
  const separator = given ?? plainText(run, ", ");
  let used = false;
  return makeFunction(
    "joiner",
    (run) => {
      if (used) return separator;
      used = true;
      return plainText(run, "");
    },
    "Joiner",
  );
}

/** What every template finds: jinja2's globals and those that Hugging Face adds. */
export const globals: ReadonlyMap<string, Value> = new Map<string, Value>([
  ["range", makeFunction("range", range)],
  ["dict", makeFunction("dict", toDict)],
  ["namespace", makeFunction("namespace", namespace)],
  ["cycler", makeFunction("cycler", cycler)],
  ["joiner", makeFunction("joiner", joiner)],
  ["lipsum", makeFunction("lipsum", () => fault("lipsum is not supported: a prompt is the same each time"))],
  [
    "raise_exception",
    makeFunction("raise_exception", (run, args) => {
      const [message] = bind("raise_exception", "message", args);
      return fault(toText(run, message!).value, { raised: true });
    }),
  ],
  [
    "strftime_now",
    makeFunction("strftime_now", (run, args) => {
      const [format] = bind("strftime_now", "format", args);
      const text = toText(run, format!);
      run.step(text.value.length);
      return plainText(run, strftime(text.value, run.now), fromCaller(text));
    }),
  ],
]);
