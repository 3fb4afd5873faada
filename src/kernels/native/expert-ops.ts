import type { AddonBackend } from "../../addon-backend.ts";
import { checkApart, checkLowRank, checkSize } from "../checks.ts";
import type { Ops } from "../ops.ts";
import type { Control } from "./control.ts";
import type { NativeMatrix, Scratch } from "./scratch.ts";
import type { SlotStore } from "./slot-store.ts";
import { computeAsTheyCome, type ExpertEvent, type ExpertStore } from "./store.ts";
import { boundWeight, type NativeWeight } from "./weight.ts";

/** What operations on experts need of a native backend. */
export interface ExpertOpsParts {
  readonly native: AddonBackend;
  readonly scratch: Scratch;
  readonly control: Control;
  /** Who has experts' bytes; `slots` is the same where they are streamed. */
  readonly store: ExpertStore;
  readonly slots: SlotStore | undefined;
  result(name: string, rows: number, cols: number): NativeMatrix;
}

const expertParts = ["gate", "up", "down"] as const;

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Experts, computed as they come from a store, and what is foretold of the next layer's. `left`, `onExperts`: as of {@link computeAsTheyCome}. */
export function createExpertOps(
  { native, scratch, control, store, slots, result }: ExpertOpsParts,
  left: (() => Promise<void>) | undefined,
  onExperts: ((event: ExpertEvent) => void) | undefined,
): Pick<Ops, "experts" | "expecting" | "expect"> {
  const idOf = scratch.id;
  const picked: number[] = [];
  return {
    experts(name, x, routing, stacks, activation, terms) {
      checkApart("experts", name, x);
      const gate = boundWeight(native, stacks.gate);
      const up = boundWeight(native, stacks.up);
      const down = boundWeight(native, stacks.down);
      checkSize("experts", "rows of the routing", x.rows, routing.rows);
      checkSize("experts", `columns of ${x.name}`, gate.cols, x.cols);
      for (const stack of [gate, up, down]) {
        const { name: what } = stack.tensor;
        checkSize("experts", `experts of ${what}`, routing.probabilities.cols, stack.matrices);
        checkSize("experts", `rows of ${what}`, stack === down ? x.cols : gate.rows, stack.rows);
        checkSize("experts", `columns of ${what}`, stack === down ? gate.rows : x.cols, stack.cols);
      }
      const [input, chosen, weights] = [idOf(x), idOf(routing.chosen), idOf(routing.weights)];
      const out = result(name, x.rows, x.cols);
      const kind = activation === "gelu" ? 0 : 1;
      const beside: number[] = [];
      for (const [place, base] of [gate, up, down].entries()) {
        for (const { a, b, scales } of terms?.[expertParts[place]!] ?? []) {
          const [first, second] = [boundWeight(native, a), boundWeight(native, b)];
          checkLowRank("experts", first, second, base);
          checkSize("experts", `values of ${scales.name}`, x.rows, scales.rows * scales.cols);
          beside.push(place, first.id, second.id, idOf(scales));
        }
      }
      const { used } = routing;
      const n = x.rows;
      const count = beside.length / 4;
      const parts = [gate, up, down];
      slots?.lose(parts, {
        ...{ rows: n, used, renormalize: routing.renormalize, probabilities: scratch.values(routing.probabilities) },
        ...{ chosen: scratch.values(routing.chosen), weights: scratch.values(routing.weights) },
      });
      picked.length = 0;
      for (const expert of scratch.values(routing.chosen)) if (!picked.includes(expert)) picked.push(expert);
      const absent = store.absent(parts, picked);
      if (absent.length === 0) {
        store.bringForetold?.();
        if (count > 0) control.list(Int32Array.from(beside));
        try {
          native.experts(out.id, input, n, chosen, weights, used, gate.id, up.id, down.id, kind, count);
        } finally {
          store.release(parts, picked);
        }
        return out;
      }
      const there = picked.filter((expert) => !absent.includes(expert));
      /** Whoever throws before it is known who computes with those that are there lets them go. */
      const orLetGo = <T>(act: () => T): T => {
        try {
          return act();
        } catch (error) {
          store.release(parts, there);
          throw error;
        }
      };
      const apart = orLetGo(() => result(`${name}.parts`, n * used, x.cols));
      const computeWith = (of: readonly NativeWeight[], some: readonly number[]) => {
        control.list(Int32Array.from([...beside, ...some]));
        const [first, second, third] = of.map(({ id }) => id) as [number, number, number];
        return native.expertParts(apart.id, input, n, chosen, used, first, second, third, kind, count, some.length);
      };
      const stoodIn = orLetGo(() => {
        const some = slots?.standIns(parts, absent) ?? [];
        if (some.length > 0) {
          onExperts?.({ kind: "stand in", tensor: gate.tensor.name, experts: some });
          computeWith(
            parts.map(({ standIn }) => standIn!),
            some,
          );
        }
        return some;
      });
      const [own, awaited] = [picked, absent].map((all) => all.filter((expert) => !stoodIn.includes(expert)));
      const compute = (some: readonly number[]) => computeWith(parts, some);
      return computeAsTheyCome(store, parts, own!, awaited!, compute, onExperts, left?.()).then(async () => {
        native.sumExperts(out.id, apart.id, n, chosen, weights, used, x.cols);
        // What was read meanwhile is heard of in a turn of the event loop, and nothing else waits for one.
        if (stoodIn.length > 0) await nextTurn();
        return out;
      });
    },

    ...(store.foretell && {
      expecting: () => store.foretelling?.() !== false,
      expect(routing, stacks) {
        const counts = new Map<number, number>();
        for (const expert of scratch.values(routing.chosen)) counts.set(expert, (counts.get(expert) ?? 0) + 1);
        const likeliest = [...counts].sort(([, a], [, b]) => b - a).map(([expert]) => expert);
        store.foretell!(
          [stacks.gate, stacks.up, stacks.down].map((stack) => boundWeight(native, stack)),
          likeliest,
        );
      },
    }),
  };
}
