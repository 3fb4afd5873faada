import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { readTrainConfig } from "../src/train/config.ts";

const root = resolve(import.meta.dirname, "..");
const recipe = join(root, "train/default-model");
const corpus = resolve(root, "../shared/data/corpus");

interface Conversation {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

describe("recipe of the default model", () => {
  it("has configurations that the reader accepts, for the same model and tokenizer in both stages", () => {
    const [pretrain, tune] = ["pretrain.json", "tune.json"].map((name) => readTrainConfig(join(recipe, name)));
    expect(tune!.model).toEqual(pretrain!.model);
    expect(tune!.tokenizer).toBe(pretrain!.tokenizer);
    expect(tune!.initial).toBe(pretrain!.out);
    expect(existsSync(pretrain!.chatTemplate!)).toBe(true);
  });

  it("makes conversations of its own: all different, whole, in two languages, the same each time", async () => {
    const { makeConversations } = (await import(join(recipe, "conversations.mjs"))) as {
      makeConversations: (count: number, options?: { seed: number }) => Conversation[];
    };
    const made = makeConversations(1000);
    expect(makeConversations(1000)).toEqual(made);
    expect(makeConversations(1000, { seed: 8 })).not.toEqual(made);
    expect(new Set(made.map((entry) => JSON.stringify(entry))).size).toBe(1000);
    for (const { messages } of made) {
      expect(messages.length).toBeGreaterThan(0);
      for (const [index, { role, content }] of messages.entries()) {
        expect(role).toBe(index % 2 === 0 ? "user" : "assistant");
        expect(content).toMatch(/^[^{}]+$/);
        expect(content).not.toContain("undefined");
      }
    }
    const spanish = made.filter(({ messages }) => /[¿¡ñáéíóú]/.test(JSON.stringify(messages)));
    expect(spanish.length).toBeGreaterThan(250);
    expect(spanish.length).toBeLessThan(450);
    const sums = made.flatMap(({ messages }) =>
      messages.flatMap(({ content }, i) => {
        const asked = /^(?:What is |How much is )?(10|\d) (?:plus|and) (10|\d)\?$/.exec(content);
        return asked ? [{ sum: Number(asked[1]) + Number(asked[2]), answer: messages[i + 1]!.content }] : [];
      }),
    );
    expect(sums.length).toBeGreaterThan(10);
    for (const { sum, answer } of sums) expect(answer).toMatch(new RegExp(`\\b${sum}\\.$`));
  });

  it("makes stories in Spanish: all different, in whole words, the same each time", async () => {
    const { createChoice } = (await import(join(recipe, "conversations.mjs"))) as {
      createChoice: (seed: number) => unknown;
    };
    const { makeSpanishStories } = (await import(join(recipe, "spanish-stories.mjs"))) as {
      makeSpanishStories: (count: number, choice: unknown) => { hero: string; about?: string; text: string }[];
    };
    const made = makeSpanishStories(500, createChoice(1));
    expect(makeSpanishStories(500, createChoice(1))).toEqual(made);
    expect(new Set(made.map(({ text }) => text)).size).toBe(500);
    for (const { hero, about, text } of made) {
      expect(text).toContain(hero);
      // What a request asks for is told of, with its own article.
      if (about !== undefined && about !== "la lluvia") expect(text).toContain(about.replace(/^(un|una) /, ""));
      expect(text).not.toMatch(/undefined|[{}$]|\b[ad]e? el\b| {2}|\b(una [a-z]+o|un [a-z]+a) que (vivía|se llamaba)/);
      expect(text.length).toBeLessThan(850);
    }
  });

  const reason = existsSync(corpus) ? "" : " (skipped: ../shared/data/corpus is not there)";
  it.skipIf(reason !== "")(
    `prepares the data, with nothing held out in what is trained on${reason}`,
    async () => {
      const out = mkdtempSync(join(tmpdir(), "grok1-recipe-"));
      afterAll(() => rmSync(out, { recursive: true, force: true }));
      await promisify(execFile)(process.execPath, [join(recipe, "prepare.mjs"), corpus, out]);
      const read = (name: string) => readFileSync(join(out, name), "utf8");
      const texts = (name: string) =>
        read(name)
          .split("<|endoftext|>")
          .map((text) => text.trim())
          .filter(Boolean);
      const answers = new Set(
        read("story-requests.jsonl")
          .trimEnd()
          .split("\n")
          .flatMap((line) => (JSON.parse(line) as Conversation).messages.map(({ content }) => content)),
      );
      for (const name of ["tinystories", "fables"]) {
        const training = new Set(texts(`${name}.txt`));
        const heldOut = texts(`${name}-held-out.txt`);
        expect(heldOut.length).toBeGreaterThan(100);
        expect(heldOut.filter((text) => training.has(text) || answers.has(text))).toEqual([]);
      }
      const credits = read("ATTRIBUTIONS.md");
      expect(credits.split("\n").filter((line) => line.startsWith("- "))).toHaveLength(
        texts("african-storybook-en.txt").length + texts("african-storybook-es.txt").length,
      );
      expect(credits).not.toMatch(/BY-NC/);
    },
    120_000,
  );
});
