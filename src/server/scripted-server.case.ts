import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createScriptedModel } from "../generate/scripted-model.case.ts";
import { eventsOf, startTestServer, type TestServer } from "./app.case.ts";

const root = resolve(import.meta.dirname, "../..");

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;

/** A server whose model `m` says what it is told to, by a chat template of `vectors/templates`, or its own, which knows no tools. */
export interface ScriptedServer extends AsyncDisposable {
  readonly server: TestServer;
  /** What the model says next. */
  says: string;
  /** The prompts that it was given, control tokens shown. */
  readonly prompts: readonly string[];
  post(path: string, body: object, headers?: Record<string, string>): Promise<Any>;
  /** The data of all events. */
  stream(path: string, body: object): Promise<Any[]>;
}

export function startScriptedServer(template: string | undefined): ScriptedServer {
  const source = template && readFileSync(join(root, "test/vectors/templates/templates", `${template}.jinja`), "utf8");
  const file = join(root, "models/grok1-stories-q8_0.gguf");
  const { model, prompts } = createScriptedModel(file, source, () => scripted.says);
  const server = startTestServer({ m: file }, { load: async () => model });
  const scripted: ScriptedServer = {
    ...{ server, says: "", prompts },
    async post(path, body, headers = {}) {
      const response = await server.post(path, { model: "m", ...body }, { headers });
      return { status: response.status, ...((await response.json()) as object) };
    },
    stream: async (path, body) => eventsOf(await server.post(path, { model: "m", stream: true, ...body })),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
  return scripted;
}
