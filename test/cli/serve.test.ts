import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { finished, folder, grok1, models, start } from "./grok1.ts";

/** Starts a server at a free port; its address is the first line that it prints. */
async function serve(args: readonly string[]) {
  const child = start(["serve", "--port", "0", "--backend", "reference", ...args]);
  const outcome = finished(child);
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (line: Buffer) => resolve(line.toString().trim()));
    outcome.then(({ stderr }) => reject(new Error(stderr)), reject);
  });
  return { child, url, outcome };
}

const ask = (url: string, body: object) =>
  fetch(`${url}/v1/chat/completions`, {
    ...{ method: "POST", headers: { "content-type": "application/json" } },
    body: JSON.stringify({ messages: [{ role: "user", content: "What of it?" }], seed: 1, ...body }),
  });

describe("serve", () => {
  it("answers at the address that it prints, logs no text, and ends a stream before it ends at SIGTERM", async () => {
    const { child, url, outcome } = await serve(["-m", join(models, "llama.gguf")]);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const stream = await ask(url, { stream: true, max_tokens: 60, ignore_eos: true });
    child.kill("SIGTERM");
    const text = await stream.text();
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
    const { status, stderr } = await outcome;
    expect(status).toBe(0);
    expect(stderr).toMatch(/POST {2}\/v1\/chat\/completions {2}200 .* llama: \d+ \+ 60 tokens/);
    expect(stderr).not.toContain("What of it");
  });

  it("serves a folder of models by their names", async () => {
    const many = join(folder, "many");
    mkdirSync(many);
    for (const name of ["llama", "mixtral"]) copyFileSync(join(models, `${name}.gguf`), join(many, `${name}.gguf`));
    const { child, url, outcome } = await serve(["--models", many, "--no-log"]);
    for (const model of ["mixtral", "llama"]) {
      const answer = (await (await ask(url, { model, max_tokens: 2 })).json()) as { readonly model: string };
      expect(answer.model).toBe(model);
    }
    child.kill("SIGINT");
    expect(await outcome).toMatchObject({ status: 0, stderr: "" });
  });

  it.each([
    ["a port that is taken", (url: string) => ["--port", new URL(url).port], 1, /cannot listen at/],
    ["a key without its hash", () => ["--key-hash", "laptop:secret"], 2, /NAME:SHA256/],
    ["a folder without models", () => ["--models", folder], 2, /no GGUF file/],
  ])("refuses %s", async (_, args, status, message) => {
    const { child, url, outcome } = await serve(["-m", join(models, "llama.gguf")]);
    const refused = await grok1(["serve", "-m", join(models, "llama.gguf"), "--backend", "reference", ...args(url)]);
    expect(refused).toMatchObject({ status, stderr: expect.stringMatching(message) });
    child.kill("SIGTERM");
    await outcome;
  });
});
