import { readFileSync } from "node:fs";
import { z } from "zod";
import type { Dialect } from "./dialect.ts";

/** What the server has beside its dialects' addresses. */
const own = {
  "GET /health": "what runs, waits and is loaded",
  "GET /metrics": "Prometheus' metrics, as text",
  "GET /openapi.json": "this document",
};

const streamTypes = { events: "text/event-stream", lines: "application/x-ndjson" } as const;

/** All addresses, and what is read of a request there, as an OpenAPI document (3.1): made of the schemas that requests are held to. */
export function describeApi(dialects: readonly Dialect[]): object {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const paths: Record<string, Record<string, object>> = {};
  const add = (method: string, path: string, operation: object) => {
    const parameters = [...path.matchAll(/:(\w+)(?:\{[^}]*\})?/g)].map(([, name]) => ({
      ...{ name, in: "path", required: true, schema: { type: "string" } },
    }));
    const named = path.replace(/:(\w+)(?:\{[^}]*\})?/g, "{$1}");
    const responses = { default: { description: "what went wrong, in the API's own shape", content: json({}) } };
    const { responses: answers, ...rest } = operation as { readonly responses?: object };
    paths[named] ??= {};
    paths[named][method.toLowerCase()] = {
      ...rest,
      ...(parameters.length > 0 && { parameters }),
      responses: { ...answers, ...responses },
    };
  };

  for (const { endpoints, lookups, stream } of dialects) {
    for (const [path, { schema }] of Object.entries(endpoints)) {
      const content = { ...json({}), [streamTypes[stream]]: { schema: { type: "string" } } };
      add("post", path, { requestBody: bodyOf(schema), responses: { 200: { description: "the answer", content } } });
    }
    for (const [place, look] of Object.entries(lookups)) {
      const [method, path] = place.split(" ") as [string, string];
      const answer = { responses: { 200: { description: "the answer", content: json({ type: "object" }) } } };
      add(method, path, { ...(look.schema && { requestBody: bodyOf(look.schema) }), ...answer });
    }
  }
  for (const [place, description] of Object.entries(own)) {
    const [method, path] = place.split(" ") as [string, string];
    add(method, path, { responses: { 200: { description } } });
  }
  return {
    openapi: "3.1.0",
    info: { title: "grok1", version, description: "Language models on a computer of one's own." },
    paths,
    security: [{}, { bearer: [] }, { key: [] }],
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        key: { type: "apiKey", in: "header", name: "x-api-key" },
      },
    },
  };
}

const json = (schema: object) => ({ "application/json": { schema } });

function bodyOf(schema: z.ZodType): object {
  const { $schema: _, ...described } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return { required: true, content: json(described) };
}
