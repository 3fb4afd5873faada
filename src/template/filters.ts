import { type Allowance, fault } from "./allowance.ts";
import { bind } from "./arguments.ts";
import { iterate, toIterable } from "./iterate.ts";
import { getterOf, listFilters } from "./list-filters.ts";
import { prettyPrint } from "./pretty.ts";
import { toText } from "./printing.ts";
import { tests } from "./tests.ts";
import { type Filter, filter, textFilters } from "./text-filters.ts";
import { type Args, isTrue, makeIter, type Value } from "./values.ts";

/** Jinja's filters that are refused by name, with the reason. */
const refused: Readonly<Record<string, string>> = {
  random: "a prompt is the same each time",
  urlize: "a prompt has no links",
};

/** Applies a filter by name. */
export function applyFilter(run: Allowance, name: string, value: Value, args: Args): Value {
  if (Object.hasOwn(refused, name)) return fault(`the filter '${name}' is not supported: ${refused[name]}`);
  const found = Object.hasOwn(filters, name) ? filters[name]! : fault(`No filter named '${name}'.`);
  const given = found.parameters === undefined ? [] : bind(name, found.parameters, args);
  run.step();
  return found.apply(run, value, given, args);
}

export const isFilter = (name: string): boolean => Object.hasOwn(filters, name) || Object.hasOwn(refused, name);
export const isTest = (name: string): boolean => Object.hasOwn(tests, name) || name === "filter" || name === "test";

/** Whether a test, by name, holds of a value. */
export function applyTest(run: Allowance, name: string, value: Value, args: Args): boolean {
  run.step();
  if (name === "filter" || name === "test") {
    bind(name, "", args);
    return value.kind === "str" && (name === "filter" ? isFilter : isTest)(value.value);
  }
  const found = Object.hasOwn(tests, name) ? tests[name]! : fault(`No test named '${name}'.`);
  return found.holds(run, value, ...bind(name, found.parameters, args));
}

function* map(run: Allowance, value: Value, args: Args): Generator<Value> {
  if (!isTrue(run, value)) return;
  const get = mapper(run, args);
  for (const each of toIterable(iterate(run, value))) yield get(each);
}

function mapper(run: Allowance, { positional, named }: Args): (value: Value) => Value {
  const [name, ...rest] = positional;
  if (name !== undefined) {
    const filterName = toText(run, name).value;
    return (value) => applyFilter(run, filterName, value, { positional: rest, named });
  }
  const path = named.get("attribute");
  if (path === undefined) return fault("map requires a filter argument");
  const strange = [...named.keys()].find((key) => key !== "attribute" && key !== "default");
  if (strange !== undefined) return fault(`Unexpected keyword argument '${strange}'`);
  const fallback = named.get("default");
  return getterOf(run, path, undefined, fallback?.kind === "none" ? undefined : fallback);
}

/** `select`, `reject` and those by attribute: what passes a test, or does not. */
function* select(run: Allowance, value: Value, args: Args, wanted: boolean, byAttribute: boolean): Generator<Value> {
  if (!isTrue(run, value)) return;
  const [path] = args.positional;
  if (byAttribute && path === undefined) return fault("Missing parameter for attribute name");
  const get = getterOf(run, byAttribute ? path : undefined);
  const [name, ...rest] = args.positional.slice(byAttribute ? 1 : 0);
  const testName = name === undefined ? undefined : toText(run, name).value;
  const passes = (item: Value): boolean =>
    testName === undefined
      ? isTrue(run, item)
      : applyTest(run, testName, item, { positional: rest, named: args.named });
  for (const each of toIterable(iterate(run, value))) if (passes(get(each)) === wanted) yield each;
}

const selecting = (wanted: boolean, byAttribute: boolean): Filter =>
  filter(undefined, (run, value, _, args) => makeIter(run, select(run, value, args, wanted, byAttribute)));

const filters: Readonly<Record<string, Filter>> = {
  ...textFilters,
  ...listFilters,
  ...{ e: textFilters.escape!, d: listFilters.default!, count: listFilters.length! },
  map: filter(undefined, (run, value, _, args) => makeIter(run, map(run, value, args))),
  select: selecting(true, false),
  reject: selecting(false, false),
  selectattr: selecting(true, true),
  rejectattr: selecting(false, true),
  pprint: filter("", (run, value) => prettyPrint(run, value)),
};
