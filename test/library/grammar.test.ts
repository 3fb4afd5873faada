import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createNumbers } from "../../src/grammar/grammar.case.ts";
import { randomSchema } from "../../src/grammar/json-schema/random-schema.case.ts";
import { type GenerateOptions, GrokError, type LanguageModel, loadModel } from "../../src/index.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

let model: LanguageModel;
beforeAll(async () => {
  model = await loadModel(join(root, "models/grok1-stories-q8_0.gguf"), { speculate: { always: true } });
});
afterAll(() => model.close());

const question = [{ role: "user", content: "Tell me of a dog." }];
const ask = (options: GenerateOptions) => model.chat(question, { maxTokens: 400, seed: 1, ...options }).result;
const hot = { temperature: 1.5, topK: 0, topP: 1, minP: 0 };

const dog = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 12 },
    age: { type: "integer", minimum: 0, maximum: 20 },
    colour: { enum: ["brown", "black", "white"] },
    tricks: { type: "array", items: { type: "string", maxLength: 8 }, minItems: 1, maxItems: 3 },
  },
  required: ["name", "age", "colour", "tricks"],
  additionalProperties: false,
};
const isDog = new Ajv2020().compile(dog);

describe("an answer that follows a grammar", () => {
  it("is valid by 40 random schemas, however hot", { timeout: 120_000 }, async () => {
    const random = createNumbers(9);
    const judge = new Ajv2020({ strict: false, logger: false });
    const schemas = Array.from({ length: 40 }, () => randomSchema(random, 2));
    const answers = await Promise.all(
      schemas.map(async (schema, seed) => {
        const asking = ask({ ...hot, maxTokens: 250, seed, grammar: { schema } });
        const result = await asking.catch((error: unknown) => error);
        if (!(result instanceof GrokError)) return { schema, result: result as Awaited<typeof asking> };
        expect(result).toMatchObject({
          code: "unsupported",
          message: expect.stringMatching(/^schema #|allows no text/),
        });
        return undefined;
      }),
    );
    const whole = answers.filter((answer) => answer?.result.finishReason === "stop");
    for (const answer of whole) {
      const { schema, result } = answer!;
      expect([schema, result.text, judge.validate(schema, JSON.parse(result.text))]).toEqual([
        schema,
        result.text,
        true,
      ]);
    }
    expect(whole.length).toBeGreaterThan(20);
  });

  it.each([
    ["greedy", { temperature: 0 }],
    ["hot", hot],
    ["with little to choose from", { ...hot, topK: 2 }],
    ["with penalties", { ...hot, repetitionPenalty: 1.5, frequencyPenalty: 1, presencePenalty: 1 }],
    ["with a bias", { ...hot, logitBias: { 300: 5 } }],
    ["by a beam search", { beams: 3 }],
    ["past the end of a text", { ...hot, ignoreEnd: true }],
  ])("is whole: %s", async (_, options: GenerateOptions) => {
    const { text, finishReason } = await ask({ ...options, grammar: { schema: dog } });
    expect([text, isDog(JSON.parse(text)), finishReason]).toEqual([text, true, "stop"]);
  });

  it("is the same with drafts and without, and beside others", async () => {
    const grammar = { schema: dog };
    const alone = await ask({ temperature: 0, grammar, speculate: false });
    const [first, free, second] = await Promise.all([
      ask({ temperature: 0, grammar }),
      ask({ temperature: 0, maxTokens: 30 }),
      ask({ temperature: 0, grammar }),
    ]);
    expect([first.text, second.text]).toEqual([alone.text, alone.text]);
    expect(free.text).not.toMatch(/^\{/);
    const drawn = await ask({ ...hot, grammar, speculate: false });
    expect((await ask({ ...hot, grammar })).text).toBe(drawn.text);
  });

  it.each([
    [
      "a regular expression",
      { regex: "(A|The) (dog|cat)( [a-z]{1,8}){2}\\." },
      /^(A|The) (dog|cat)( [a-z]{1,8}){2}\.$/,
    ],
    [
      "GBNF",
      { gbnf: 'root ::= "- " item ("\\n- " item){2}\nitem ::= [a-z]{2,6}' },
      /^- [a-z]{2,6}(\n- [a-z]{2,6}){2}$/,
    ],
    ["any of some", { choice: [{ text: "yes" }, { text: "no" }] }, /^(yes|no)$/],
    [
      "parts",
      { sequence: [{ until: "." }, { text: "<" }, { repeat: { text: "a" }, min: 2, max: 3 }, { text: ">" }] },
      /^[^.]*\.<a{2,3}>$/s,
    ],
  ])("is what %s says", async (_, grammar, expected) => {
    expect((await ask({ ...hot, topK: 40, grammar })).text).toMatch(expected);
  });

  it("gives the model's own probabilities, as without a grammar", async () => {
    const { tokens, logprobs } = await ask({ temperature: 0, grammar: { regex: "[A-Z][a-z ]{8}" }, logprobs: 1 });
    expect(logprobs!.map(({ token }) => token)).toEqual(tokens);
    const prompt = model.encodeChat(question);
    const scored = await model.logprobs([...prompt, ...tokens], { from: prompt.length });
    for (const [i, { logprob }] of logprobs!.entries()) expect(logprob).toBeCloseTo(scored[i]!, 4);
  });

  it("goes on after a text of the caller's, in its middle", async () => {
    const { text } = await model.generate("The answer is", { ...hot, seed: 3, grammar: { regex: " (yes|no)" } }).result;
    expect(text).toMatch(/^ (yes|no)$/);
  });

  it("ends with a stop text, a limit, or who cancels, as others do", async () => {
    const grammar = { regex: "[ab]{1000}" };
    expect(await ask({ ...hot, grammar, maxTokens: 5 })).toMatchObject({
      finishReason: "length",
      usage: { completionTokens: 5 },
    });
    expect((await ask({ ...hot, grammar, stop: "ab" })).finishReason).toBe("stop-string");
    const generation = model.chat(question, { ...hot, grammar: { json: true } });
    generation.cancel();
    expect((await generation.result).finishReason).toBe("cancelled");
  });
});

describe("a grammar", () => {
  it.each([
    [{ schema: { not: {} } }, "unsupported", /schema #\/not: not is not supported/],
    [{ regex: "(" }, "argument", /regular expression/],
    [{ gbnf: "root ::= x" }, "argument", /there is no rule x/],
    [{ json: true, regex: "a" }, "argument", /expected one of json, schema/],
    [{ grammar: "a" }, "argument", /expected one of/],
    ["json", "argument", /grammar is the text "json", expected an object/],
    [{ regex: "a".repeat(600_000) }, "unsupported", /at most 524288 are read/],
    [{ sequence: "a" }, "argument", /sequence is the text "a", expected a list/],
    [{ repeat: { text: "a" }, min: -1 }, "argument", /min is -1/],
    [{ repeat: { text: "a" }, min: 3, max: 1 }, "argument", /min 3/],
    [{ until: "" }, "argument", /until is empty/],
  ])("that is wrong is refused, and the next one is not: %#", async (grammar, code, message) => {
    const refused = ask({ grammar: grammar as never });
    await expect(refused).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect((await ask({ grammar: { text: "ok" } })).text).toBe("ok");
  });

  it.each([
    [
      "references that double",
      {
        $ref: "#/$defs/a0",
        $defs: Object.fromEntries(
          Array.from({ length: 60 }, (_, i) => [
            `a${i}`,
            i === 59 ? { type: "null" } : { allOf: [{ $ref: `#/$defs/a${i + 1}` }, { $ref: `#/$defs/a${i + 1}` }] },
          ]),
        ),
      },
    ],
    [
      "alternatives that multiply",
      { allOf: Array.from({ length: 30 }, (_, i) => ({ anyOf: [{ minimum: i }, { maximum: i }] })) },
    ],
    [
      "objects in objects",
      Array.from({ length: 28 }).reduce<object>((inner) => ({ properties: { a: inner }, required: ["a"] }), {}),
    ],
    [
      "large counts",
      {
        type: "array",
        items: { type: "array", items: { type: "string", minLength: 5e8 }, minItems: 9e8 },
        minItems: 1e9,
      },
    ],
    [
      "patterns beside each other",
      { allOf: Array.from({ length: 12 }, (_, i) => ({ type: "string", pattern: `.*a.{${i + 5}}b` })) },
    ],
    ["one pattern of many states", { type: "string", pattern: "(a|b)*a(a|b){40}$", minLength: 41 }],
    [
      "many properties",
      {
        type: "object",
        properties: Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`p${i}`, { type: "string" }])),
      },
    ],
    ["many values", { enum: Array.from({ length: 9000 }, (_, i) => `v${i}`) }],
  ])("that is made to take long does not: %s", { timeout: 30_000 }, async (_, schema) => {
    const result = await ask({ ...hot, maxTokens: 12, grammar: { schema } }).catch((error: unknown) => error);
    if (result instanceof Error) expect(result).toMatchObject({ name: "GrokError", code: "unsupported" });
    else expect(result).toMatchObject({ finishReason: expect.stringMatching(/^(length|stop)$/) });
  });
});
