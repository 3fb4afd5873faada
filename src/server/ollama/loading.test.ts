import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { startTestServer } from "../app.case.ts";

const file = join(resolve(import.meta.dirname, "../../../test/vectors/models"), "llama.gguf");
const asked = { model: "llama", stream: false };
const generate = { ...asked, prompt: "a", options: { num_predict: 1 } };

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;
const models = async (response: Promise<Response>): Promise<Any[]> =>
  ((await (await response).json()) as { models: Any[] }).models;

it("a model that is loaded says until when it is kept, and is given back at once where that is asked", async () => {
  await using server = startTestServer({ llama: file });
  const loaded = () => models(server.get("/api/ps"));
  const post = async (path: string, body: object) => (await server.post(path, body)).json() as Promise<Any>;
  const unload = { ...asked, keep_alive: 0 };
  expect(await post("/api/generate", unload)).toMatchObject({ done: true, done_reason: "unload", response: "" });
  expect(await loaded()).toEqual([]);
  const before = Date.now();
  await post("/api/generate", { ...generate, keep_alive: "5m" });
  const [{ expires_at: until, context_length: length }] = await loaded();
  expect(Math.abs(Date.parse(until) - before - 300_000)).toBeLessThan(60_000);
  expect(length).toBeGreaterThan(0);
  await post("/api/generate", { ...generate, keep_alive: -1 });
  expect((await loaded())[0].expires_at).toBe("9999-12-31T23:59:59Z");
  const chat = await post("/api/chat", { ...unload, messages: [] });
  expect(chat).toMatchObject({ message: { content: "" }, done_reason: "unload" });
  expect(await loaded()).toEqual([]);
  await post("/api/generate", { ...generate, keep_alive: 0 });
  expect(await loaded()).toEqual([]);
  expect((await server.post("/api/generate", { ...unload, model: "other" })).status).toBe(404);
});

it("a model is shown by the field that older clients know as well", async () => {
  await using server = startTestServer({ llama: file });
  const show = async (body: object) => (await server.post("/api/show", body)).json();
  expect(await show({ name: "llama" })).toEqual(await show({ model: "llama" }));
  expect(await show({ name: "llama" })).toMatchObject({ details: { family: "llama" } });
});
