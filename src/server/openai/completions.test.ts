import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LanguageModel } from "../../generate/types.ts";
import { type Any, drawn, eventsOf, json, libraryDrawn, startTestServer, type TestServer } from "../app.case.ts";

const vectors = resolve(import.meta.dirname, "../../../test/vectors/models");
const files = { llama: join(vectors, "llama.gguf"), mixtral: join(vectors, "mixtral.gguf") };

let server: TestServer;
let model: LanguageModel;
beforeAll(async () => {
  server = startTestServer(files);
  model = await server.model();
});
afterAll(() => server[Symbol.asyncDispose]());

describe("completions", () => {
  it("answer texts and tokens, each in its place", async () => {
    const prompts = ["One day", "Once"];
    const results = [];
    for (const prompt of prompts) results.push(await model.generate(prompt, { ...libraryDrawn, logprobs: 1 }).result);
    const byText = await json(await server.post("/v1/completions", { prompt: prompts, ...drawn, logprobs: 1 }));
    expect(byText.choices.map(({ text }: { text: string }) => text)).toEqual(results.map(({ text }) => text));
    expect(byText.usage.prompt_tokens).toBe(results.reduce((sum, { usage }) => sum + usage.promptTokens, 0));
    const { tokens, token_logprobs: values, text_offset: offsets } = byText.choices[0].logprobs;
    expect(values).toEqual(results[0]!.logprobs!.map(({ logprob }) => logprob));
    expect(offsets[1]).toBe(tokens[0].length);
    const ids = prompts.map((prompt) => [...model.encode(prompt)]);
    const byTokens = await json(await server.post("/v1/completions", { prompt: ids, ...drawn }));
    expect(byTokens.choices.map(({ text }: { text: string }) => text)).toEqual(results.map(({ text }) => text));
  });

  it("give prompts back with what the model thought of them, as whole logits say", async () => {
    const prompts = ["One day, ¿qué?", "One day, ¿qué? Nobody knew 🙂."];
    const request = { prompt: prompts, echo: true, logprobs: 2, max_tokens: 1, temperature: 0 };
    const { choices } = await json(await server.post("/v1/completions", request));
    for (const [i, prompt] of prompts.entries()) {
      const ids = [...model.encode(prompt)];
      const logits = (await model.logits(ids)).logits.values;
      const { tokens, token_logprobs: values, top_logprobs: top, text_offset: offsets } = choices[i].logprobs;
      const text = model.tokenizer.decode(ids);
      expect(choices[i].text.startsWith(text)).toBe(true);
      expect(values).toHaveLength(ids.length + 1);
      expect([values[0], top[0], offsets[0]]).toEqual([null, null, 0]);
      // What begins at an offset is what the tokens before it spell.
      for (const [at, offset] of offsets.slice(0, ids.length).entries()) {
        const before = model.tokenizer.decode(ids.slice(ids[0] === model.tokenizer.bos ? 1 : 0, at));
        if (!before.includes("\ufffd")) expect(text.slice(0, offset)).toBe(before);
      }
      const width = model.info.vocab;
      for (const [at, id] of ids.entries()) {
        if (at === 0) continue;
        const row = [...logits.subarray((at - 1) * width, at * width)];
        const most = Math.max(...row);
        const normalizer = most + Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0));
        expect(values[at]).toBeCloseTo(row[id]! - normalizer, 5);
        expect(Math.max(...(Object.values(top[at]) as number[]))).toBeCloseTo(most - normalizer, 5);
        // A name stands for the same token in both lists: who asks whether the likeliest was taken compares them.
        if (row[id] === most) expect(top[at][tokens[at]]).toBeCloseTo(values[at], 9);
      }
    }
    const alone = await json(await server.post("/v1/completions", { ...request, max_tokens: 0, logprobs: null }));
    expect(alone.choices.map(({ text }: { text: string }) => text)).toEqual(
      prompts.map((prompt) => model.tokenizer.decode([...model.encode(prompt)])),
    );
    expect(alone.choices[0].logprobs).toBe(null);
  });

  it("list the token that ended an answer as the last, however it ended, in a stream too", async () => {
    const { tokenizer } = model;
    const ids = [...model.encode("One day")];
    const [first, second] = (await model.generate("One day", { temperature: 0, maxTokens: 2 }).result).tokens;
    const end = [...tokenizer.endOfGeneration][0]!;
    const row = [...(await model.logits(ids)).logits.values].slice(-model.info.vocab);
    const most = Math.max(...row);
    const logprob = (id: number) => row[id]! - most - Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0));
    const name = (id: number) => tokenizer.decode([id], { special: true }) || tokenizer.piece(id);
    const cases = [
      { more: { max_tokens: 1 }, finish: "length", tokens: [first!] },
      { more: { logit_bias: { [end]: 100 }, max_tokens: 1 }, finish: "stop", tokens: [end] },
      { more: { logit_bias: { [end]: 100 }, max_tokens: 1, ignore_eos: true }, finish: "length", tokens: [end] },
      { more: { stop: tokenizer.decode([first!]) }, finish: "stop", tokens: [first!] },
      { more: { max_tokens: 2 }, finish: "length", tokens: [first!, second!] },
      { more: { max_tokens: 0 }, finish: "length", tokens: [] },
    ];
    for (const { more, finish, tokens } of cases) {
      const request = { prompt: "One day", temperature: 0, logprobs: 1, ...more };
      const [echoed] = (await json(await server.post("/v1/completions", { ...request, echo: true }))).choices;
      const [plain] = (await json(await server.post("/v1/completions", request))).choices;
      expect([plain.finish_reason, plain.logprobs.tokens]).toEqual([finish, tokens.map(name)]);
      const lists = Object.values(echoed.logprobs) as unknown[][];
      expect(lists.map((list) => list.length)).toEqual(lists.map(() => ids.length + tokens.length));
      expect(echoed.logprobs.tokens.slice(ids.length)).toEqual(plain.logprobs.tokens);
      expect(echoed.logprobs.token_logprobs.slice(ids.length)).toEqual(plain.logprobs.token_logprobs);
      if (tokens.length > 0) {
        expect(plain.logprobs.token_logprobs[0]).toBeCloseTo(logprob(tokens[0]!), 5);
        expect(echoed.logprobs.text_offset[ids.length]).toBe(tokenizer.decode(ids).length);
      }
      const events = (await eventsOf(await server.post("/v1/completions", { ...request, stream: true }))) as Any[];
      const pieces = events.flatMap(({ choices }) => choices?.flatMap((choice: Any) => choice.logprobs ?? []) ?? []);
      const joined = (field: string) => pieces.flatMap((piece) => piece[field]);
      for (const field of Object.keys(plain.logprobs)) expect(joined(field)).toEqual(plain.logprobs[field]);
    }
  });

  it("are streamed of several prompts as they come whole", async () => {
    const request = { prompt: ["One day", "The cat"], n: 2, seed: 3, max_tokens: 6, ignore_eos: true };
    const whole = await json(await server.post("/v1/completions", request));
    const streamed = { ...request, stream: true, stream_options: { include_usage: true } };
    const events = (await eventsOf(await server.post("/v1/completions", streamed))) as Any[];
    const texts = ["", "", "", ""];
    for (const { choices } of events) for (const { index, text } of choices ?? []) texts[index] += text;
    expect(texts).toEqual(whole.choices.map(({ text }: Any) => text));
    const { prompt_tokens_details: _, ...usage } = events.find((event) => event.usage)!.usage;
    expect(whole.usage).toMatchObject(usage);
  });

  it("say what of a prompt is neither text nor tokens", async () => {
    for (const prompt of [[1, -1], [[1], [0.5]], 5]) {
      const { status, error } = await json(await server.post("/v1/completions", { prompt }));
      expect([status, error.param]).toEqual([400, expect.stringMatching(/^prompt/)]);
      expect(error.message).toMatch(/^prompt.*: (is .*, )?expected .*list of token ids/);
    }
  });

  it("are 16 tokens long where nobody says more", async () => {
    const { usage } = await json(
      await server.post("/v1/completions", { prompt: "One day", seed: 1, ignore_eos: true }),
    );
    expect(usage.completion_tokens).toBe(16);
  });
});
