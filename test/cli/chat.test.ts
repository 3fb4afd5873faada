import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { folder, grok1, models } from "./grok1.ts";

const base = ["chat", "-m", join(models, "llama.gguf"), "--backend", "reference", "--seed", "3", "-n", "6"];

describe("chat through a pipe", () => {
  it("answers each line, on standard output alone", async () => {
    const { status, stdout, stderr } = await grok1(base, { input: "hello\nagain\n" });
    expect(status).toBe(0);
    expect(stderr).toMatch(/llama\.gguf, 128 tokens of context/);
    expect(stderr.match(/\[\d+ tokens, [\d.]+ tokens\/s.*\]/g)).toHaveLength(2);
    expect(stdout.length).toBeGreaterThan(0);
    expect(stdout + stderr).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
  });

  it("keeps the conversation: lines joined, saved, loaded, retried", async () => {
    const path = join(folder, "chat.json");
    const input = [
      "/system Be brief.",
      "one \\",
      "two",
      '"""',
      "three",
      "",
      "four",
      '"""',
      `/save ${path}`,
      "/exit",
      "never",
    ];
    const { status, stderr } = await grok1(base, { input: input.join("\n") });
    expect(status).toBe(0);
    expect(stderr).toContain(`5 messages written to ${path}`);
    const { messages } = JSON.parse(readFileSync(path, "utf8"));
    expect(messages.map(({ role }: { role: string }) => role)).toEqual([
      "system",
      "user",
      "assistant",
      "user",
      "assistant",
    ]);
    expect(messages[1].content).toBe("one \ntwo");
    expect(messages[3].content).toBe("three\n\nfour");
    const again = join(folder, "again.json");
    const second = await grok1(base, { input: `/load ${path}\n/retry\n/save ${again}\n` });
    expect(second.status).toBe(0);
    expect(JSON.parse(readFileSync(again, "utf8")).messages.slice(0, 4)).toEqual(messages.slice(0, 4));
  });

  it("/set changes the answers to come", async () => {
    const { stderr } = await grok1(base, { input: "/set max-tokens 2\nhello\n/set temperature hot\n" });
    expect(stderr).toMatch(/\[2 tokens/);
    expect(stderr).toMatch(/temperature: hot .*number from 0/);
  });

  it("speaks Spanish where the locale does", async () => {
    const { stderr } = await grok1(base, { input: "/help\n", env: { LANG: "es_ES.UTF-8" } });
    expect(stderr).toContain("olvidar la conversación");
    const asked = await grok1([...base, "--lang", "en"], { input: "/help\n", env: { LANG: "es_ES.UTF-8" } });
    expect(asked.stderr).toContain("forget the conversation");
  });

  it("leaves no history behind where nobody typed", () => {
    expect(existsSync(join(folder, "state", "grok1", "history"))).toBe(false);
  });
});
