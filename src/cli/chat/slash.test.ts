import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { createChat } from "../../generate/chat.ts";
import type { CreateChatOptions, LanguageModel } from "../../generate/types.ts";
import { messagesFor } from "../messages.ts";
import { nameAdapters } from "./adapters.ts";
import type { Conversation } from "./conversation.ts";
import { isSlash, runSlash } from "./slash.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-slash-"));
afterAll(() => rmSync(folder, { recursive: true }));

const messages = messagesFor("en", {});
// No answer is asked for here.
const model = { session: () => ({}) } as LanguageModel;
const talk = (options: CreateChatOptions, adapters: Conversation["adapters"] = []): Conversation => {
  return { chat: createChat(model, options), adapters, files: new Set() };
};
let conversation: Conversation;
beforeEach(() => {
  const messages = [
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Hello" },
  ];
  conversation = talk({ system: "Be brief.", messages, temperature: 0.5 });
});

async function say(turn: string): Promise<string> {
  const outcome = await runSlash(turn, conversation, messages);
  return outcome.kind === "done" ? outcome.text : outcome.kind;
}

describe("slash commands", () => {
  it("are told from paths and text", () => {
    expect(["/help", "/set top-k 3", "/nonsense"].every(isSlash)).toBe(true);
    expect(["/etc/hosts", "/ 2", "a /help", "1/2"].some(isSlash)).toBe(false);
  });

  it("are the same in capitals", async () => {
    expect(await say("/HELP")).toBe(await say("/help"));
    expect(await say("/Nope")).toMatch(/no command \/Nope/);
  });

  it("says in Spanish too what a value is to be, of every option", async () => {
    const shown = await runSlash("/set", conversation, messagesFor("es", {}));
    const names = (shown as { text: string }).text.split("\n").map((line) => line.split(" ")[0]!);
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) {
      for (const value of ["x", "-9999", "9e99"]) {
        const { text } = (await runSlash(`/set ${name} ${value}`, conversation, messagesFor("es", {}))) as {
          text: string;
        };
        if (text.includes("no sirve")) expect(text).toMatch(/no sirve\. Se espera un número /);
      }
    }
    const adapted = talk({}, [{ name: "poet", path: "poet", scale: 1 }]);
    const scaled = await runSlash("/lora poet:5000", adapted, messagesFor("es", {}));
    expect(scaled).toEqual({ kind: "done", text: "poet: poet:5000 no sirve. Se espera una escala de -1000 a 1000." });
  });

  it("/clear keeps the system message, /system replaces it", async () => {
    await say("/clear");
    expect(conversation.chat.messages).toEqual([{ role: "system", content: "Be brief." }]);
    await say("/system Talk like\na pirate.");
    expect(conversation.chat.messages).toEqual([{ role: "system", content: "Talk like\na pirate." }]);
    expect(await say("/system")).toBe("Talk like\na pirate.");
  });

  it("/set checks the value and knows every spelling", async () => {
    expect(await say("/set top-k 40")).toBe("topK is 40.");
    expect(await say("/set TEMPERATURE=0")).toBe("temperature is 0.");
    expect(conversation.chat.options).toEqual({ temperature: 0, topK: 40 });
    expect(await say("/set topp 2")).toMatch(/topP: 2 .*from 0 to 1/);
    expect(conversation.chat.options).toEqual({ temperature: 0, topK: 40 });
    await say("/set temperature default");
    expect(conversation.chat.options).toEqual({ topK: 40 });
    expect(await say("/set warmth 1")).toMatch(/no option warmth.*temperature/);
    expect(await say("/set")).toContain("topK 40");
  });

  it("/lora switches between the adapters that are there", async () => {
    expect(await say("/lora")).toMatch(/without adapters: --lora/);
    const sources = [{ path: "lib/pirate", scale: 0.5 }, { path: "lib/poet one/adapter_model.safetensors" }];
    conversation = talk({ temperature: 0 }, nameAdapters(sources));
    expect(await say("/lora")).toBe("pirate 0.5\npoet one 1");
    expect(conversation.chat.options).toEqual({ temperature: 0 });
    expect(await say("/lora poet one:-2")).toBe("pirate off\npoet one -2");
    expect(conversation.chat.options.adapters).toEqual([{ name: "poet one", scale: -2 }]);
    expect(await say("/lora poet")).toBe("There is no adapter poet. Adapters: pirate, poet one.");
    expect(await say("/lora pirate:strong")).toMatch(/no adapter pirate:strong/);
    expect(conversation.chat.options.adapters).toEqual([{ name: "poet one", scale: -2 }]);
    expect(await say("/lora pirate:1e300")).toMatch(/pirate:1e300 .*a scale from -1000 to 1000/);
    expect(conversation.chat.options.adapters).toEqual([{ name: "poet one", scale: -2 }]);
    expect(await say("/lora pirate lib/pirate:2")).toBe("pirate 2\npoet one off");
    expect(await say("/lora off")).toBe("pirate off\npoet one off");
    expect(conversation.chat.options.adapters).toEqual([]);
    expect(await say("/lora all")).toBe("pirate 0.5\npoet one 1");
    expect(conversation.chat.options).toEqual({ temperature: 0 });
  });

  it("adapters of folders with one name go by their paths", () => {
    const named = nameAdapters([{ path: "a/x" }, { path: "b/x" }, { path: "c/y/" }, { path: "." }]);
    expect(named.map(({ name }) => name)).toEqual(["a/x", "b/x", "y", "."]);
  });

  it("/save and /load are each other's inverse", async () => {
    const path = join(folder, "talk.json");
    const before = [...conversation.chat.messages];
    expect(await say(`/save ${path}`)).toBe(`3 messages written to ${path}.`);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ messages: before });
    // What was written by it is written again.
    expect(await say(`/save ${path}`)).toBe(`3 messages written to ${path}.`);
    await say("/clear");
    await say(`/load ${path}`);
    expect(conversation.chat.messages).toEqual(before);
  });

  it("/load of a bad file says which and where, and keeps the conversation", async () => {
    const path = join(folder, "bad.json");
    const before = [...conversation.chat.messages];
    for (const [content, saying] of [
      ["not json", /bad\.json: expected JSON/],
      ["[]", /bad\.json: expected a list "messages"/],
      ['{"messages":[{"role":"user","content":"a"},{"role":1}]}', /bad\.json: message 1/],
    ] as const) {
      writeFileSync(path, content);
      expect(await say(`/load ${path}`)).toMatch(saying);
    }
    expect(await say(`/load ${join(folder, "absent.json")}`)).toMatch(/absent\.json: cannot open: no such file/);
    expect(conversation.chat.messages).toEqual(before);
  });

  it("/retry asks the last question again", async () => {
    expect(await runSlash("/retry", conversation, messages)).toEqual({ kind: "retry" });
    await say("/clear");
    expect(await say("/retry")).toBe(messages.nothingToRetry);
  });

  it("an unknown one suggests, /exit leaves", async () => {
    expect(await say("/sytem x")).toMatch(/no command \/sytem.*Did you mean \/system/);
    expect(await say("/exit")).toBe("exit");
  });
});
