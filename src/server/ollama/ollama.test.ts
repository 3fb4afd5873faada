import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LanguageModel } from "../../generate/types.ts";
import { startTestServer, type TestServer } from "../app.case.ts";

const vectors = resolve(import.meta.dirname, "../../../test/vectors/models");
const files = { mixtral: join(vectors, "mixtral.gguf"), llama: join(vectors, "llama.gguf") };

let server: TestServer;
let model: LanguageModel;
beforeAll(async () => {
  server = startTestServer(files);
  model = await server.model();
});
afterAll(() => server[Symbol.asyncDispose]());

const messages = [{ role: "user", content: "What of it?" }];
const options = { temperature: 1, seed: 3, num_predict: 6, top_k: 5, repeat_last_n: 8, repeat_penalty: 1.2 };
const library = { temperature: 1, seed: 3, maxTokens: 6, topK: 5, penaltyWindow: 8, repetitionPenalty: 1.2 };

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;
const post = async (path: string, body: object): Promise<Any> => {
  const response = await server.post(path, body);
  return { status: response.status, ...((await response.json()) as object) };
};

describe("chat", () => {
  it("answers what the library answers, with Ollama's names for sampling", async () => {
    const { text, usage } = await model.chat(messages, library).result;
    const answer = await post("/api/chat", { model: "mixtral:latest", messages, options, stream: false });
    expect(answer).toMatchObject({
      ...{ status: 200, model: "mixtral:latest", message: { role: "assistant", content: text }, done: true },
      ...{ done_reason: "length", prompt_eval_count: usage.promptTokens, eval_count: usage.completionTokens },
    });
    expect(Number.isNaN(Date.parse(answer.created_at))).toBe(false);
    expect(answer.total_duration).toBeGreaterThan(0);
  });

  it("takes what clients send unasked, and what is about loading", async () => {
    const { text } = await model.chat(messages, library).result;
    const unasked = {
      mirostat: 0,
      mirostat_tau: 5,
      mirostat_eta: 0.1,
      tfs_z: 1,
      main_gpu: 0,
      low_vram: false,
      numa: false,
    };
    const asked = { model: "mixtral", options: { ...options, ...unasked }, stream: false, format: "" };
    expect((await post("/api/chat", { ...asked, messages, tools: [] })).message.content).toBe(text);
    const empty = { suffix: "", system: "", template: "", context: [], images: [], raw: false };
    const prompt = messages[0]!.content;
    expect((await post("/api/generate", { ...asked, prompt, ...empty })).response).toBe(text);
  });

  it("streams lines where nobody says otherwise", async () => {
    const { text } = await model.chat(messages, library).result;
    const response = await server.post("/api/chat", { model: "mixtral", messages, options });
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    const lines: Any[] = (await response.text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ message }) => message.content).join("")).toBe(text);
    expect(lines.map(({ done }) => done)).toEqual([...Array(lines.length - 1).fill(false), true]);
  });
});

describe("generate", () => {
  it("gives log-probabilities, whole and streamed", async () => {
    const { logprobs } = await model.chat(messages, { ...library, logprobs: 2 }).result;
    const values = (entries: Any[]) => entries.map(({ logprob, top_logprobs: top }) => [logprob, top.length]);
    const expected = logprobs!.map(({ logprob }) => [logprob, 2]);
    const asked = { model: "mixtral", options, logprobs: true, top_logprobs: 2 };
    const whole = await post("/api/chat", { ...asked, messages, stream: false });
    expect(values(whole.logprobs)).toEqual(expected);
    expect(whole.logprobs[0]).toMatchObject({ token: expect.any(String), bytes: expect.any(Array) });
    const response = await server.post("/api/chat", { ...asked, messages });
    const lines: Any[] = (await response.text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.flatMap((line) => values(line.logprobs ?? []))).toEqual(expected);
    const alone = { ...asked, logprobs: false, messages, stream: false };
    expect((await post("/api/chat", alone)).error).toContain("top_logprobs goes with logprobs");
    expect(await post("/api/chat", { ...alone, top_logprobs: 0 })).not.toHaveProperty("logprobs");
  });

  it("asks in the chat template, or gives the prompt as it is", async () => {
    const asked = { model: "mixtral", prompt: "What of it?", options, stream: false };
    const { text } = await model.chat(messages, library).result;
    expect((await post("/api/generate", asked)).response).toBe(text);
    const raw = await model.generate("What of it?", { ...library, special: true }).result;
    expect((await post("/api/generate", { ...asked, raw: true })).response).toBe(raw.text);
  });
});

it("loads a model for who asks nothing", async () => {
  const asked = { model: "mixtral", stream: false };
  const loaded = { status: 200, model: "mixtral", done: true, done_reason: "load" };
  for (const prompt of [{}, { prompt: "" }]) {
    expect(await post("/api/generate", { ...asked, ...prompt })).toMatchObject({ ...loaded, response: "" });
  }
  const message = { role: "assistant", content: "" };
  for (const said of [{}, { messages: [] }]) {
    expect(await post("/api/chat", { ...asked, ...said })).toMatchObject({ ...loaded, message });
  }
  const lines = (await (await server.post("/api/generate", { model: "mixtral" })).text()).trim().split("\n");
  expect(lines.map((line) => JSON.parse(line).done_reason)).toEqual(["load"]);
});

it("gives a model back when it is told to keep it no longer", async () => {
  await using other = startTestServer({ llama: files.llama });
  const ask = async (keep: string | number) => {
    const body = { model: "llama", stream: false, keep_alive: keep };
    const { status, done_reason: reason, error } = (await (await other.post("/api/generate", body)).json()) as Any;
    return status ?? reason ?? error;
  };
  expect(await ask("5m")).toBe("load");
  expect(other.models.loaded()).toHaveLength(1);
  expect(await ask(0)).toBe("unload");
  expect(other.models.loaded()).toEqual([]);
  expect(await ask("soon")).toMatch(/keep_alive/);
});

describe("models", () => {
  it("are listed without those whose files are none, which say so when they are asked for", async () => {
    const damaged = resolve(import.meta.dirname, "ollama.test.ts");
    await using other = startTestServer({ damaged, llama: files.llama });
    const { models } = (await (await other.get("/api/tags")).json()) as Any;
    expect(models.map(({ name }: { name: string }) => name)).toEqual(["llama"]);
    const shown = (await (await other.post("/api/show", { model: "damaged" })).json()) as Any;
    expect(shown.error).toBe("one of the server's files is damaged; its log says more");
    expect(other.log.at(-1)!.error).toMatch(/ollama\.test\.ts: /);
  });

  it("are listed with what is known of their files, and those that are loaded", async () => {
    const { models } = (await (await server.get("/api/tags")).json()) as Any;
    expect(models.map(({ name }: { name: string }) => name)).toEqual(["mixtral", "llama"]);
    expect(models[1]).toMatchObject({
      ...{ size: statSync(files.llama).size, details: { format: "gguf", family: "llama" } },
    });
    expect(models[0].digest).toMatch(/^[0-9a-f]{64}$/);
    expect(((await (await server.get("/api/ps")).json()) as Any).models).toHaveLength(1);
    expect(((await (await server.get("/api/version")).json()) as Any).version).toMatch(/^\d+\.\d+\.\d+$/);
    const shown = await post("/api/show", { model: "llama" });
    expect(shown).toMatchObject({
      status: 200,
      capabilities: ["completion", "tools", "embedding"],
      model_info: { "general.architecture": "llama" },
    });
  });

  it.each([
    ["a model that is not here", { model: "other", messages }, 404, /no model "other"/],
    ["a form of the answer that there is not", { model: "mixtral", messages, format: "xml" }, 400, /format/],
    [
      "a picture",
      { model: "mixtral", messages: [{ role: "user", content: "", images: ["AA"] }] },
      400,
      /images: .*text/,
    ],
    ["an option that nobody knows", { model: "mixtral", messages, options: { mirostat: 1 } }, 400, /mirostat/],
  ])("and %s is refused in Ollama's shape", async (_, body, status, error) => {
    expect(await post("/api/chat", body)).toEqual({ status, error: expect.stringMatching(error) });
  });
});
