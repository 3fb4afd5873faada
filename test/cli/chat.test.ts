import { existsSync, readFileSync, writeFileSync } from "node:fs";
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

  it("says once that a template has no place for a system message, and gives its text with the first question", async () => {
    const template = join(folder, "refusing.jinja");
    writeFileSync(
      template,
      "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ m.content }} {% endfor %}",
    );
    const args = [...base, "--system", "Be brief.", "--chat-template", template];
    const { status, stderr } = await grok1(args, { input: "hello\nagain\n" });
    expect(status).toBe(0);
    expect(stderr.match(/no place for a system message/g)).toHaveLength(1);
    expect(stderr.match(/\[\d+ tokens/g)).toHaveLength(2);
  });

  it("/set changes the answers to come", async () => {
    const { stderr } = await grok1(base, { input: "/set max-tokens 2\nhello\n/set temperature hot\n" });
    expect(stderr).toMatch(/\[2 tokens/);
    expect(stderr).toMatch(/temperature: hot .*number from 0/);
  });

  it("/set says what holds", async () => {
    const { stderr } = await grok1(base, {
      input: "/set top-k 05\n/set temperature 1e-1\n/set temperature default\n/set\n",
    });
    expect(stderr).toContain("topK is 5.");
    expect(stderr).toContain("temperature is 0.1.");
    expect(stderr).toContain("temperature is default (0.8).");
    expect(stderr).toMatch(/^topP default \(0\.95\)$/m);
    expect(stderr).toMatch(/^maxTokens 6$/m);
  });

  it("/save asks before it overwrites what it did not write", async () => {
    const path = join(folder, "there.json");
    writeFileSync(path, "mine");
    const no = await grok1(base, { input: `a\n/save ${path}\nn\n/save ${path}\n/save ${path}\n\n` });
    expect(no.stderr.match(/there\.json is there already\. Overwrite it\?/g)).toHaveLength(3);
    expect(readFileSync(path, "utf8")).toBe("mine");
    const yes = await grok1(base, { input: `a\n/save ${path}\ny\nb\n/save ${path}\n` });
    expect(yes.stderr.match(/Overwrite it\?/g)).toHaveLength(1);
    expect(JSON.parse(readFileSync(path, "utf8")).messages).toHaveLength(4);
    const other = await grok1(base, { input: `a\n/save ${folder}\nb\n` });
    expect(other.stderr).toContain(`${folder}: cannot write: not a regular file`);
    expect(other.stderr).not.toContain("Overwrite it?");
  });

  it("--load goes on with a conversation, --stop ends answers", async () => {
    const path = join(folder, "begun.json");
    const again = join(folder, "more.json");
    writeFileSync(
      path,
      JSON.stringify({
        messages: [
          { role: "user", content: "a" },
          { role: "assistant", content: "b" },
        ],
      }),
    );
    const { status, stderr } = await grok1([...base, "--load", path], { input: `c\n/save ${again}\n` });
    expect(status).toBe(0);
    expect(stderr).toContain(`2 messages read from ${path}`);
    const { messages } = JSON.parse(readFileSync(again, "utf8"));
    expect(messages.map(({ content }: { content: string }) => content).slice(0, 3)).toEqual(["a", "b", "c"]);
    const missing = await grok1([...base, "--load", join(folder, "none.json")]);
    expect(missing).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/none\.json: cannot open: no such file/),
    });
    const plain = await grok1(
      [...base, "--temperature", "0"].filter((arg) => arg !== "--seed" && arg !== "3"),
      { input: "hello\n" },
    );
    const stop = [...plain.stdout.trimEnd()][1]!;
    const stopped = await grok1(
      [...base, "--temperature", "0", "--stop", stop].filter((arg) => arg !== "--seed" && arg !== "3"),
      {
        input: "hello\n",
      },
    );
    expect(stopped.stdout.trimEnd()).toBe(plain.stdout.slice(0, plain.stdout.indexOf(stop)).trimEnd());
  });

  it("reports a turn that is too long, and answers the next", async () => {
    const input = `one\n${"far too long ".repeat(100)}\ntwo\n`;
    const { status, stderr } = await grok1(base, { input });
    expect(stderr).toMatch(/the prompt has \d+ tokens, but prompt and answer together must fit into a context of 128/);
    expect(stderr.match(/\[\d+ tokens, [\d.]+ tokens\/s.*\]/g)).toHaveLength(2);
    expect(status).toBe(1);
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
