import type { GradOps, Parameter } from "../kernels/grad-ops.ts";
import type { BatchStream, TrainStep } from "./data/stream.ts";
import type { ReplicaSums, Trainer } from "./trainer.ts";

/** What a step's replicas add up to, without their gradients. */
export interface StepSums extends ReplicaSums {
  readonly tokens: number;
  readonly learned: number;
}

/** Computes one step's gradients, of all replicas. */
export interface Replicas {
  /** Takes the stream's next step; the sum of the gradients is then in the parameters. */
  step(stream: BatchStream): Promise<StepSums>;
  close(): Promise<void>;
}

/** All replicas one after the other, in this process. */
export function createLocalReplicas(trainer: Trainer): Replicas {
  const total = createTotal(trainer.ops, trainer.parameters);
  return {
    async step(stream) {
      const step = stream.next();
      const sums: ReplicaSums[] = [];
      for (const { batches } of step.shards) {
        sums.push(await trainer.accumulate(batches, step));
        if (step.shards.length > 1) total.add(sums.length === 1);
      }
      if (step.shards.length > 1) total.put();
      return addSums(step, sums);
    },
    async close() {},
  };
}

/**
 * The sum of replicas' gradients, each computed from zero, in the order of the replicas and in the backend's precision: the
 * same bits whoever computed them.
 */
export function createTotal(ops: GradOps, parameters: readonly Parameter[]) {
  let sums: (Float32Array | Float64Array)[] | undefined;
  const addValues = (values: Float32Array | Float64Array, index: number, first: boolean) => {
    const sum = sums![index]!;
    if (first) sum.set(values);
    else for (let i = 0; i < sum.length; i++) sum[i]! += values[i]!;
  };
  const allocate = () => {
    sums ??= parameters.map((parameter) => {
      const values = ops.readParameter(parameter, "gradient");
      return values instanceof Float64Array ? new Float64Array(values.length) : new Float32Array(values.length);
    });
  };
  return {
    /** Adds the gradients that the parameters hold. */
    add(first: boolean) {
      allocate();
      for (const [i, parameter] of parameters.entries()) addValues(ops.readParameter(parameter, "gradient"), i, first);
    },
    /** Adds one parameter's gradient from elsewhere. */
    addFrom(index: number, values: Float32Array | Float64Array, first: boolean) {
      allocate();
      addValues(values, index, first);
    },
    /** Makes the sum the parameters' gradient. */
    put() {
      for (const [i, parameter] of parameters.entries()) ops.writeParameter(parameter, "gradient", sums![i]!);
    },
  };
}

export function addSums({ tokens, learned }: TrainStep, sums: readonly ReplicaSums[]): StepSums {
  const add = (key: "loss" | "balance" | "zLoss" | "bytes") => sums.reduce((all, one) => all + one[key], 0);
  return {
    ...{ tokens, learned, loss: add("loss"), balance: add("balance"), zLoss: add("zLoss"), bytes: add("bytes") },
    chosen: sums[0]!.chosen.map((_, i) => sums.reduce((all, one) => all + one.chosen[i]!, 0)),
  };
}
