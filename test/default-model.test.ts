import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
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

interface Story {
  readonly topics: readonly string[];
  readonly text: string;
}

describe("recipe of the default model", () => {
  it("has configurations that the reader accepts, for the same model and tokenizer in all stages", () => {
    const stages = ["pretrain.json", "tune.json", "polish.json"].map((name) => readTrainConfig(join(recipe, name)));
    const [pretrain] = stages;
    for (const [i, stage] of stages.slice(1).entries()) {
      expect(stage.model).toEqual(pretrain!.model);
      expect(stage.tokenizer).toBe(pretrain!.tokenizer);
      expect(stage.initial).toBe(stages[i]!.out);
    }
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

  it("expands every template of its stories: whole, about what a request names, the same each time", async () => {
    const { createChoice } = (await import(join(recipe, "conversations.mjs"))) as {
      createChoice: (seed: number) => unknown;
    };
    const { parseTemplates, makeStories } = (await import(join(recipe, "story-templates.mjs"))) as {
      parseTemplates: (content: string, source: string) => unknown[];
      makeStories: (templates: unknown[], language: string, count: number, choice: unknown) => Story[];
    };
    for (const [language, least] of [
      ["en", 150],
      ["es", 75],
    ] as const) {
      const templates = readdirSync(join(recipe, "stories"))
        .filter((name) => name.startsWith(`${language}-`))
        .flatMap((name) => parseTemplates(readFileSync(join(recipe, "stories", name), "utf8"), name));
      expect(templates.length).toBeGreaterThan(least);
      const count = templates.length * 8;
      const made = makeStories(templates, language, count, createChoice(1));
      expect(makeStories(templates, language, count, createChoice(1))).toEqual(made);
      expect(new Set(made.map(({ text }) => text)).size).toBe(count);
      for (const { topics, text } of made) {
        expect(text).not.toMatch(/undefined|[[\]{}|$]| {2}|(?<!\p{L})(?:de|a) el\b| [.,!?]/u);
        if (language === "en") expect(text).toMatch(/^[\x20-\x7e\n]+$/);
        expect(text.match(/"/g)?.length ?? 0, text).toSatisfy((quotes: number) => quotes % 2 === 0);
        expect(text.length, text).toBeGreaterThan(350);
        expect(text.length, text).toBeLessThan(1150);
        // What a request asks for is told of: the nouns of the topic, without their articles.
        for (const topic of topics) {
          const [first] = topic.split(/ (?:who|that|que|which|with|in|on|at|of|from|for|to|en) /);
          for (const part of first!.split(/ (?:and|y|con) /)) {
            expect(text.toLowerCase()).toContain(part.toLowerCase().replace(/^(an?|the|una?|el|la|los|las) /, ""));
          }
        }
      }
    }
  });

  it("names the place of a fault in a template", async () => {
    const { parseTemplates, expandTemplate } = await import(join(recipe, "story-templates.mjs"));
    const { createChoice } = await import(join(recipe, "conversations.mjs"));
    const expand = (content: string, language = "en") =>
      expandTemplate(parseTemplates(content, "file.txt")[0], language, createChoice(1));
    expect(() => expand("about: {a hero}\n\n{A hero} saw {a thing}.")).toThrow(
      'file.txt, template 1: there is no slot "{a thing}"',
    );
    expect(() => expand("about: {un hero}\n\n{A hero} saltó.", "es")).toThrow('there is no slot "{A hero}"');
    expect(() => expand("about: {a hero}\n\n{A hero} [ran|sat.")).toThrow("brackets are nested or not closed");
    expect(() => parseTemplates("hero: cat\n\nThe cat.", "file.txt")).toThrow(
      'file.txt, template 1: expected "about:"',
    );
    expect(() => parseTemplates("about {a hero}\n\nText", "file.txt")).toThrow('expected "key: alternatives"');
    expect(() => parseTemplates("about: {a hero} |\n\nText", "file.txt")).toThrow('an alternative of "about" is empty');
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
        ["story-requests.jsonl", "conversations.jsonl", "conversations-own.jsonl"]
          .flatMap((name) => read(name).trimEnd().split("\n"))
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
