// Measures a training step of a small mixture of experts of Grok-1's architecture, and the same in eager PyTorch where it is
// installed: same shapes, same threads, one run. Needs `npm run build`.
//
// usage: node bench/training.mjs [--threads 2] [--steps 3] [--width 256] [--layers 6] ... [--python PYTHON] [--profile]
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loadAddon } from "../dist/addon.js";
import { createNativeGrad } from "../dist/kernels/native/grad-native.js";
import { median } from "./tokens.mjs";

const numbers = {
  threads: 2,
  steps: 3,
  width: 256,
  layers: 6,
  heads: 4,
  kvHeads: 2,
  headSize: 64,
  experts: 8,
  used: 2,
};
Object.assign(numbers, { hidden: 512, vocab: 4096, sequences: 16, length: 256 });
const { values } = parseArgs({
  options: {
    ...Object.fromEntries(Object.entries(numbers).map(([name, n]) => [name, { type: "string", default: String(n) }])),
    python: { type: "string" },
    profile: { type: "boolean", default: false },
  },
});
const o = Object.fromEntries(Object.keys(numbers).map((name) => [name, Number(values[name])]));
const { addon, reason } = loadAddon();
if (addon === undefined) throw new Error(reason);

const times = new Map();
const plain = createNativeGrad(addon, { threads: o.threads });
const ops = values.profile ? timed(plain) : plain;

function timed(of) {
  const measure =
    (name, call) =>
    (...args) => {
      const started = performance.now();
      const result = call(...args);
      times.set(name, (times.get(name) ?? 0) + performance.now() - started);
      return result;
    };
  return Object.fromEntries(
    Object.entries(of).map(([name, call]) => [name, typeof call === "function" ? measure(name, call) : call]),
  );
}

const n = o.sequences * o.length;
const parameters = [];
function parameter(name, ...shape) {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const deviation = shape.at(-1) ** -0.5 * 3 ** 0.5;
  for (let i = 0; i < values.length; i++) values[i] = shape.length === 1 ? 1 : (2 * Math.random() - 1) * deviation;
  parameters.push(ops.parameter(name, shape, values));
  return parameters.at(-1);
}
const { width, heads, kvHeads, headSize, experts, used, hidden, vocab } = o;
const embedding = parameter("embedding", vocab, width);
const last = parameter("last", width);
const blocks = Array.from({ length: o.layers }, (_, i) => ({
  norms: [1, 2, 3, 4].map((place) => parameter(`norm${place}.${i}`, width)),
  q: parameter(`q.${i}`, heads * headSize, width),
  k: parameter(`k.${i}`, kvHeads * headSize, width),
  v: parameter(`v.${i}`, kvHeads * headSize, width),
  o: parameter(`o.${i}`, width, heads * headSize),
  router: parameter(`router.${i}`, experts, width),
  stacks: {
    gate: parameter(`gate.${i}`, experts, hidden, width),
    up: parameter(`up.${i}`, experts, hidden, width),
    down: parameter(`down.${i}`, experts, width, hidden),
  },
}));
const frequencies = Float64Array.from({ length: headSize / 2 }, (_, i) => 10000 ** ((-2 * i) / headSize));
const rope = { headSize, pairing: "half", frequencies, magnitude: 1 };
const batch = {
  tokens: new Int32Array(n),
  positions: Int32Array.from({ length: n }, (_, i) => i % o.length),
  sequences: Array.from({ length: o.sequences }, (_, s) => ({
    start: s * o.length,
    count: o.length,
    pages: new Int32Array(0),
  })),
  outputs: new Int32Array(0),
};
const attention = { heads, kvHeads, scale: headSize ** -0.5, softcap: 30 };
const routing = { used, renormalize: false, balance: 0, zLoss: 0 };

function step(number, tokens, targets) {
  ops.zeroGradients(parameters);
  ops.begin({ ...batch, tokens });
  let h = ops.embed("h", embedding, width ** 0.5);
  const kept = blocks.map((block, i) => {
    const [n1, n2, n3, n4] = block.norms;
    const x1 = ops.rmsNorm(`x1.${i}`, h, n1, 1e-5);
    const turn = (name, weight) => ops.rope(`${name}.${i}`, ops.matmul(`${name}.${i}`, x1, weight), rope);
    const [q, k, v] = [turn("q", block.q), turn("k", block.k), ops.matmul(`v.${i}`, x1, block.v)];
    const attended = ops.selfAttention(`a.${i}`, q, k, v, attention);
    const a = ops.matmul(`ao.${i}`, attended.out, block.o);
    const h1 = ops.add(`h1.${i}`, h, ops.rmsNorm("branch", a, n2, 1e-5));
    const x2 = ops.rmsNorm(`x2.${i}`, h1, n3, 1e-5);
    const logits = ops.matmul(`router.${i}`, x2, block.router);
    const routed = ops.route(`routing.${i}`, logits, routing);
    const m = ops.experts(`m.${i}`, x2, routed, block.stacks, "gelu");
    const before = h;
    h = ops.add(`h.${i}`, h1, ops.rmsNorm("branch", m, n4, 1e-5));
    return { before, x1, q, k, v, attended, a, h1, x2, logits, routed, m };
  });
  const x = ops.rmsNorm("x", h, last, 1e-5);
  const logits = ops.matmul("logits", x, embedding);
  const { loss, dLogits } = ops.crossEntropy("logits", logits, targets, new Float64Array(n).fill(1 / n));
  const dh = ops.rmsNormBackward("dh", ops.matmulBackward("dx", dLogits, x, embedding), h, last, 1e-5);
  for (let i = o.layers - 1; i >= 0; i--) {
    const { before, x1, q, k, v, attended, a, h1, x2, logits, routed, m } = kept[i];
    const { norms, stacks, router } = blocks[i];
    const [n1, n2, n3, n4] = norms;
    const dm = ops.rmsNormBackward("dm", dh, m, n4, 1e-5);
    const back = ops.expertsBackward({ x: "dx2", weights: "dweights" }, dm, x2, routed, stacks, "gelu");
    const { dLogits } = ops.routeBackward("drouter", back.weights, logits, routed, routing);
    ops.matmulBackward(back.x, dLogits, x2, router);
    ops.rmsNormBackward(dh, back.x, h1, n3, 1e-5);
    const da = ops.rmsNormBackward("da", dh, a, n2, 1e-5);
    const dout = ops.matmulBackward("dattended", da, attended.out, blocks[i].o);
    const d = ops.selfAttentionBackward({ q: "dq", k: "dk", v: "dv" }, dout, q, k, v, attended, attention);
    const dx1 = ops.matmulBackward("dx1", ops.ropeBackward("dq", d.q, rope), x1, blocks[i].q);
    ops.matmulBackward(dx1, ops.ropeBackward("dk", d.k, rope), x1, blocks[i].k);
    ops.matmulBackward(dx1, d.v, x1, blocks[i].v);
    ops.rmsNormBackward(dh, dx1, before, n1, 1e-5);
  }
  ops.embedBackward(embedding, dh, width ** 0.5);
  const factor = Math.min(1, 1 / ops.gradientNorm(parameters));
  ops.adamw(parameters, { rate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1, step: number, factor });
  return loss;
}

const [seconds, busy, losses] = [[], [], []];
for (let i = 0; i <= o.steps; i++) {
  const data = Int32Array.from({ length: n + 1 }, () => Math.floor(Math.random() * vocab));
  if (i === 1) times.clear();
  const [started, before] = [performance.now(), process.cpuUsage()];
  losses.push(step(i + 1, data.subarray(0, n), data.subarray(1)));
  const { user, system } = process.cpuUsage(before);
  if (i === 0) continue; // warms up
  seconds.push((performance.now() - started) / 1000);
  busy.push((user + system) / 1e6);
}
const count = parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
const report = (name, took, worked, found) =>
  console.log(
    `${name}: ${(n / took).toFixed(0)} tokens/s, ${(n / worked).toFixed(0)} tokens per second of processor time, losses ${found.map((loss) => loss.toFixed(3)).join(" ")}`,
  );
console.log(`${(count / 1e6).toFixed(1)} M parameters, ${n} tokens a step, ${o.threads} threads`);
report("grok1", median(seconds), median(busy), losses);
for (const [name, took] of [...times].sort((a, b) => b[1] - a[1]).slice(0, 16)) {
  console.log(`  ${name} ${(took / o.steps).toFixed(1)} ms a step`);
}
plain.close();

if (values.python !== undefined) {
  const script = fileURLToPath(new URL("peers/training_torch.py", import.meta.url));
  const { status, stdout, stderr } = spawnSync(values.python, [script, JSON.stringify(o)], { encoding: "utf8" });
  if (status !== 0) throw new Error(`PyTorch could not be measured: ${stderr}`);
  const found = JSON.parse(stdout);
  report(`PyTorch ${found.version}`, found.seconds, found.busy, found.losses);
  console.log(
    `grok1 / PyTorch: ${(found.seconds / median(seconds)).toFixed(2)} by the clock, ${(found.busy / median(busy)).toFixed(2)} by processor time`,
  );
}
