import type { TensorType } from "../tensor/types.ts";
import type { GradOps, Into, Parameter } from "./grad-ops.ts";
import type { Batch, Matrix, Weight } from "./ops.ts";
import { createRandom, type Random, randomTensor } from "./oracle.case.ts";

/** What a problem is given: its values on a backend, and where gradients go. */
export interface Bench {
  readonly ops: GradOps;
  /** The value `name` as a matrix. */
  matrix(name: string, rows: number, cols: number, deviation?: number): Matrix;
  /** The value `name` as a parameter, whose gradient is looked at by itself. */
  parameter(name: string, shape: readonly number[], deviation?: number): Parameter;
  /** Where the gradient of matrix `name` goes. */
  into(name: string, rows: number, cols: number): Into;
}

/** One forward operation, or a few, and the rule that gives the gradients of its values. */
export interface Forward {
  /** A result; its part of the loss is its product with a fixed random matrix, whose values `back` is given. */
  readonly out?: Matrix;
  /** Terms of the loss beside that. */
  readonly loss?: number;
  /** The gradients of all values that are matrices, by name. */
  back(dOut: Matrix): Record<string, Matrix | undefined> | undefined;
}

export interface Problem {
  readonly name: string;
  /** Values of a given kind in place of normal ones. */
  readonly values?: Readonly<Record<string, Float32Array>>;
  /** A quantized weight takes part, for which fast backends may round activations. */
  readonly quantized?: boolean;
  /** Slow to run on the reference: fewer places are looked at. */
  readonly large?: boolean;
  run(bench: Bench): Forward | Promise<Forward>;
}

export function batchOf(counts: readonly number[], firstPosition = 0): Batch {
  const n = counts.reduce((a, b) => a + b, 0);
  const positions = new Int32Array(n);
  let start = 0;
  const sequences = counts.map((count) => {
    for (let i = 0; i < count; i++) positions[start + i] = firstPosition + i;
    start += count;
    return { start: start - count, count, pages: new Int32Array(0) };
  });
  return { tokens: new Int32Array(n), positions, sequences, outputs: new Int32Array(0) };
}

/** A random tensor that is not trained. */
export const frozen = (bench: Bench, name: string, type: TensorType, shape: readonly number[]): Weight =>
  bench.ops.weight(randomTensor(createRandom(shape.length + shape.at(-1)!), name, type, shape).tensor);

/** Problems of shapes drawn at random, the same every time. */
export function drawnShapes(count: number, seed: number, draw: (random: Random) => Problem): Problem[] {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => draw(random));
}
