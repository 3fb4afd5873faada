import { expect, it } from "vitest";
import {
  type Conversation,
  exportJson,
  exportMarkdown,
  fitConversations,
  readConversations,
  titleOf,
} from "./conversation.ts";

const conversation = (id: string, updated: string, content = "Tell me  of\nfoxes."): Conversation => ({
  ...{ id, created: "2026-01-01T00:00:00Z", updated },
  messages: [
    { id: `${id}q`, role: "user", content },
    {
      ...{ id: `${id}a`, role: "assistant", content: "Foxes **run**.\n" },
      answer: { model: "m", tokens: 3, firstSeconds: 0.1, seconds: 1, finish: "stop" },
    },
  ],
});

it("keeps the newest conversations that fit", () => {
  const all = ["2026-01-01", "2026-01-03", "2026-01-02"].map((day, i) => conversation(String(i), day));
  const size = JSON.stringify(all[0]).length;
  const ids = (bounds: { conversations: number; characters: number }) =>
    fitConversations(all, bounds).map(({ id }) => id);
  expect(ids({ conversations: 9, characters: 9 * size })).toEqual(["1", "2", "0"]);
  expect(ids({ conversations: 2, characters: 9 * size })).toEqual(["1", "2"]);
  expect(ids({ conversations: 9, characters: 2 * size })).toEqual(["1", "2"]);
});

it("reads back what it wrote, and of anything else nothing", () => {
  const all = [conversation("1", "2026-01-01")];
  expect(readConversations(JSON.stringify(all))).toEqual(all);
  const [good] = all as [Conversation];
  for (const wrong of [
    ...[
      null,
      "",
      "{",
      "{}",
      "[1, null]",
      JSON.stringify([{ ...good, id: 1 }]),
      JSON.stringify([{ ...good, messages: {} }]),
    ],
    JSON.stringify([{ ...good, messages: [{ id: "1", role: "system", content: "x" }] }]),
    JSON.stringify([{ ...good, messages: [{ id: "1", role: "user", content: 1 }] }]),
    JSON.stringify([{ ...good, messages: [{ id: "1", role: "assistant", content: "x", answer: { model: "m" } }] }]),
    JSON.stringify([{ ...good, messages: [{ id: "1", role: "assistant", content: "x", thoughts: {} }] }]),
  ]) {
    expect(readConversations(wrong)).toEqual([]);
  }
});

it("names a conversation by what was asked first", () => {
  expect(titleOf(conversation("1", "2026"))).toBe("Tell me of foxes.");
  const long = titleOf(conversation("1", "2026", "😀".repeat(100)))!;
  expect([...long]).toHaveLength(60);
  expect(long).toMatch(/^(😀)+…$/u);
  expect(titleOf({ ...conversation("1", "2026"), messages: [] })).toBeUndefined();
});

it("exports as JSON, with the system prompt, and as Markdown", () => {
  const given = conversation("1", "2026-01-02T03:04:05Z");
  const json = exportJson(given, "Be brief.");
  expect([json.name, json.type]).toEqual(["2026-01-02-tell-me-of-foxes.json", "application/json"]);
  expect(
    JSON.parse(json.text).messages.map(({ role, content }: { role: string; content: string }) => [role, content]),
  ).toEqual([
    ["system", "Be brief."],
    ["user", "Tell me  of\nfoxes."],
    ["assistant", "Foxes **run**.\n"],
  ]);
  const markdown = exportMarkdown(given, { untitled: "Untitled", user: "You", assistant: "Model" });
  expect(markdown).toEqual({
    ...{ name: "2026-01-02-tell-me-of-foxes.md", type: "text/markdown" },
    text: "# Tell me of foxes.\n\n## You\n\nTell me  of\nfoxes.\n\n## m\n\nFoxes **run**.\n",
  });
});
