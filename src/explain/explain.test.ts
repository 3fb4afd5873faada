import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { loadModel } from "../generate/load.ts";
import { relativeError } from "../kernels/oracle.case.ts";
import { createGradReference } from "../kernels/reference/grad-reference.ts";
import { observe } from "../model/observe.ts";
import { bindModel } from "../model/registry.ts";
import { decode } from "../train/models.case.ts";
import { createTape } from "../train/tape.ts";
import { explain } from "./explain.ts";
import { gradientTimesInput } from "./gradient.ts";
import { batchOf, observePass } from "./observed-pass.ts";

const vectors = join(import.meta.dirname, "../../test/vectors/models");
const ops = createGradReference();
afterAll(() => ops.close());

const tokens = Int32Array.of(5, 77, 77, 12, 200, 31, 8);
const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);

describe.each(["grok-1", "grok-2", "llama", "mixtral"])("%s", (name) => {
  const file = openGguf(join(vectors, `${name}.gguf`));
  afterAll(() => file.close());

  it("attends as the backend does: rows sum to 1, and times the values are what attention gave", async () => {
    const values = new Map<number, Float64Array>();
    const results = new Map<number, Float64Array>();
    const seen = observe(ops, (layer, what, matrix) => {
      if (what === "Vcur") values.set(layer, Float64Array.from(ops.read(matrix) as Float64Array));
      if (what === "kqv_out") results.set(layer, Float64Array.from(ops.read(matrix) as Float64Array));
    });
    const options = { target: 3, top: 4, rows: "all", kvType: "f32" } as const;
    const layers = await observePass(seen, file, tokens, options);
    const { heads, kvHeads, headSize } = bindModel(ops, file).config;
    for (const [layer, { attention }] of layers.entries()) {
      expect(attention).toHaveLength(heads);
      const mixed = new Float64Array(results.get(layer)!.length);
      for (const [head, map] of attention.entries()) {
        expect(map.map((row) => row.length)).toEqual([...tokens.keys()].map((row) => row + 1));
        for (const [row, shares] of map.entries()) {
          expect(sum(shares)).toBeCloseTo(1, 12);
          for (const [position, share] of shares.entries()) {
            const from = (position * kvHeads + Math.floor((head * kvHeads) / heads)) * headSize;
            for (let i = 0; i < headSize; i++) {
              mixed[(row * heads + head) * headSize + i]! += share * values.get(layer)![from + i]!;
            }
          }
        }
      }
      expect(relativeError(mixed, results.get(layer)!)).toBeLessThan(1e-6);
    }
    const ofLast = await observePass(ops, file, tokens, { ...options, rows: "last" });
    expect(ofLast.map(({ attention }) => attention)).toEqual(
      layers.map(({ attention }) => attention.map((map) => [map.at(-1)])),
    );
  });

  it("has gradients times inputs as finite differences have them", async () => {
    const target = 9;
    const found = await gradientTimesInput(ops, file, tokens, target);
    // On a tape, where no cache rounds keys and values.
    const tape = createTape(ops);
    const model = bindModel(tape.ops, file);
    const { width } = model.config;
    const batch = { ...batchOf(tokens), outputs: Int32Array.of(tokens.length - 1) };
    const cache = model.kvCache({ pages: 1, pageTokens: 64, type: "f32" });
    /** log p of the target where one token's embedding is larger by a factor. */
    const at = async (token: number, factor: number) => {
      const h = model.embed(batch);
      const values = Float64Array.from(ops.read(h) as Float64Array);
      for (let i = token * width; i < (token + 1) * width; i++) values[i]! *= factor;
      ops.write(h, values);
      const logits = ops.read(model.head(await model.layers(h, batch, cache), batch)) as Float64Array;
      tape.forget();
      return logits[target]! - Math.log(sum(logits.map(Math.exp)));
    };
    const slopes: number[] = [];
    const step = 1e-4;
    for (const token of tokens.keys()) {
      const [near, far] = [
        (await at(token, 1 + step)) - (await at(token, 1 - step)),
        (await at(token, 1 + 2 * step)) - (await at(token, 1 - 2 * step)),
      ];
      slopes.push((8 * near - far) / (12 * step));
    }
    expect(relativeError(found, slopes)).toBeLessThan(1e-6);
  });
});

it("attends as weights multiplied by hand do", async () => {
  const file = openGguf(join(vectors, "mixtral.gguf"));
  const { heads, kvHeads, headSize, width } = bindModel(ops, file).config;
  const weight = (name: string) => decode(file.tensors.get(`${name}.weight`)!);
  const [table, gain] = [weight("token_embd"), weight("blk.0.attn_norm")];
  const epsilon = file.metadata.number("llama.attention.layer_norm_rms_epsilon");
  const inputs = Array.from(tokens, (token) => {
    const x = table.subarray(token * width, (token + 1) * width);
    const size = Math.sqrt(sum(x.map((value) => value * value)) / width + epsilon);
    return Float64Array.from(x, (value, i) => (value / size) * gain[i]!);
  });
  /** A head's rows [headSize] of a projection, pairs that lie side by side turned by position * base^(-2i / headSize). */
  const project = (name: string, head: number) => {
    const w = weight(name);
    return inputs.map((x, position) => {
      const out = Float64Array.from({ length: headSize }, (_, i) =>
        sum(x.map((value, j) => value * w[(head * headSize + i) * width + j]!)),
      );
      for (let i = 0; i < headSize; i += 2) {
        const angle = position * file.metadata.number("llama.rope.freq_base", 10000) ** (-i / headSize);
        const [a, b] = [out[i]!, out[i + 1]!];
        out[i] = a * Math.cos(angle) - b * Math.sin(angle);
        out[i + 1] = a * Math.sin(angle) + b * Math.cos(angle);
      }
      return out;
    });
  };
  const [first] = await observePass(ops, file, tokens, { target: 0, top: 1, rows: "all", kvType: "f32" });
  for (let head = 0; head < heads; head++) {
    const q = project("blk.0.attn_q", head);
    const k = project("blk.0.attn_k", Math.floor((head * kvHeads) / heads));
    for (const [row, shares] of first!.attention[head]!.entries()) {
      const scores = k
        .slice(0, row + 1)
        .map((key) => sum(key.map((value, i) => value * q[row]![i]!)) / Math.sqrt(headSize));
      const all = sum(scores.map(Math.exp));
      expect(
        relativeError(
          shares,
          scores.map((score) => Math.exp(score) / all),
        ),
      ).toBeLessThan(1e-7);
    }
  }
  file.close();
});

describe("explain", () => {
  const prompt = "capita";

  it.each(["llama", "mixtral", "grok-1"])(
    "of %s: adds up, is what brute force finds, ends in the model's own logits",
    async (name) => {
      await using model = await loadModel(join(vectors, `${name}.gguf`), { threads: 1 });
      const found = await explain(model, prompt, { baseline: "a" });
      const { shapley, target, layers } = found;
      const ids = found.tokens.map(({ id }) => id);
      expect(ids).toEqual([...model.encode(prompt)]);
      expect(ids).toHaveLength(8);
      const contributions = found.tokens.map(({ contribution }) => contribution);
      expect(Math.abs(sum(contributions) - (shapley.unmasked - shapley.masked))).toBeLessThan(1e-12);

      const texts = Array.from({ length: 2 ** ids.length }, (_, set) => ({
        tokens: [...ids.map((id, i) => ((set >> i) & 1 ? id : shapley.baseline.id)), target.id],
        from: ids.length,
      }));
      const worths = (await model.score(texts)).map(([worth]) => worth!);
      expect([shapley.masked, shapley.unmasked]).toEqual([worths[0], worths.at(-1)]);
      const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));
      const expected = ids.map((_, i) =>
        sum(
          worths.map((worth, set) => {
            if ((set >> i) & 1) return 0;
            const size = set.toString(2).replaceAll("0", "").length;
            const share = (factorial(size) * factorial(ids.length - 1 - size)) / factorial(ids.length);
            return share * (worths[set | (1 << i)]! - worth);
          }),
        ),
      );
      expect(relativeError(contributions, expected)).toBeLessThan(1e-12);
      // As many pairs as make an estimate, which adds up as well.
      const sampled = await explain(model, prompt, { baseline: "a", target: target.text, pairs: 2 * ids.length });
      expect(sampled.shapley.method).toBe("sampled");
      expect(sum(sampled.tokens.map((token) => token.contribution)) - sum(contributions)).toBeCloseTo(0, 10);

      const { logits, layers: seen } = await model.logits(ids, { layers: true });
      const last = logits.values.subarray(logits.values.length - logits.shape[1]!) as Float32Array;
      const all = Math.log(sum(last.map(Math.exp)));
      const order = [...last.keys()].sort((a, b) => last[b]! - last[a]!);
      const { lens } = layers.at(-1)!;
      expect(lens.next.map(({ id }) => id)).toEqual(order.slice(0, 5));
      expect(target.id).toBe(order[0]);
      expect(lens.target.rank).toBe(0);
      expect(lens.target.logprob).toBeCloseTo(last[target.id]! - all, 5);
      for (const { id, probability } of lens.next) expect(Math.log(probability)).toBeCloseTo(last[id]! - all, 5);
      expect(lens.each.at(-1)).toEqual(lens.next[0]);
      for (const [layer, { experts }] of layers.entries()) {
        const chosen = seen.get(`experts.${layer}`)?.values;
        expect(experts?.flat().map(({ expert }) => expert)).toEqual(chosen && [...chosen]);
      }
      expect(found.tokens.every(({ gradient }) => Number.isFinite(gradient))).toBe(true);
    },
  );

  it("refuses what cannot be explained by what it says", async () => {
    await using model = await loadModel(join(vectors, "llama.gguf"), { threads: 1, contextLength: 16 });
    const cases: readonly (readonly [prompt: string, options: object, code: string, message: RegExp])[] = [
      ["", {}, "argument", /no token to explain/],
      ["capital", { target: "capitals" }, "argument", /^target is "capitals", which is no token of the model but /],
      ["capital", { target: 1e9 }, "argument", /^target is 1000000000, expected a whole number from 0 to/],
      ["capital", { baseline: "" }, "argument", /^baseline is empty/],
      ["capital", { pairs: 1 }, "argument", /^pairs is 1, expected/],
      ["capital", { pair: 4 }, "argument", /no option pair, did you mean pairs/],
      ["capital of France", {}, "capacity", /the context has 16/],
    ];
    for (const [text, options, code, message] of cases) {
      await expect(explain(model, text, options), text).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    }
    const signal = AbortSignal.abort();
    await expect(explain(model, "capital", { signal })).rejects.toMatchObject({ code: "cancelled" });
  });
});
