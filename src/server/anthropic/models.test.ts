import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { startTestServer } from "../app.case.ts";

const file = join(resolve(import.meta.dirname, "../../../test/vectors/models"), "llama.gguf");
const version = { "anthropic-version": "2023-06-01" };

it("models are listed in Anthropic's shape to who speaks that, and in OpenAI's to others", async () => {
  await using server = startTestServer({ llama: file });
  const get = async (path: string, headers = {}) => (await server.get(path, headers)).json();
  const model = { type: "model", id: "llama", display_name: "llama", created_at: expect.stringMatching(/^\d{4}-.*Z$/) };
  const list = { data: [model], has_more: false, first_id: "llama", last_id: "llama" };
  expect(await get("/v1/models", version)).toEqual(list);
  expect(await get("/v1/models/llama", version)).toEqual(model);
  expect(await get("/v1/models/x", version)).toMatchObject({ type: "error", error: { type: "not_found_error" } });
  expect(await get("/v1/models")).toMatchObject({ object: "list", data: [{ id: "llama", object: "model" }] });
});

it("what is left of a share is in Anthropic's headers", async () => {
  await using server = startTestServer({ llama: file }, { quota: { requestsPerMinute: 5, tokensPerMinute: 1000 } });
  const messages = [{ role: "user", content: "a" }];
  const { headers } = await server.post("/v1/messages", { model: "llama", messages, max_tokens: 1 });
  const found = Object.fromEntries([...headers].filter(([name]) => name.includes("ratelimit")));
  expect(found).toMatchObject({
    ...{ "anthropic-ratelimit-requests-limit": "5", "anthropic-ratelimit-requests-remaining": "4" },
    "anthropic-ratelimit-tokens-limit": "1000",
  });
  expect(Date.parse(found["anthropic-ratelimit-requests-reset"]!)).toBeGreaterThan(Date.now());
  expect(Object.keys(found).filter((name) => name.startsWith("x-"))).toEqual([]);
});
