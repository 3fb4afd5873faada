import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { loadModel } from "../generate/load.ts";
import type { LanguageModel } from "../generate/types.ts";
import { readConfig } from "../model/config.ts";
import { makeAdapter } from "../model/lora/lora.case.ts";
import { listModules } from "../model/lora/modules.ts";
import { writeAdapter } from "../model/lora/write.ts";
import { createServer, type ModelServer } from "./server.ts";

const base = join(resolve(import.meta.dirname, "../../test/vectors/models"), "llama.gguf");
const folder = mkdtempSync(join(tmpdir(), "grok1-served-adapters-"));
const adapters = ["poet", "terse"].map((name) => ({ name, path: join(folder, name) }));
let server: ModelServer;
let model: LanguageModel;
beforeAll(async () => {
  const file = openGguf(base);
  for (const [i, { path }] of adapters.entries()) {
    const { terms } = makeAdapter(listModules(file), { rank: 4, alpha: 8, size: 0.4, seed: i + 1 });
    await writeAdapter(path, { terms, rank: 4, alpha: 8, base: "base", headSize: readConfig(file).headSize });
  }
  file.close();
  const load = () => loadModel(base, { backend: "reference", adapters });
  model = await load();
  server = await createServer({ models: [{ file: base, name: "base", adapters, load }] });
});
afterAll(async () => {
  await server.close();
  await model.close();
  rmSync(folder, { recursive: true });
});

const post = async (path: string, body: object) => {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  return await (await server.fetch(new Request(`http://localhost${path}`, init))).json();
};

it("adapters are models by their names, each request with its own, also of scores", async () => {
  const listed = await (await server.fetch(new Request("http://localhost/v1/models"))).json();
  expect(listed).toMatchObject({ data: ["base", "poet", "terse"].map((id) => ({ id })) });
  const asked = { prompt: "One day", max_tokens: 8, temperature: 0, logprobs: 1, echo: true };
  const cases = [
    ["base", []],
    ["poet", [{ name: "poet" }]],
    ["base:terse", [{ name: "terse" }]],
    [undefined, []],
  ] as const;
  const answers = await Promise.all(
    cases.map(([model]) => post("/v1/completions", { ...asked, ...(model && { model }) })),
  );
  const tokens = model.encode("One day");
  const texts = new Set<string>();
  for (const [i, [name, chosen]] of cases.entries()) {
    const { text } = await model.generate("One day", { temperature: 0, maxTokens: 8, adapters: chosen }).result;
    const [scores] = await model.score([{ tokens }], { adapters: chosen });
    const { choices, model: called } = answers[i] as {
      model: string;
      choices: { text: string; logprobs: { token_logprobs: number[] } }[];
    };
    expect(called).toBe(name === undefined ? "base" : name.replace("base:", ""));
    expect(choices[0]!.text).toBe(model.tokenizer.decode(tokens) + text);
    expect(choices[0]!.logprobs.token_logprobs.slice(1, tokens.length)).toEqual([...scores!]);
    texts.add(JSON.stringify([...scores!]));
  }
  expect(texts.size).toBe(3);
  const { data } = (await post("/v1/embeddings", { model: "poet", input: "One day" })) as {
    data: { embedding: number[] }[];
  };
  const [[own], [plain]] = await Promise.all(
    [[{ name: "poet" }], []].map((adapters) => model.embed([tokens], { adapters })),
  );
  expect(data[0]!.embedding).toEqual([...own!]);
  expect(data[0]!.embedding).not.toEqual([...plain!]);
});

it("two of one name are refused", async () => {
  const twice = { file: base, name: "poet", adapters };
  await expect(createServer({ models: [twice] })).rejects.toThrow(/two are called poet/);
});
