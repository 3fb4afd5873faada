import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ChatMessage, type ChatNotice, createChat, type LanguageModel, loadModel } from "../../src/index.ts";
import { folder, grok1, models } from "../cli/grok1.ts";

const file = join(models, "llama.gguf");
const drawn = { seed: 3, maxTokens: 6 } as const;
const questions = Array.from({ length: 8 }, (_, i) => `Question ${i}, what of it?`);

let model: LanguageModel;
beforeAll(async () => {
  model = await loadModel(file, { backend: "reference" });
});
afterAll(() => model.close());

const refused = expect.objectContaining({ code: "argument" });

describe("a conversation", () => {
  it("goes on past the context: the oldest exchanges are no longer sent, and that is said", async () => {
    const { contextLength } = model.info;
    const notices: ChatNotice[] = [];
    await using chat = createChat(model, {
      ...{ system: "Be brief.", ...drawn },
      onNotice: (notice) => notices.push(notice),
    });
    for (const question of questions) {
      const asked: ChatMessage[] = [...chat.messages, { role: "user", content: question }];
      notices.length = 0;
      const { text, usage } = await chat.send(question).result;
      const fits = (part: readonly ChatMessage[]) => model.encodeChat(part).length + drawn.maxTokens <= contextLength;
      const cuts = asked.flatMap(({ role }, i) => (role === "user" ? [[asked[0]!, ...asked.slice(i)]] : []));
      const sent = cuts.find(fits)!;
      expect(notices).toEqual(
        sent.length < asked.length ? [{ type: "left-out", messages: asked.length - sent.length }] : [],
      );
      expect(usage.promptTokens).toBe(model.encodeChat(sent).length);
      expect(text).toBe((await model.chat(sent, drawn).result).text);
    }
    expect(notices).toHaveLength(1);
    expect(chat.messages).toHaveLength(1 + 2 * questions.length);
  });

  it("is refused past the context where nothing may be left out, and a question alone that does not fit always", async () => {
    await using chat = createChat(model, { ...drawn, fit: false });
    const codes = await Promise.all(
      questions.map((question) =>
        chat.send(question).result.then(
          () => "",
          ({ code }) => code as string,
        ),
      ),
    );
    expect(codes).toContain("capacity");
    await using other = createChat(model, drawn);
    await other.send("one").result;
    const before = other.messages;
    await expect(other.send("far too long ".repeat(100)).result).rejects.toMatchObject({ code: "capacity" });
    expect(other.messages).toEqual(before);
    await other.send("two").result;
    expect(other.messages).toHaveLength(4);
  });

  it("goes on from earlier messages as if it had been held here", async () => {
    await using lived = createChat(model, { system: "Be brief.", ...drawn });
    for (const question of questions.slice(0, 3)) await lived.send(question).result;
    const earlier: ChatMessage[] = JSON.parse(JSON.stringify(lived.messages));
    await using read = createChat(model, { messages: earlier, ...drawn });
    expect(read.messages).toEqual(lived.messages);
    await using other = createChat(model, drawn);
    other.reset({ system: "Be brief.", messages: earlier.slice(1) });
    const texts = [];
    for (const chat of [lived, read, other]) texts.push((await chat.send("And?").result).text);
    expect(new Set(texts).size).toBe(1);
    expect(read.messages).toEqual(lived.messages);
    expect(earlier).toHaveLength(7);
  });

  it("takes messages of every kind, several at once", async () => {
    const call: ChatMessage = { role: "assistant", content: null, tool_calls: [{ function: { name: "sum" } }] };
    const template =
      "{% for m in messages %}{{ m.role }}: {{ m.content or m.tool_calls[0].function.name }}\n{% endfor %}";
    await using tools = await loadModel(file, { backend: "reference", chatTemplate: template });
    const begun: ChatMessage[] = [{ role: "user", content: [{ type: "text", text: "2 + 3?" }] }, call];
    await using chat = createChat(tools, { ...drawn, messages: begun });
    const results: ChatMessage[] = [
      { role: "tool", name: "sum", content: "5" },
      { role: "tool", name: "sum", content: "five" },
    ];
    const { text, usage } = await chat.send(results).result;
    expect(usage.promptTokens).toBe(tools.encodeChat([...begun, ...results]).length);
    expect(chat.messages).toEqual([...begun, ...results, { role: "assistant", content: text }]);
    expect((await chat.retry().result).usage.promptTokens).toBe(usage.promptTokens);
    expect(chat.messages).toHaveLength(5);
  });

  it("answers again, with other options", async () => {
    await using chat = createChat(model, { system: "s", ...drawn });
    await expect(chat.retry().result).rejects.toEqual(refused);
    const first = await chat.send("hi").result;
    expect((await chat.retry().result).text).toBe(first.text);
    chat.options = { ...chat.options, temperature: 5, topK: 0, topP: 1, minP: 0 };
    const wild = await chat.retry().result;
    expect(wild.text).not.toBe(first.text);
    expect(chat.messages.map(({ content }) => content)).toEqual(["s", "hi", wild.text]);
    // One that fails takes nothing away.
    await expect(chat.retry({ topP: 3 }).result).rejects.toEqual(refused);
    expect(chat.messages.at(-1)!.content).toBe(wild.text);
    chat.reset();
    expect(chat.messages).toEqual([{ role: "system", content: "s" }]);
  });

  it("refuses what does not exist where it enters", async () => {
    expect(() => createChat(model, { sytem: "s" } as never)).toThrow(
      /createChat: there is no option sytem, did you mean system\?/,
    );
    expect(() => createChat(model, { messages: [{ content: "no role" }] as never })).toThrow(/message 0 is not/);
    expect(() => createChat(model, { messages: {} as never })).toThrow(refused);
    expect(() => createChat(model, { system: "a", messages: [{ role: "system", content: "b" }] })).toThrow(
      /two system/,
    );
    await using chat = createChat(model, drawn);
    expect(() => {
      chat.options = { temprature: 1 } as never;
    }).toThrow(/chat: there is no option temprature, did you mean temperature\?/);
    await expect(chat.send("a", { onNotice: 5 as never }).result).rejects.toEqual(refused);
    await expect(chat.send(5 as never).result).rejects.toEqual(refused);
    await expect(model.chat([{ role: "user", content: "a" }], { system: "s" } as never).result).rejects.toThrow(
      /chat: there is no option/,
    );
    await expect(model.generate("a", { fit: true } as never).result).rejects.toThrow(
      /generate: there is no option fit/,
    );
    expect(chat.messages).toEqual([]);
    expect((await model.status()).requests).toBe(0);
  });

  it("says the same as on the command line with the same seed, also past the context", async () => {
    const [args, path] = [["--backend", "reference", "--seed", "3", "-n", "6"], join(folder, "talk.json")];
    const lines = ["/system Be brief.", ...questions, "/retry", `/save ${path}`].join("\n");
    const { stderr, status } = await grok1(["chat", "-m", file, ...args], { input: lines });
    expect([status, stderr.match(/no longer fits/g)?.length]).toEqual([0, expect.any(Number)]);
    await using chat = createChat(model, { system: "Be brief.", ...drawn });
    for (const question of questions) await chat.send(question).result;
    await chat.retry().result;
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ messages: chat.messages });
  });

  it("kept with calls of tools is read by the command line too", async () => {
    const path = join(folder, "tools.json");
    const messages: ChatMessage[] = [
      { role: "user", content: [{ type: "text", text: "2 + 3?" }] },
      { role: "assistant", content: "5", name: "sum" },
    ];
    writeFileSync(path, JSON.stringify({ messages }));
    const again = join(folder, "tools-again.json");
    const input = `And 4 + 5?\n/save ${again}\n`;
    const { status } = await grok1(["chat", "-m", file, "--backend", "reference", "-n", "2", "--load", path], {
      input,
    });
    expect(status).toBe(0);
    expect((JSON.parse(readFileSync(again, "utf8")) as { messages: ChatMessage[] }).messages.slice(0, 2)).toEqual(
      messages,
    );
  });
});
