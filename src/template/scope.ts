import { type Allowance, fault } from "./allowance.ts";
import { iterate } from "./iterate.ts";
import type { Target } from "./syntax.ts";
import { makeUndefined, type Value } from "./values.ts";

/** Variables by name; what a scope does not have, the one around it may. Loops, macros and blocks have scopes, `if` has none. */
export interface Scope {
  readonly variables: Map<string, Value>;
  readonly around: Scope | undefined;
}

export const openScope = (around: Scope | undefined): Scope => ({ variables: new Map(), around });

export function lookUp(scope: Scope, name: string): Value {
  for (let at: Scope | undefined = scope; at; at = at.around) {
    const value = at.variables.get(name);
    if (value !== undefined) return value;
  }
  return makeUndefined(`'${name}' is undefined`);
}

/** Gives a target its value; a tuple's parts take the items one by one. */
export function assign(run: Allowance, scope: Scope, target: Target, value: Value): void {
  run.step();
  if (target.type === "name") {
    run.take(16);
    scope.variables.set(target.name, value);
  } else if (target.type === "field") {
    const holder = lookUp(scope, target.name);
    if (holder.kind === "thing" && holder.set) holder.set(run, target.field, value);
    else fault("cannot assign attribute on non-namespace object");
  } else {
    const items = iterate(run, value);
    for (const [index, part] of target.items.entries()) {
      const next = items.next();
      if (next.done) fault(`not enough values to unpack (expected ${target.items.length}, got ${index})`);
      assign(run, scope, part, next.value);
    }
    if (!items.next().done) fault(`too many values to unpack (expected ${target.items.length})`);
  }
}
