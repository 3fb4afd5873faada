import { resolve } from "node:path";
import { expect, it } from "vitest";
import { loadModel } from "../generate/load.ts";
import { createServer } from "./server.ts";

const file = resolve(import.meta.dirname, "../../test/vectors/models/llama.gguf");
const models = [{ file, load: () => loadModel(file, { backend: "reference" }) }];

it("takes the next port where nobody named one, and says so where the one that was named is taken", async () => {
  await using first = await createServer({ models });
  await using second = await createServer({ models });
  const [one, other] = [await first.listen(), await second.listen()];
  try {
    const ports = [one, other].map(({ url }) => Number(new URL(url).port));
    expect(ports[1]).toBeGreaterThan(ports[0]!);
    expect(ports[1]).toBeLessThan(8090);
    for (const { url } of [one, other]) expect((await fetch(`${url}/health`)).status).toBe(200);
    await using third = await createServer({ models, port: ports[0]! });
    await expect(third.listen()).rejects.toMatchObject({
      code: "io",
      message: expect.stringContaining("another program"),
    });
  } finally {
    for (const { drain } of [one, other]) await drain(AbortSignal.abort());
  }
});

it("does not look elsewhere where what is wrong is no port", async () => {
  await using server = await createServer({ models, host: "203.0.113.1" });
  await expect(server.listen()).rejects.toMatchObject({
    code: "io",
    message: expect.stringContaining("does not have the address"),
  });
});

it("says that it closes a connection whose body it has not read, so that nobody's next request is lost", async () => {
  await using server = await createServer({ models, bodyBytes: 1000 });
  const { url, drain } = await server.listen();
  const post = async (body: string) => {
    const response = await fetch(`${url}/tokenize`, {
      ...{ method: "POST", headers: { "content-type": "application/json" }, body },
    });
    await response.text();
    return [response.status, response.headers.get("connection")];
  };
  try {
    for (let i = 0; i < 5; i++) {
      expect(await post(JSON.stringify({ content: "a".repeat(1_000_000) }))).toEqual([413, "close"]);
      expect(await post('{"content": "a"}')).toEqual([200, "keep-alive"]);
    }
  } finally {
    await drain(AbortSignal.abort());
  }
});
