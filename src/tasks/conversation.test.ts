import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadModel } from "../generate/load.ts";
import { createConversation, encodePrompt, type Put, textOf } from "./conversation.ts";
import { evaluate } from "./evaluate.ts";
import { readPrompts } from "./generation/questions.ts";
import type { GenerationRecord } from "./generation/run.ts";
import type { GenerationTask } from "./generation/task.ts";
import { readQuestions } from "./questions.ts";
import { openTask, type Task } from "./task.ts";
import { encodePair } from "./tokens.ts";

const vectors = join(import.meta.dirname, "../../test/vectors");
const shared = join(import.meta.dirname, "../../../shared/data/eval");
const chat = JSON.parse(readFileSync(join(vectors, "eval/chat.json"), "utf8")) as {
  readonly template: string;
  readonly pairs: Readonly<Record<string, readonly (readonly [context: string, continuation: string])[]>>;
  readonly words: Readonly<Record<string, string>>;
};
const folder = mkdtempSync(join(tmpdir(), "grok1-conversation-"));
const path = join(vectors, "models/llama.gguf");
const template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}> ";
const model = await loadModel(path, { backend: "reference", chatTemplate: template });
const plain = await loadModel(path, { backend: "reference" });
const { tokenizer } = model;
afterAll(async () => {
  await model.close();
  await plain.close();
  rmSync(folder, { recursive: true, force: true });
});

function write(name: string, text: string): string {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

describe("asked by a chat template", () => {
  const put: Put = createConversation({ ...model, chatTemplate: chat.template });

  it.each(Object.keys(chat.pairs))("%s is what lm-evaluation-harness asks", (name) => {
    const [task, shots] = name.split(" ") as [string, string];
    const { files } = JSON.parse(readFileSync(join(vectors, "eval", `${task}.json`), "utf8"));
    for (const [file, text] of Object.entries(files as Record<string, string>)) write(file, text);
    const [question] = readQuestions(openTask(task) as Task, folder, Number(shots), true).list;
    const { description, pairs } = question!;
    const asked = pairs.map(({ context, continuation }) => [
      textOf(put({ description, question: context.slice(description.length), begun: "" })),
      continuation,
    ]);
    expect(asked).toEqual(chat.pairs[name]);
  });

  it.skipIf(!existsSync(shared)).each(Object.keys(chat.words))(
    "%s is what lm-evaluation-harness asks (of ../shared)",
    (name) => {
      const [task, shots] = name.split(" ") as [string, string];
      const whole = openTask(task) as GenerationTask;
      const first = whole.parts === undefined ? whole : { ...whole, parts: ["boolean_expressions"] };
      const { list } = readPrompts(first, shared, Number(shots));
      const hash = createHash("sha256").update(textOf(put(list[0]!)));
      expect(hash.digest("hex")).toBe(chat.words[name]);
    },
  );

  it("has control tokens of the template alone", () => {
    const eos = tokenizer.piece(tokenizer.eos!);
    const asking = { description: "", question: `The cat ${eos} sat`, begun: "" };
    const context = createConversation(model)(asking);
    const ids = [...encodePrompt(tokenizer, context)];
    expect(ids).toEqual([...model.encodeChat([{ role: "user", content: asking.question }])]);
    expect(ids.filter((id) => id === tokenizer.eos)).toHaveLength(1);
    const { tokens, from } = encodePair(tokenizer, { context, continuation: `on ${eos}` }, 64);
    expect([...tokens].filter((id) => id === tokenizer.eos)).toHaveLength(1);
    // Space at the context's end is the continuation's.
    const kept = textOf(context).trimEnd().length;
    expect(from).toBe(
      tokenizer.encode(textOf(context).slice(0, kept), { special: true, ordinary: [8, 8 + 16] }).length,
    );
    const begun = createConversation(model)({ ...asking, begun: `Here: ${eos}` });
    expect(textOf(begun)).toBe(`${textOf(context)}Here: ${eos}`);
    expect([...encodePrompt(tokenizer, begun)].filter((id) => id === tokenizer.eos)).toHaveLength(1);
  });
});

describe("evaluate, by a chat template", () => {
  const choice = write(
    "choice.json",
    JSON.stringify({
      ...{ name: "choice", about: "a test", source: "nowhere", data: "rows.jsonl", metrics: ["acc"] },
      ...{ context: "{{q}}", choices: "{{c | tojson}}", continuation: "{{choice}}", answer: "{{a}}" },
    }),
  );
  const words = write(
    "words.json",
    JSON.stringify({
      ...{ name: "words", about: "a test", source: "nowhere", data: "rows.jsonl", prompt: "{{q}}", begin: "The" },
      ...{ generate: { maxTokens: 5 }, score: { exact_match: { answer: "{{c[0]}}" } } },
    }),
  );
  const rows = Array.from({ length: 3 }, (_, i) => ({ q: `The cat ${i} sat`, c: ["on", "off"], a: i % 2 }));
  write("rows.jsonl", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const recordsOf = <R>(file: string) =>
    readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .slice(1)
      .map((line) => JSON.parse(line) as R);

  it("has the figures of such questions, and says so", async () => {
    const records = join(folder, "chat.jsonl");
    const options = { data: folder, records, chat: true };
    const results = await evaluate(model, [choice, words], options);
    expect(results).toMatchObject([
      { task: "choice", chat: true },
      { task: "words", chat: true },
    ]);
    const kept = recordsOf<{ readonly task: string; readonly logprobs: number[] }>(records);
    const put = createConversation(model);
    for (const [i, { logprobs }] of kept.filter(({ task, logprobs }) => task === "choice" && logprobs).entries()) {
      const context = put({ description: "", question: rows[i]!.q, begun: "" });
      for (const [at, continuation] of ["on", "off"].entries()) {
        const { tokens, from } = encodePair(tokenizer, { context, continuation }, 64);
        const alone = await model.logprobs(tokens, { from });
        expect(logprobs[at]).toBe(alone.reduce((sum, value) => sum + value, 0));
      }
    }
    const answered = recordsOf<GenerationRecord>(records).filter(({ answers }) => answers !== undefined);
    expect(answered).toHaveLength(3);
    for (const [i, { answers }] of answered.entries()) {
      const prompt = encodePrompt(tokenizer, put({ description: "", question: rows[i]!.q, begun: "The" }));
      const { text } = await model.generate(prompt, { maxTokens: 5, temperature: 0 }).result;
      expect(answers[0]!.text).toBe(text);
    }
    expect(await evaluate(model, [choice, words], { ...options, onProgress: () => expect.fail() })).toEqual(results);
    await expect(evaluate(model, [choice], { data: folder, records })).rejects.toThrow(/are of other questions/);
  });

  it("refuses a model without a template, and texts that ask nothing", async () => {
    await expect(evaluate(plain, [choice], { data: folder, chat: true })).rejects.toThrow(
      /llama\.gguf has no chat template to ask by/,
    );
    await expect(evaluate(model, ["wikitext"], { data: folder, chat: true })).rejects.toThrow(
      /chat: the texts of wikitext ask nothing/,
    );
  });
});
