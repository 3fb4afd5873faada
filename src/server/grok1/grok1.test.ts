import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventsOf, startTestServer, type TestServer } from "../app.case.ts";

const vectors = resolve(import.meta.dirname, "../../../test/vectors/models");
const files = { mixtral: join(vectors, "mixtral.gguf"), llama: join(vectors, "llama.gguf") };

let server: TestServer;
beforeAll(async () => {
  server = startTestServer(files, { preferred: { temperature: 0.3 } });
  await server.model();
});
afterAll(() => server[Symbol.asyncDispose]());

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;
const messages = [{ role: "user", content: "What of it?" }];
const drawn = { temperature: 1, seed: 3, max_tokens: 6 };

describe("how a server does", () => {
  it("is said of what runs and waits, of memory, and of each model's cache", async () => {
    const status = (await (await server.get("/grok1/status")).json()) as Any;
    expect(status).toMatchObject({ running: 0, waiting: 0 });
    expect(status.memory.used_bytes).toBeGreaterThan(1e6);
    expect(status.memory.limit_bytes).toBeGreaterThan(status.memory.used_bytes);
    expect(status.models).toEqual([
      {
        name: "mixtral",
        loaded: true,
        requests: 0,
        cache: { tokens: expect.any(Number), used_tokens: expect.any(Number) },
      },
      { name: "llama", loaded: false },
    ]);
    const { cache } = status.models[0];
    expect(cache.tokens).toBeGreaterThan(0);
    expect(cache.used_tokens).toBeLessThanOrEqual(cache.tokens);
    expect(server.log.at(-1)).toMatchObject({ path: "/grok1/status", routine: true });
  });

  it("says what a model is, loaded or not, and how it answers where nobody says anything", async () => {
    const model = await server.model();
    const mixtral = (await (await server.get("/grok1/models/mixtral")).json()) as Any;
    const { config } = model.description;
    expect(mixtral).toMatchObject({
      ...{ name: "mixtral", architecture: "llama", layers: config!.layers, experts: config!.experts, adapters: [] },
      ...{ experts_used: config!.used, context: model.info.contextLength },
      sampling: { temperature: 0.3, top_p: 0.95, top_k: 40, min_p: 0.05, repetition_penalty: 1 },
      engine: { backend: "reference", kv_type: model.info.kvType },
    });
    const llama = (await (await server.get("/grok1/models/llama")).json()) as Any;
    expect(llama).toMatchObject({ name: "llama", experts: 0 });
    expect(llama.engine).toBeUndefined();
    const missing = await server.get("/grok1/models/nobody");
    expect([missing.status, ((await missing.json()) as Any).error.code]).toEqual([404, "model_not_found"]);
  });
});

describe("a chat completion's own field of grok1's", () => {
  it("gives the experts of each token, streamed and whole", async () => {
    const model = await server.model();
    const options = {
      temperature: 1,
      topP: 1,
      topK: 0,
      minP: 0,
      penaltyWindow: -1,
      seed: 3,
      maxTokens: 6,
      experts: true,
    };
    const { experts } = await model.chat(messages, options).result;
    const request = { messages, ...drawn, grok1: { experts: true } };
    const { choices } = (await (await server.post("/v1/chat/completions", request)).json()) as Any;
    const listed = choices[0].grok1.experts;
    expect(listed).toHaveLength(6);
    for (const [i, layers] of listed.entries()) {
      for (const [j, [layer, chosen, weights]] of layers.entries()) {
        const exact = experts![i]![j]!;
        expect([layer, chosen]).toEqual([exact.layer, exact.experts]);
        for (const [k, weight] of weights.entries()) expect(weight).toBeCloseTo(exact.weights[k]!, 3);
      }
    }
    const events = (await eventsOf(await server.post("/v1/chat/completions", { ...request, stream: true }))) as Any[];
    expect(events.flatMap((event) => event.choices?.[0]?.grok1?.experts ?? [])).toEqual(listed);
    const plain = (await (await server.post("/v1/chat/completions", { messages, ...drawn })).json()) as Any;
    expect(plain.choices[0].grok1).toBeUndefined();
    expect(plain.choices[0].message).toEqual(choices[0].message);
  });

  it("leaves out the oldest messages where all do not fit, and says how many", async () => {
    const said = Array.from({ length: 60 }, (_, i) => ({
      role: i % 2 === 0 ? "user" : "assistant",
      content: `Number ${i} of a conversation that has become long, and goes on and on.`,
    }));
    const long = { messages: [...said, ...messages], ...drawn };
    expect((await server.post("/v1/chat/completions", long)).status).toBe(400);
    const response = await server.post("/v1/chat/completions", { ...long, grok1: { fit: true } });
    const { choices } = (await response.json()) as Any;
    expect(choices[0].grok1.left_out).toBeGreaterThan(0);
    const [first] = (await eventsOf(
      await server.post("/v1/chat/completions", { ...long, stream: true, grok1: { fit: true } }),
    )) as Any[];
    expect(first.choices[0].grok1).toEqual({ left_out: choices[0].grok1.left_out });
  });

  it("refuses what it does not know, by name", async () => {
    const ask = async (grok1: object) => {
      const response = await server.post("/v1/chat/completions", { messages, ...drawn, grok1 });
      return [response.status, ((await response.json()) as Any).error];
    };
    expect(await ask({ layers: true })).toEqual([400, expect.objectContaining({ param: "grok1.layers" })]);
    expect(await ask({ adapters: [{ name: "nobody" }] })).toEqual([
      400,
      expect.objectContaining({ message: expect.stringContaining("there is no adapter nobody") }),
    ]);
  });
});

describe("metrics", () => {
  it("say how often each layer chose each expert, where that is wanted alone", async () => {
    await using other = startTestServer({ mixtral: files.mixtral }, { expertMetrics: true });
    const counted = async (from: TestServer) => {
      const text = await (await from.get("/metrics")).text();
      const pattern = /^grok1_expert_chosen_total\{model="mixtral",layer="(\d+)",expert="(\d+)"\} (\d+)$/gm;
      return [...text.matchAll(pattern)].map(([, layer, expert, count]) => [layer, expert, count].map(Number));
    };
    const body = { ...drawn, messages, grok1: { experts: true }, ignore_eos: true };
    const { choices, usage } = (await (await other.post("/v1/chat/completions", body)).json()) as Any;
    const counts = await counted(other);
    const { experts, experts_used: used, layers } = (await (await other.get("/grok1/models/mixtral")).json()) as Any;
    expect(counts.length).toBe(experts * layers);
    const first = counts.filter(([layer]) => layer === 0).reduce((sum, [, , count]) => sum + count!, 0);
    expect(first).toBe((usage.prompt_tokens + usage.completion_tokens - 1) * used);
    // Of a prompt's tokens but the last the last layer computes nothing: it chose what the answer says.
    const last = Array<number>(experts).fill(0);
    for (const token of choices[0].grok1.experts) for (const expert of token[layers - 1][1]) last[expert]!++;
    expect(counts.filter(([layer]) => layer === layers - 1).map(([, , count]) => count)).toEqual(last);
    expect(await counted(server)).toEqual([]);
  });
});
