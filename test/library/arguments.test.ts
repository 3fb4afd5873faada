import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { createChat, evaluate, GrokError, loadModel } from "../../src/index.ts";

// "Everything that can go wrong is a GrokError": every public function with arguments of every kind in every place.

const path = fileURLToPath(new URL("../vectors/models/llama.gguf", import.meta.url));
const model = await loadModel(path, { backend: "reference", contextLength: 64 });
const session = model.session();
afterAll(() => model.close());

const thrower = () => {
  throw new RangeError("not for you");
};
const hostile = {
  get length() {
    return thrower();
  },
};
/** By name, for messages. */
const strange: readonly (readonly [name: string, value: unknown])[] = [
  ["undefined", undefined],
  ["null", null],
  ["true", true],
  ["0", 0],
  ["-1", -1],
  ["0.5", 0.5],
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["2^53", 2 ** 53],
  ["1n", 1n],
  ["an empty text", ""],
  ["a text", "0.5"],
  ["half a character", "\ud800"],
  ["a symbol", Symbol("s")],
  ["a function", () => 1],
  ["an empty list", []],
  ["a list of texts", ["a"]],
  ["a list of nothing", [undefined, null]],
  ["a list of symbols", [Symbol("s")]],
  ["an object", {}],
  ["an object without prototype", Object.create(null)],
  ["an object with a strange entry", { strange: 1 }],
  ["an object that cannot be read", hostile],
  ["a proxy that cannot be read", new Proxy({}, { get: thrower, ownKeys: thrower, has: thrower })],
  ["a proxied list that cannot be read", new Proxy([1], { get: thrower })],
  ["an object that is no text", { toString: thrower, valueOf: thrower }],
  ["a date", new Date(Number.NaN)],
  ["a map", new Map([[1, 2]])],
  ["a promise", Promise.resolve(1)],
  ["bytes", new Uint8Array([1, 2])],
  ["numbers", new Float64Array([Number.NaN, 1e300])],
  ["a long list's length", { length: 2 ** 40 }],
  ["a negative length", { length: -1 }],
];

/** @returns what a call gave or threw, also later. */
async function outcomeOf(call: () => unknown): Promise<unknown> {
  try {
    const value = await call();
    // A generation tells in its result.
    if (typeof value === "object" && value !== null && "result" in value) await (value as { result: unknown }).result;
    return undefined;
  } catch (error) {
    return error;
  }
}

const brief = { maxTokens: 1 };
const user = (content: unknown) => [{ role: "user", content }] as never;
const options = [
  ...[
    "maxTokens",
    "stop",
    "logprobs",
    "beams",
    "lengthPenalty",
    "speculate",
    "adapters",
    "ignoreEnd",
    "special",
    "bos",
  ],
  ...[
    "signal",
    "onProgress",
    "temperature",
    "topK",
    "topP",
    "minP",
    "typicalP",
    "repetitionPenalty",
    "frequencyPenalty",
  ],
  ...["presencePenalty", "penaltyWindow", "logitBias", "seed", "prefixGroup"],
];
const loading = ["backend", "isa", "threads", "contextLength", "cacheTokens", "kvType", "batchTokens", "adapters"];

type Call = readonly [name: string, call: (value: never) => unknown];
const calls: readonly Call[] = [
  ["generate(prompt)", (value) => model.generate(value, brief)],
  ["generate(_, options)", (value) => model.generate([1], value)],
  ...options.map((option): Call => {
    return [`generate(_, { ${option} })`, (value) => model.generate([1], { ...brief, [option]: value })];
  }),
  ["generate(list with)", (value) => model.generate([1, value], brief)],
  ["session.generate(prompt)", (value) => session.generate(value, brief)],
  ["chat(messages)", (value) => model.chat(value, brief)],
  ["chat(message)", (value) => model.chat([value], brief)],
  ["chat(content)", (value) => model.chat(user(value), brief)],
  ["chat(role)", (value) => model.chat([{ role: value, content: "a" }], brief)],
  ["chat(_, options)", (value) => model.chat(user("a"), value)],
  ["chat(_, { templateVariables })", (value) => model.chat(user("a"), { ...brief, templateVariables: value })],
  ["session.chat(messages)", (value) => session.chat(value, brief)],
  ["encode(text)", (value) => model.encode(value)],
  ["encode(_, options)", (value) => model.encode("a", value)],
  ["encode(_, { special })", (value) => model.encode("a", { special: value })],
  ["encodeChat(messages)", (value) => model.encodeChat(value)],
  ["encodeChat(_, options)", (value) => model.encodeChat(user("a"), value)],
  ["logits(tokens)", (value) => model.logits(value)],
  ["logits(_, options)", (value) => model.logits([1], value)],
  ["logits(_, { signal })", (value) => model.logits([1], { signal: value })],
  ["logprobs(tokens)", (value) => model.logprobs(value)],
  ["logprobs(_, options)", (value) => model.logprobs([1, 2], value)],
  ["logprobs(_, { from })", (value) => model.logprobs([1, 2], { from: value })],
  ["score(texts)", (value) => model.score(value)],
  ["score(text)", (value) => model.score([value])],
  ["score(tokens)", (value) => model.score([{ tokens: value }])],
  ["score(_, { from })", (value) => model.score([{ tokens: [1, 2], from: value }])],
  ["score(_, options)", (value) => model.score([{ tokens: [1, 2] }], value)],
  ["bench(options)", (value) => model.bench(value)],
  ["bench({ prefill })", (value) => model.bench({ decode: 1, prefill: value })],
  ["bench({ decode })", (value) => model.bench({ prefill: 1, decode: value })],
  ["bench({ warmup })", (value) => model.bench({ prefill: 1, decode: 1, warmup: value })],
  ["bench({ cold })", (value) => model.bench({ prefill: 1, decode: 1, cold: value })],
  ["bench({ tokens })", (value) => model.bench({ prefill: 1, decode: 1, tokens: value })],
  ["bench({ logits })", (value) => model.bench({ prefill: 1, decode: 1, logits: value })],
  ["bench({ repeats })", (value) => model.bench({ prefill: 1, decode: 1, repeats: value })],
  ["evaluate(_, tasks)", (value) => evaluate(model, value, { data: "nowhere" })],
  ["evaluate(_, task)", (value) => evaluate(model, [value], { data: "nowhere" })],
  ["evaluate(_, _, options)", (value) => evaluate(model, ["piqa"], value)],
  ...["data", "shots", "limit", "records", "signal", "onProgress"].map((option): Call => {
    return [
      `evaluate(_, _, { ${option} })`,
      (value) => evaluate(model, ["piqa"], { data: "nowhere", [option]: value }),
    ];
  }),
  ["createChat(model)", (value) => createChat(value)],
  ["createChat(_, options)", (value) => createChat(model, value).send("a", brief)],
  ["createChat(_, { system })", (value) => createChat(model, { system: value }).send("a", brief)],
  ["send(text)", (value) => createChat(model).send(value, brief)],
  ["send(_, options)", (value) => createChat(model).send("a", value)],
  ["loadModel(path)", (value) => loadModel(value)],
  ["loadModel(_, options)", async (value) => (await loadModel(path, value)).close()],
  ["loadModel(_, { chatTemplate })", async (value) => (await loadModel(path, { chatTemplate: value })).close()],
  ...loading.map((option): Call => {
    return [`loadModel(_, { ${option} })`, async (value) => (await loadModel(path, { [option]: value })).close()];
  }),
  ["tokenizer.encode(text)", (value) => model.tokenizer.encode(value)],
  ["tokenizer.decode(ids)", (value) => model.tokenizer.decode(value)],
  ["tokenizer.piece(id)", (value) => model.tokenizer.piece(value)],
  ["tokenizer.bytes(id)", (value) => model.tokenizer.bytes(value)],
];

describe("an argument of any kind", () => {
  it.each(calls)("%s", { timeout: 60_000 }, async (_, call) => {
    for (const [name, value] of strange) {
      const error = await outcomeOf(() => call(value as never));
      if (error === undefined) continue;
      const told = error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (!(error instanceof GrokError)) throw new Error(`${name}: ${told}`);
      if (error.code === "internal") throw new Error(`${name}: ${told}`);
      expect(error.message).not.toMatch(/\[object|undefined is not (a|an) |Cannot (read|convert)|is not iterable/);
      expect(error.message.length).toBeLessThan(500);
    }
  });

  it("leaves the model as it was", async () => {
    expect((await model.generate([1], { ...brief, temperature: 0 }).result).tokens).toHaveLength(1);
    expect(await model.status()).toMatchObject({ requests: 0 });
  });
});
