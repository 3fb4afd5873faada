import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LanguageModel } from "../generate/types.ts";
import { startTestServer, type TestServer } from "./app.case.ts";

const file = join(resolve(import.meta.dirname, "../../test/vectors/models"), "llama.gguf");

let server: TestServer;
let model: LanguageModel;
let vectors: number[][];
const texts = ["One day", "the sea", "a"];
beforeAll(async () => {
  server = startTestServer({ llama: file });
  model = await server.model();
  vectors = (await model.embed(texts.map((text) => model.encode(text)))).map((vector) => [...vector]);
});
afterAll(() => server[Symbol.asyncDispose]());

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;
const post = async (path: string, body: object): Promise<Any> => {
  const response = await server.post(path, { model: "llama", ...body });
  return { status: response.status, ...((await response.json()) as object) };
};

describe("embeddings", () => {
  it("are the library's, of texts and of tokens, alone and together", async () => {
    const tokens = texts.map((text) => [...model.encode(text)]);
    const all = await post("/v1/embeddings", { input: texts });
    expect(all).toMatchObject({ status: 200, object: "list", model: "llama" });
    expect(all.data).toEqual(vectors.map((embedding, index) => ({ object: "embedding", index, embedding })));
    const count = tokens.flat().length;
    expect(all.usage).toEqual({ prompt_tokens: count, total_tokens: count });
    expect(server.log.at(-1)).toMatchObject({ promptTokens: count, completionTokens: 0 });
    expect((await post("/v1/embeddings", { input: tokens })).data).toEqual(all.data);
    for (const input of [texts[1], tokens[1]]) {
      const { data } = await post("/v1/embeddings", { input });
      expect(data).toHaveLength(1);
      for (const [i, value] of vectors[1]!.entries()) expect(data[0].embedding[i]).toBeCloseTo(value, 6);
    }
  });

  it("are written in base64, and cut, on request", async () => {
    const { data } = await post("/v1/embeddings", { input: texts, encoding_format: "base64" });
    const bytes = Buffer.from(data[1].embedding, "base64");
    expect(Array.from(vectors[1]!, (_, i) => bytes.readFloatLE(4 * i))).toEqual(vectors[1]);
    const cut = await post("/v1/embeddings", { input: texts[1], dimensions: 3 });
    const length = Math.hypot(...vectors[1]!.slice(0, 3));
    expect(cut.data[0].embedding).toHaveLength(3);
    for (const i of [0, 1, 2]) expect(cut.data[0].embedding[i]).toBeCloseTo(vectors[1]![i]! / length, 6);
  });

  it("have Ollama's shapes too, where a text that is too long is cut", async () => {
    const embedded = await post("/api/embed", { input: texts });
    expect(embedded).toMatchObject({ model: "llama", embeddings: vectors, prompt_eval_count: expect.any(Number) });
    const before = await post("/api/embeddings", { prompt: texts[1] });
    for (const [i, value] of vectors[1]!.entries()) expect(before.embedding[i]).toBeCloseTo(value, 6);
    const long = "long ".repeat(200);
    expect((await post("/api/embed", { input: long })).prompt_eval_count).toBe(model.info.contextLength);
    expect(await post("/api/embed", { input: long, truncate: false })).toMatchObject({ status: 400 });
  });

  it.each([
    ["no text", { input: "" }, "invalid_request_error", /^input/],
    ["nothing", { input: [] }, "invalid_request_error", /^input/],
    ["a token that is none", { input: [1_000_000] }, "invalid_request_error", /vocabulary/],
    ["a text that is too long", { input: "long ".repeat(200) }, "invalid_request_error", /context/],
    ["more dimensions than there are", { input: "x", dimensions: 1_000_000 }, "invalid_request_error", /^dimensions/],
  ])("of %s are refused", async (_, body, type, message) => {
    expect(await post("/v1/embeddings", body)).toMatchObject({
      ...{ status: 400, error: { type, message: expect.stringMatching(message) } },
    });
  });
});
