import { type Allowance, fault } from "./allowance.ts";
import { comparePoints, countPoints } from "./points.ts";
import { represent } from "./printing.ts";
import type { Text } from "./text.ts";
import { type Dict, makeDict, makeList, makeTuple, type Value } from "./values.ts";

const lineWidth = 80;

/** `pprint.pformat` of what fits on one line; dictionaries are sorted by key. */
export function prettyPrint(run: Allowance, value: Value): Text {
  const text = represent(run, sorted(run, value));
  return countPoints(run, text.value) <= lineWidth
    ? text
    : fault(`the filter 'pprint' is not supported for what does not fit on one line of ${lineWidth} characters`);
}

function sorted(run: Allowance, value: Value): Value {
  run.step();
  run.enter();
  let result = value;
  if (value.kind === "dict") result = sortedDict(run, value);
  else if (value.kind === "list" || value.kind === "tuple") {
    const items = value.items.map((each) => sorted(run, each));
    result = value.kind === "list" ? makeList(run, items, value.fromCaller) : makeTuple(run, items, value.fromCaller);
  }
  run.leave();
  return result;
}

function sortedDict(run: Allowance, dict: Dict): Dict {
  const pairs = [...dict.entries.values()].map(([key, value]) => [key, sorted(run, value)] as const);
  run.take(8 * pairs.length);
  const name = (key: Value): string => represent(run, key).value;
  const named = pairs.map((pair) => ({ pair, name: name(pair[0]) }));
  named.sort((a, b) => comparePoints(a.name, b.name));
  return makeDict(
    run,
    named.map(({ pair }) => pair),
    dict.fromCaller,
  );
}
