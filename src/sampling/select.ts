/**
 * Partial selection: what truncation needs without sorting a vocabulary.
 */

/**
 * Writes the ids of the `k` largest values into `ids`, in no particular order; of equal values the lower ids win. One scan
 * with a heap of the best so far. Returns how many there are: fewer than k when `values` is shorter. A NaN outranks
 * everything and is returned alone, so that a caller need not look for one.
 */
export function selectLargest(values: ArrayLike<number>, k: number, ids: Int32Array): number {
  const { length } = values;
  const count = Math.min(k, length);
  if (count === 0) return 0;
  for (let i = 0; i < count; i++) {
    ids[i] = i;
    if (Number.isNaN(values[i]!)) return only(ids, i);
  }
  for (let i = (count >> 1) - 1; i >= 0; i--) sink(values, ids, count, i);
  let least = values[ids[0]!]!;
  for (let i = count; ; i++) {
    // A loop of its own, without calls, so that it compiles to little more than the comparison (which NaN fails too).
    while (i < length && values[i]! <= least) i++;
    if (i >= length) return count;
    if (Number.isNaN(values[i]!)) return only(ids, i);
    ids[0] = i;
    sink(values, ids, count, 0);
    least = values[ids[0]!]!;
  }
}

function only(ids: Int32Array, id: number): number {
  ids[0] = id;
  return 1;
}

/** Restores the heap below `at`; its root is the worst: least value, and of these the highest id. */
function sink(values: ArrayLike<number>, ids: Int32Array, count: number, at: number): void {
  const id = ids[at]!;
  const value = values[id]!;
  let hole = at;
  for (;;) {
    let child = 2 * hole + 1;
    if (child >= count) break;
    if (child + 1 < count && worse(values, ids[child + 1]!, ids[child]!)) child++;
    const other = values[ids[child]!]!;
    if (other > value || (other === value && ids[child]! < id)) break;
    ids[hole] = ids[child]!;
    hole = child;
  }
  ids[hole] = id;
}

function worse(values: ArrayLike<number>, a: number, b: number): boolean {
  return values[a]! < values[b]! || (values[a]! === values[b]! && a > b);
}

/**
 * The smallest prefix, in ascending order of `keys`, whose weights sum to at least `target`: moves its members to the
 * front of `order` and returns their number, at least 1. `order` lists positions into `keys`, `weights` and `ids`; equal keys are
 * taken by ascending id. Quickselect on the weights, linear in expectation.
 */
export function selectPrefix(
  order: Int32Array,
  count: number,
  keys: Float64Array,
  weights: Float64Array,
  ids: Int32Array,
  target: number,
): number {
  const before = (a: number, b: number) => keys[a]! < keys[b]! || (keys[a]! === keys[b]! && ids[a]! < ids[b]!);
  let low = 0;
  let high = count;
  let need = target;
  while (high - low > 32) {
    const pivot = median(order[low]!, order[(low + high) >> 1]!, order[high - 1]!, before);
    // Members up to and with the pivot go to the front.
    let split = low;
    let sum = 0;
    for (let i = low; i < high; i++) {
      const member = order[i]!;
      if (before(pivot, member)) continue;
      order[i] = order[split]!;
      order[split++] = member;
      sum += weights[member]!;
    }
    if (sum < need) {
      need -= sum;
      low = split;
    } else if (split < high) {
      high = split;
    } else {
      break;
    }
  }
  for (let i = low + 1; i < high; i++) {
    const member = order[i]!;
    let hole = i;
    while (hole > low && before(member, order[hole - 1]!)) {
      order[hole] = order[hole - 1]!;
      hole--;
    }
    order[hole] = member;
  }
  let sum = 0;
  for (let i = low; i < high; i++) {
    sum += weights[order[i]!]!;
    if (sum >= need) return i + 1;
  }
  // Rounding left the target just out of reach: everything belongs.
  return Math.max(1, high);
}

function median(a: number, b: number, c: number, before: (a: number, b: number) => boolean): number {
  if (before(a, b)) return before(b, c) ? b : before(a, c) ? c : a;
  return before(a, c) ? a : before(b, c) ? c : b;
}
