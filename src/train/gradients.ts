import type { GradOps, Into } from "../kernels/grad-ops.ts";
import type { Matrix } from "../kernels/ops.ts";

/** The gradients of a walk back, each from its value's last use until the operation that made the value has had it. */
export interface Gradients {
  /** Takes the gradient of a value away from the book; undefined where nothing flowed. */
  take(value: Matrix): Gradient | undefined;
  /** Where a rule is to put the gradient of `value`: a name when there is none yet, else the matrix to add to. */
  into(value: Matrix): Into;
  /** Tells what the rule made of it. */
  put(value: Matrix, gradient: Matrix): void;
  /** Lets `gradient` be that of `value`, without a copy until one of those who share it is added to. */
  share(value: Matrix, gradient: Gradient): void;
  /** Applies an elementwise rule: over the gradient itself when nobody else needs it. Takes the place of `release`. */
  map(value: Matrix, gradient: Gradient, rule: (into: Into, dOut: Matrix) => Matrix): void;
  /** Tells that a gradient which was taken has been used. */
  release(gradient: Gradient): void;
  clear(): void;
}

/** A gradient and how many values it belongs to: addition passes one on to both of its operands. */
export interface Gradient {
  matrix: Matrix;
  holders: number;
}

/**
 * Gradients live briefly, so they share slots: names with a number for each count of columns, used again as soon as they are
 * free.
 */
export function createGradients(ops: GradOps): Gradients {
  const held = new Map<Matrix, Gradient>();
  const free = new Map<number, string[]>();
  const columns = new Map<string, number>();

  const nameFor = (cols: number): string => {
    const known = free.get(cols)?.pop();
    if (known !== undefined) return known;
    const name = `gradient ${cols} ${columns.size}`;
    columns.set(name, cols);
    return name;
  };

  const gradients: Gradients = {
    take(value) {
      const gradient = held.get(value);
      held.delete(value);
      return gradient;
    },
    into(value) {
      const known = held.get(value);
      if (known === undefined) return nameFor(value.cols);
      if (known.holders > 1) {
        known.holders--;
        held.set(value, { matrix: ops.addBackward(nameFor(value.cols), known.matrix), holders: 1 });
      }
      return held.get(value)!.matrix;
    },
    put(value, matrix) {
      const known = held.get(value);
      if (known === undefined) held.set(value, { matrix, holders: 1 });
      else if (known.matrix.name !== matrix.name) {
        ops.addBackward(gradients.into(value), matrix);
        gradients.release({ matrix, holders: 1 });
      }
    },
    share(value, gradient) {
      if (held.has(value)) ops.addBackward(gradients.into(value), gradient.matrix);
      else {
        gradient.holders++;
        held.set(value, gradient);
      }
    },
    map(value, gradient, rule) {
      const { matrix } = gradient;
      if (!held.has(value) && gradient.holders === 1) {
        held.set(value, { matrix: rule(matrix.name, matrix), holders: 1 });
        return;
      }
      gradients.put(value, rule(gradients.into(value), matrix));
      gradients.release(gradient);
    },
    release(gradient) {
      gradient.holders--;
      const { name } = gradient.matrix;
      const cols = columns.get(name);
      if (gradient.holders > 0 || cols === undefined) return;
      const names = free.get(cols);
      if (names === undefined) free.set(cols, [name]);
      else names.push(name);
    },
    clear() {
      for (const gradient of new Set(held.values())) {
        gradient.holders = 1;
        gradients.release(gradient);
      }
      held.clear();
    },
  };
  return gradients;
}
