import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestServer, type TestServer } from "./app.case.ts";

const vectors = resolve(import.meta.dirname, "../../test/vectors/models");

interface Operation {
  readonly requestBody?: { readonly content: { readonly "application/json": { readonly schema: object } } };
}

let server: TestServer;
let paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
beforeAll(async () => {
  server = startTestServer({ llama: join(vectors, "llama.gguf") });
  ({ paths } = (await (await server.get("/openapi.json")).json()) as { paths: typeof paths });
});
afterAll(() => server[Symbol.asyncDispose]());

it("every address of the server is in its document, and no other", async () => {
  const files = readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith("dialect.ts") || name === "app.ts",
  );
  const source = files.map((name) => readFileSync(join(import.meta.dirname, name), "utf8")).join("\n");
  const found = [
    ...[...source.matchAll(/"(GET|POST|DELETE) (\/[^"]*)"/g)].map(([, method, path]) => [method!, path!]),
    ...[...source.matchAll(/"(\/[^"]+)": (?:endpoint|immediate)/g)].map(([, path]) => ["POST", path!]),
    ...[...source.matchAll(/app\.get\("([^"]+)"/g)].map(([, path]) => ["GET", path!]),
  ].map(([method, path]) => `${method} ${path!.replace(/:(\w+)(\{[^}]*\})?/g, "{$1}")}`);
  const described = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(found.length).toBeGreaterThan(15);
  expect([...described].sort()).toEqual([...new Set(found)].sort());
  for (const place of described) {
    const [method, path] = place.split(" ") as [string, string];
    const request = new Request(`http://localhost${path.replace(/\{\w+\}/g, "llama")}`, { method });
    const { error } = (await (await server.app.fetch(request)).json().catch(() => ({}))) as { error?: object };
    expect(JSON.stringify(error ?? "")).not.toContain(`there is no ${method} `);
  }
});

it("what it says of a body is what the server takes", async () => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  const messages = [{ role: "user", content: "a" }];
  const bodies: Readonly<Record<string, readonly object[]>> = {
    "/v1/chat/completions": [
      ...[{ messages, max_tokens: 1 }, { messages: [] }, { messages, temperature: -1 }, { messages, nonsense: 1 }],
      ...[{ messages: [{ role: "user", content: [{ type: "text", text: "a" }] }], max_tokens: 1, stop: ["b"] }, {}],
    ],
    "/v1/completions": [
      ...[{ prompt: "a", max_tokens: 1 }, { prompt: [[5, 6]], max_tokens: 1 }, { prompt: 5 }, { prompt: "a", n: 0 }],
    ],
    "/v1/messages": [
      { model: "llama", max_tokens: 1, messages },
      { model: "llama", messages },
      { max_tokens: 1, messages },
    ],
    "/api/generate": [{ model: "llama", prompt: "a", options: { num_predict: 1 }, stream: false }, { prompt: "a" }],
    "/tokenize": [{ content: "a" }, { content: 5 }, {}],
    "/api/show": [{ model: "llama" }, {}],
  };
  for (const [path, all] of Object.entries(bodies)) {
    const check = ajv.compile(paths[path]!.post!.requestBody!.content["application/json"].schema);
    for (const body of all) {
      const { status } = await server.post(path, body);
      expect([path, body, check(body)]).toEqual([path, body, status === 200]);
    }
  }
  for (const operations of Object.values(paths)) {
    for (const { requestBody } of Object.values(operations)) {
      if (requestBody) ajv.compile(requestBody.content["application/json"].schema);
    }
  }
});
