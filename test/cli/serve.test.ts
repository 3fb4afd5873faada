import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { finished, folder, grok1, models, start } from "./grok1.ts";

/** Starts a server at a free port; its address is the first line that it prints. */
async function serve(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const port = env.XDG_CONFIG_HOME === undefined ? ["--port", "0"] : [];
  const child = start(["serve", ...port, "--backend", "reference", ...args], env);
  const outcome = finished(child);
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (line: Buffer) => resolve(line.toString().trim()));
    outcome.then(({ stderr }) => reject(new Error(stderr)), reject);
  });
  return { child, url, outcome };
}

const ask = (url: string, body: object, headers: Readonly<Record<string, string>> = {}) =>
  fetch(`${url}/v1/chat/completions`, {
    ...{ method: "POST", headers: { "content-type": "application/json", ...headers } },
    body: JSON.stringify({ messages: [{ role: "user", content: "What of it?" }], seed: 1, ...body }),
  });

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;

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

  it("finds a prompt's beginning again after it was killed, for the same file alone", async () => {
    const home = join(folder, "keeping");
    mkdirSync(home);
    const [model, kept] = [join(home, "kept.gguf"), join(home, "kept")];
    copyFileSync(join(models, "llama.gguf"), model);
    const args = ["-m", model, "--prompt-cache", kept, "--prompt-cache-size", "1M", "--log", "none"];
    const messages = [{ role: "user", content: "What of it? ".repeat(5) }];
    const begin = async () => {
      const { child, url, outcome } = await serve(args);
      const answer = await (await ask(url, { messages, max_tokens: 20, temperature: 0, ignore_eos: true })).json();
      const { choices, usage } = answer as { choices: object; usage: Record<string, unknown> };
      return { child, outcome, choices, cached: usage.prompt_tokens_details };
    };
    const first = await begin();
    expect(first.cached).toEqual({ cached_tokens: 0 });
    await vi.waitFor(() => expect(readdirSync(kept).filter((name) => /^\w+\.kv$/.test(name))).toHaveLength(1), 5000);
    first.child.kill("SIGKILL");
    await first.outcome;
    const second = await begin();
    expect([second.cached, second.choices]).toEqual([{ cached_tokens: 64 }, first.choices]);
    second.child.kill("SIGTERM");
    expect(await second.outcome).toMatchObject({ status: 0, stderr: "" });
    utimesSync(model, 1e9, 1e9);
    const other = await begin();
    expect([other.cached, other.choices]).toEqual([{ cached_tokens: 0 }, first.choices]);
    other.child.kill("SIGTERM");
    await other.outcome;
  });

  it("answers the same with a model that drafts, and counts what it drafted", async () => {
    const model = join(models, "llama.gguf");
    const copy = join(folder, "draft.gguf");
    copyFileSync(model, copy);
    const answerOf = async (more: readonly string[]) => {
      const { child, url, outcome } = await serve(["-m", model, "--log", "none", ...more]);
      const answer = await ask(url, { max_tokens: 60, temperature: 0, ignore_eos: true });
      const { choices } = (await answer.json()) as { readonly choices: object };
      const metrics = await (await fetch(`${url}/metrics`)).text();
      child.kill("SIGTERM");
      expect(await outcome).toMatchObject({ status: 0, stderr: "" });
      const [, drafted, accepted] = /drafted_tokens_total\{.*\} (\d+)[\s\S]*accepted_tokens_total\{.*\} (\d+)/.exec(
        metrics,
      )!;
      return { choices, drafted: Number(drafted), accepted: Number(accepted) };
    };
    const [plain, drafted] = await Promise.all([answerOf(["--no-speculation"]), answerOf(["--draft", copy])]);
    expect(drafted.choices).toEqual(plain.choices);
    expect(plain.drafted).toBe(0);
    // Whether it pays is a matter of time.
    expect(drafted.accepted).toBeLessThanOrEqual(drafted.drafted);
    await expect(serve(["-m", model, "--draft", join(folder, "none.gguf")])).rejects.toThrow(/none\.gguf/);
  });

  it("serves a folder of models by their names", async () => {
    const many = join(folder, "many");
    mkdirSync(many);
    for (const name of ["llama", "mixtral"]) copyFileSync(join(models, `${name}.gguf`), join(many, `${name}.gguf`));
    const { child, url, outcome } = await serve(["--models", many, "--log", "none"]);
    for (const model of ["mixtral", "llama"]) {
      const answer = (await (await ask(url, { model, max_tokens: 2 })).json()) as { readonly model: string };
      expect(answer.model).toBe(model);
    }
    child.kill("SIGINT");
    expect(await outcome).toMatchObject({ status: 0, stderr: "" });
  });

  it("takes its settings from the config file and the environment, keys by their hashes alone", async () => {
    const [made, other] = await Promise.all(["laptop", "phone"].map((name) => grok1(["serve", "--new-key", name])));
    const [, key, entry] = /^key: (grok1_[\w-]{43})\nkeyHash: (laptop:[0-9a-f]{64})\n$/.exec(made!.stdout)!;
    const [, secondKey, secondEntry] = /^key: (.*)\nkeyHash: (.*)\n$/.exec(other!.stdout)!;
    expect(secondKey).not.toBe(key);
    const home = join(folder, "served");
    mkdirSync(join(home, "grok1"), { recursive: true });
    const config = { keyHash: [`${entry}:requests-per-minute=2`, secondEntry], port: 0, log: "none" };
    writeFileSync(join(home, "grok1", "config.json"), JSON.stringify(config));
    const env = { XDG_CONFIG_HOME: home, GROK1_OUTPUT_LIMIT: "2", GROK1_LOG: "json" };
    const { child, url, outcome } = await serve(["-m", join(models, "llama.gguf"), "--share-prefixes"], env);
    const statuses = [];
    for (const authorization of ["", `Bearer ${key}`, `Bearer ${key}`, `Bearer ${key}`]) {
      const answer = await ask(url, { ignore_eos: true }, { ...(authorization && { authorization }) });
      statuses.push(answer.status);
      if (answer.status === 200) expect(await answer.json()).toMatchObject({ usage: { completion_tokens: 2 } });
    }
    expect(statuses).toEqual([401, 200, 200, 429]);
    const shared = (await (await ask(url, {}, { authorization: `Bearer ${secondKey}` })).json()) as Any;
    expect(shared.usage.prompt_tokens_details.cached_tokens).toBeGreaterThan(0);
    child.kill("SIGTERM");
    const { status, stderr } = await outcome;
    expect(status).toBe(0);
    const entries = stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(entries[1]).toMatchObject({ level: "info", status: 200, key: "laptop", completionTokens: 2 });
    expect(stderr).not.toContain(key);
  });

  it("has its port to itself, refuses what comes while it ends, and ends at once when it is told again", async () => {
    const { child, url, outcome } = await serve(["-m", join(models, "llama.gguf")]);
    const second = ["serve", "-m", join(models, "llama.gguf"), "--backend", "reference", "--port", new URL(url).port];
    expect(await grok1(second)).toMatchObject({ status: 1, stderr: expect.stringMatching(/cannot listen at/) });
    // Its body never comes to an end.
    const slow = request(`${url}/tokenize`, { method: "POST", headers: { "content-length": 100 } });
    const lost = new Promise((resolve) => slow.once("error", resolve));
    await new Promise<void>((resolve) => slow.write("{", () => resolve()));
    await expect.poll(async () => (await fetch(`${url}/health`)).status).toBe(200);
    child.kill("SIGTERM");
    await expect.poll(async () => (await fetch(`${url}/health`)).status).toBe(503);
    child.kill("SIGTERM");
    expect((await outcome).status).toBe(143);
    await lost;
  });

  it.each([
    ["a key without its hash", ["--key-hash", "laptop:secret"], 2, /NAME:SHA256/],
    ["two keys of one name", ["--key-hash", `a:${"0".repeat(64)},a:${"1".repeat(64)}`], 2, /two keys/],
    ["a limit that is none", ["--key-hash", `a:${"0".repeat(64)}:often=3`], 2, /requests-per-minute=N/],
    ["a folder without models", ["--models", mkdtempSync(join(folder, "none-"))], 2, /no GGUF file/],
  ])("refuses %s", async (_, args, status, message) => {
    const refused = await grok1(["serve", "-m", join(models, "llama.gguf"), "--backend", "reference", ...args]);
    expect(refused).toMatchObject({ status, stderr: expect.stringMatching(message) });
  });
});
