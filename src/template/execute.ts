import { type Allowance, fault } from "./allowance.ts";
import { call, evaluate, evaluateArguments, evaluateFilter } from "./evaluate.ts";
import { iterate, lengthOf } from "./iterate.ts";
import { createLoop } from "./loop.ts";
import { countPoints } from "./points.ts";
import { toText } from "./printing.ts";
import { assign, openScope, type Scope } from "./scope.ts";
import type { Body, MacroUses, Signature, Statement } from "./syntax.ts";
import { createBuilder, plainText, type Text, type TextBuilder } from "./text.ts";
import { type Args, isTrue, makeDict, makeTuple, makeUndefined, type Thing, toBool, type Value } from "./values.ts";

/** How a body ended, where that was not at its end. */
type Ending = "break" | "continue" | undefined;

/** Runs statements one after the other; what they print goes to `out`. */
export function execute(run: Allowance, scope: Scope, body: Body, out: TextBuilder): Ending {
  run.enter();
  let ending: Ending;
  for (const statement of body) {
    run.step();
    run.line = statement.line;
    ending = executeOne(run, scope, statement, out);
    if (ending !== undefined) break;
  }
  run.leave();
  return ending;
}

/** The text that a body prints. */
function print(run: Allowance, scope: Scope, body: Body): { readonly text: Text; readonly ending: Ending } {
  const out = createBuilder(run);
  const ending = execute(run, scope, body, out);
  return { text: out.build(), ending };
}

function executeOne(run: Allowance, scope: Scope, node: Statement, out: TextBuilder): Ending {
  switch (node.type) {
    case "output":
      for (const item of node.items) {
        if (item.type === "data") out.addPlain(item.value);
        else out.add(toText(run, evaluate(run, scope, item)));
      }
      return undefined;
    case "if": {
      for (const [test, body] of node.branches) {
        if (isTrue(run, evaluate(run, scope, test))) return execute(run, scope, body, out);
      }
      return execute(run, scope, node.otherwise, out);
    }
    case "for":
      return executeFor(run, scope, node, out, evaluate(run, scope, node.over), 0);
    case "set":
      assign(run, scope, node.target, evaluate(run, scope, node.value));
      return undefined;
    case "set-block": {
      const { text, ending } = print(run, openScope(scope), node.body);
      if (ending !== undefined) return ending;
      assign(run, scope, node.target, node.filter ? evaluateFilter(run, scope, node.filter, text) : text);
      return undefined;
    }
    case "filter-block": {
      const { text, ending } = print(run, openScope(scope), node.body);
      if (ending !== undefined) return ending;
      out.add(toText(run, evaluateFilter(run, scope, node.filter, text)));
      return undefined;
    }
    case "with": {
      const inner = openScope(scope);
      for (const [target, value] of node.targets) assign(run, inner, target, evaluate(run, scope, value));
      return execute(run, inner, node.body, out);
    }
    case "macro":
      scope.variables.set(node.name, createMacro(scope, node.name, node.signature, node.body, node.uses));
      return undefined;
    case "call-block": {
      const caller = createMacro(scope, "caller", node.signature, node.body, node.uses);
      const given = evaluateArguments(run, scope, node.call.args);
      const args = { ...given, named: new Map([...given.named, ["caller", caller]]) };
      out.add(toText(run, call(run, evaluate(run, scope, node.call.of), args)));
      return undefined;
    }
    case "generation":
      execute(run, openScope(scope), node.body, out);
      return undefined;
    case "block":
      execute(run, openScope(node.scoped ? scope : rootOf(scope)), node.body, out);
      return undefined;
    default:
      return node.type;
  }
}

/** The scope of what stands outside all loops and macros; the variables that the template is given are its own. */
function rootOf(scope: Scope): Scope {
  let root = scope;
  while (root.around?.around) root = root.around;
  return root;
}

type For = Extract<Statement, { type: "for" }>;

function executeFor(run: Allowance, scope: Scope, node: For, out: TextBuilder, over: Value, depth: number): Ending {
  const items = node.test ? filtered(run, scope, node, iterate(run, over)) : iterate(run, over);
  const length = node.test ? undefined : over.kind === "str" ? countPoints(run, over.value) : lengthOf(run, over);
  const recurse = (run: Allowance, inner: Value, level: number): Value => {
    const text = createBuilder(run);
    run.enter();
    executeFor(run, scope, node, text, inner, level);
    run.leave();
    return text.build();
  };
  const loop = createLoop(items, length, node.recursive ? recurse : undefined, depth);
  let empty = true;
  for (let item = loop.next(); item !== undefined; item = loop.next()) {
    empty = false;
    const inner = openScope(scope);
    run.take(24);
    inner.variables.set("loop", loop.variable);
    assign(run, inner, node.target, item);
    if (execute(run, inner, node.body, out) === "break") return undefined;
  }
  return empty ? execute(run, openScope(scope), node.otherwise, out) : undefined;
}

/** The items that pass the loop's own test, each tested when its turn comes. */
function* filtered(run: Allowance, scope: Scope, node: For, items: Iterator<Value>): Generator<Value> {
  for (let next = items.next(); !next.done; next = items.next()) {
    const inner = openScope(scope);
    assign(run, inner, node.target, next.value);
    if (isTrue(run, evaluate(run, inner, node.test!))) yield next.value;
  }
}

/** A macro as a function: its body in a scope of its own inside the one that it was written in. */
function createMacro(around: Scope, name: string, signature: Signature, body: Body, uses: MacroUses): Thing {
  const { parameters, defaults } = signature;
  const undefinedCaller = makeUndefined("No caller defined");
  return {
    kind: "thing",
    type: "Macro",
    print: (run) => plainText(run, `<Macro '${name}'>`),
    get(run, attribute) {
      if (attribute === "name") return plainText(run, name);
      if (attribute === "arguments")
        return makeTuple(
          run,
          parameters.map((each) => plainText(run, each)),
        );
      if (attribute === "catch_kwargs") return toBool(uses.kwargs);
      if (attribute === "catch_varargs") return toBool(uses.varargs);
      return attribute === "caller" ? toBool(uses.caller) : undefined;
    },
    call(run, args) {
      const scope = openScope(around);
      run.enter();
      bindMacro(run, scope, args);
      const { text } = print(run, scope, body);
      run.leave();
      return text;
    },
  };

  function bindMacro(run: Allowance, scope: Scope, { positional, named, keywords }: Args): void {
    const left = new Map(named);
    const firstDefault = parameters.length - defaults.length;
    for (const [index, parameter] of parameters.entries()) {
      let value: Value | undefined = positional[index];
      if (value === undefined) {
        value = left.get(parameter);
        left.delete(parameter);
      }
      if (value === undefined) {
        const otherwise = defaults[index - firstDefault];
        value = otherwise && evaluate(run, scope, otherwise);
      }
      run.take(16);
      scope.variables.set(parameter, value ?? makeUndefined(`parameter '${parameter}' was not provided`));
    }
    if (uses.caller && !parameters.includes("caller")) {
      scope.variables.set("caller", left.get("caller") ?? undefinedCaller);
      left.delete("caller");
    }
    if (uses.kwargs) {
      const pairs = [...left].map(([key, value]) => [keywords?.get(key) ?? plainText(run, key), value] as const);
      scope.variables.set("kwargs", makeDict(run, pairs));
    } else if (left.size > 0) {
      const [strange] = left.keys();
      fault(`macro '${name}' takes no keyword argument '${strange}'`);
    }
    const rest = positional.slice(parameters.length);
    if (uses.varargs) scope.variables.set("varargs", makeTuple(run, rest));
    else if (rest.length > 0) fault(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
  }
}
