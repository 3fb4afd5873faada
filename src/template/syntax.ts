import type { BinaryOperator, CompareOperator } from "./operators.ts";

/** A template's tree. `line` is where a node begins, for messages. */

export type Expression = { readonly line: number } & (
  | { readonly type: "data"; readonly value: string }
  | { readonly type: "constant"; readonly value: bigint | number | boolean | null }
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "list" | "tuple" | "concat"; readonly items: readonly Expression[] }
  | { readonly type: "dict"; readonly pairs: readonly (readonly [Expression, Expression])[] }
  | { readonly type: "attribute"; readonly of: Expression; readonly name: string }
  | { readonly type: "item"; readonly of: Expression; readonly key: Expression }
  | {
      readonly type: "slice";
      readonly of: Expression;
      readonly bounds: readonly [Expression | undefined, Expression | undefined, Expression | undefined];
    }
  | Call
  | { readonly type: "filter"; readonly name: string; readonly of: Expression | undefined; readonly args: Arguments }
  | { readonly type: "test"; readonly name: string; readonly of: Expression; readonly args: Arguments }
  | { readonly type: "not" | "negate" | "plus"; readonly of: Expression }
  | { readonly type: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | {
      readonly type: "binary";
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | {
      readonly type: "compare";
      readonly first: Expression;
      readonly rest: readonly (readonly [CompareOperator, Expression])[];
    }
  | {
      readonly type: "choice";
      readonly test: Expression;
      readonly value: Expression;
      readonly otherwise: Expression | undefined;
    }
);

export interface Call {
  readonly type: "call";
  readonly line: number;
  readonly of: Expression;
  readonly args: Arguments;
}

export interface Arguments {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  readonly rest: Expression | undefined;
  readonly namedRest: Expression | undefined;
}

export type Target =
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "field"; readonly name: string; readonly field: string }
  | { readonly type: "tuple"; readonly items: readonly Target[] };

export interface Signature {
  readonly parameters: readonly string[];
  /** Of the last parameters. */
  readonly defaults: readonly Expression[];
}

export type Body = readonly Statement[];

export type Statement = { readonly line: number } & (
  | { readonly type: "output"; readonly items: readonly Expression[] }
  | {
      readonly type: "if";
      readonly branches: readonly (readonly [Expression, Body])[];
      readonly otherwise: Body;
    }
  | {
      readonly type: "for";
      readonly target: Target;
      readonly over: Expression;
      readonly test: Expression | undefined;
      readonly recursive: boolean;
      readonly body: Body;
      readonly otherwise: Body;
    }
  | { readonly type: "set"; readonly target: Target; readonly value: Expression }
  | {
      readonly type: "set-block";
      readonly target: Target;
      readonly filter: Expression | undefined;
      readonly body: Body;
    }
  | { readonly type: "with"; readonly targets: readonly (readonly [Target, Expression])[]; readonly body: Body }
  | {
      readonly type: "macro";
      readonly name: string;
      readonly signature: Signature;
      readonly body: Body;
      readonly uses: MacroUses;
    }
  | {
      readonly type: "call-block";
      readonly call: Call;
      readonly signature: Signature;
      readonly body: Body;
      readonly uses: MacroUses;
    }
  | { readonly type: "filter-block"; readonly filter: Expression; readonly body: Body }
  | { readonly type: "generation"; readonly body: Body }
  | { readonly type: "block"; readonly scoped: boolean; readonly body: Body }
  | { readonly type: "break" | "continue" }
);

/** Which of the names that a macro may use its body does use: by them it takes further arguments. */
export interface MacroUses {
  readonly varargs: boolean;
  readonly kwargs: boolean;
  readonly caller: boolean;
}
