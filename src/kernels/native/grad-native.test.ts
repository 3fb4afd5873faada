import { expect, it } from "vitest";
import { withoutAddon } from "../../../test/support/addon.ts";
import { loadAddon } from "../../addon.ts";
import { gradConformance } from "../grad-ops.case.ts";
import { createRandom } from "../oracle.case.ts";
import { createGradReference } from "../reference/grad-reference.ts";
import { createNativeGrad } from "./grad-native.ts";

const state = loadAddon();
const budgets = { gradient: 2e-5, quantized: 2e-2 };

if (state.addon === undefined) {
  gradConformance("native", createGradReference, budgets, { skip: `no addon: ${state.reason}` });
} else {
  const { addon } = state;
  for (const isa of addon.machine().isas) {
    gradConformance(`native ${isa}`, () => createNativeGrad(addon, { threads: 2, isa }), budgets, {
      twin: () => createNativeGrad(addon, { threads: 3, isa }),
    });
  }
}

it.skipIf(state.addon === undefined)(`gives the same bits with one, two and three threads${withoutAddon}`, async () => {
  const { addon } = state as { addon: NonNullable<typeof state.addon> };
  const run = async (threads: number, isa: string) => {
    const ops = createNativeGrad(addon, { threads, isa });
    const random = createRandom(1);
    const matrix = (name: string, rows: number, cols: number) => {
      const made = ops.matrix(name, rows, cols);
      ops.write(made, random.normal(rows * cols));
      return made;
    };
    const [n, width, hidden, experts] = [200, 48, 70, 4];
    const x = matrix("x", n, width);
    const dOut = matrix("dOut", n, width);
    const gain = ops.parameter("gain", [width], random.normal(width));
    const square = ops.parameter("square", [width, width], random.normal(width * width));
    const gate = ops.parameter("gate", [experts, hidden, width], random.normal(experts * hidden * width));
    const up = ops.parameter("up", [experts, hidden, width], random.normal(experts * hidden * width));
    const down = ops.parameter("down", [experts, width, hidden], random.normal(experts * hidden * width));
    const options = { used: 2, renormalize: true, balance: 0.1, zLoss: 0.1 };
    const routing = ops.route("routing", matrix("logits", n, experts), options);
    const found: number[] = [];
    const keep = async (made: { name: string; rows: number; cols: number }) => found.push(...(await ops.read(made)));
    await keep(await ops.experts("moe", x, routing, { gate, up, down }, "gelu"));
    const back = ops.expertsBackward({ x: "dx", weights: "dw" }, dOut, x, routing, { gate, up, down }, "gelu");
    await keep(back.x!);
    await keep(back.weights);
    await keep(ops.rmsNormBackward("dn", dOut, x, gain, 1e-5)!);
    await keep(ops.matmulBackward("dm", dOut, x, square)!);
    const batch = {
      tokens: new Int32Array(n),
      positions: Int32Array.from({ length: n }, (_, i) => (i < 60 ? i : i - 60)),
      sequences: [
        { start: 0, count: 60, pages: new Int32Array(0) },
        { start: 60, count: 140, pages: new Int32Array(0) },
      ],
      outputs: new Int32Array(0),
    };
    const attention = { heads: 6, kvHeads: 2, scale: 0.25, softcap: 30 };
    const [k, v] = [matrix("k", n, 16), matrix("v", n, 16)];
    ops.begin(batch);
    const attended = ops.selfAttention("att", x, k, v, attention);
    const into = { q: "dq", k: "dk", v: "dv" };
    const gradients = ops.selfAttentionBackward(into, dOut, x, k, v, attended, attention);
    for (const made of [attended.out, gradients.q, gradients.k, gradients.v]) await keep(made);
    const parameters = [gain, square, gate, up, down];
    found.push(ops.gradientNorm(parameters));
    const decay = { rate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1, step: 1, factor: 0.5 };
    ops.adamw(parameters, decay);
    for (const parameter of parameters) {
      found.push(...ops.readParameter(parameter, "gradient"), ...ops.readParameter(parameter, "values"));
    }
    ops.close();
    return Float64Array.from(found);
  };
  for (const isa of addon.machine().isas) {
    const one = await run(1, isa);
    expect(one.every(Number.isFinite)).toBe(true);
    for (const threads of [2, 3])
      expect(Buffer.compare(Buffer.from((await run(threads, isa)).buffer), Buffer.from(one.buffer))).toBe(0);
  }
});
