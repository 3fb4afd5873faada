import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createChat, type GrokError, type LanguageModel, loadModel } from "../../src/index.ts";

// The engine's thread is the compiled one: `npm test` builds it first.
const root = fileURLToPath(new URL("../..", import.meta.url));
const baby = join(root, "test/vectors/models/grok-1.gguf");
const run = promisify(execFile);

let model: LanguageModel;
beforeAll(async () => {
  model = await loadModel(baby, { backend: "reference" });
});
afterAll(() => model.close());

const greedy = { temperature: 0, ignoreEnd: true } as const;

describe("a model on its thread", () => {
  it("streams what its result says, and the same again", async () => {
    const generation = model.generate("abc", { ...greedy, maxTokens: 12, logprobs: 2 });
    let text = "";
    const tokens: number[] = [];
    for await (const chunk of generation) {
      text += chunk.text;
      tokens.push(...chunk.tokens);
    }
    const result = await generation.result;
    expect(result).toMatchObject({ text, tokens, finishReason: "length", usage: { completionTokens: 12 } });
    expect(result.logprobs!.map(({ token }) => token)).toEqual(tokens);
    expect((await model.generate("abc", { ...greedy, maxTokens: 12 }).result).text).toBe(text);
  });

  it("generates by its own logits", async () => {
    const prompt = model.encode("abc");
    const { tokens, logprobs } = await model.generate(prompt, { ...greedy, maxTokens: 6, logprobs: 0 }).result;
    const all = [...prompt, ...tokens];
    const { logits, layers } = await model.logits(all, { layers: true });
    const { vocab } = model.info;
    for (const [i, token] of tokens.entries()) {
      const at = prompt.length + i - 1;
      const row = logits.values.slice(at * vocab, (at + 1) * vocab);
      expect(row.indexOf(Math.max(...row))).toBe(token);
    }
    const { config } = model.description;
    expect(layers.get("hidden.0")?.shape).toEqual([all.length, config!.width]);
    expect(layers.get("router.1")?.shape).toEqual([all.length, config!.experts]);
    expect(layers.get("experts.1")?.values).toBeInstanceOf(Int32Array);
    const scores = await model.logprobs(all, { from: prompt.length });
    for (const [i, score] of scores.entries()) expect(score).toBeCloseTo(logprobs![i]!.logprob, 4);
  });

  it("gives many at once what each gets alone", async () => {
    const prompts = ["a", "hello there", "0123456789", "zz"];
    const alone: string[] = [];
    for (const prompt of prompts) alone.push((await model.generate(prompt, { ...greedy, maxTokens: 8 }).result).text);
    const together = await Promise.all(
      prompts.map((prompt) => model.generate(prompt, { ...greedy, maxTokens: 8 }).result),
    );
    expect(together.map(({ text }) => text)).toEqual(alone);
  });

  it("scores many texts beside an answer as each alone, bit for bit", async () => {
    for (const name of ["grok-1", "llama"]) {
      // With the addon, where it is there: its kernels take many rows by other ways than one.
      await using quick = await loadModel(join(root, `test/vectors/models/${name}.gguf`), { batchTokens: 48 });
      const beginning = Array.from({ length: 40 }, (_, i) => (7 * i) % quick.info.vocab);
      const texts = Array.from({ length: 12 }, (_, i) => {
        const own = Array.from({ length: 3 + (i % 5) }, (_, j) => (i * j + i) % quick.info.vocab);
        return { tokens: [...beginning.slice(0, i % 3 === 0 ? 40 : 25), ...own], from: 1 + 7 * (i % 4) };
      });
      const alone: Float64Array[] = [];
      for (const { tokens, from } of texts) alone.push(await quick.logprobs(tokens, { from }));
      const answer = quick.generate(beginning, { ...greedy, maxTokens: 20 });
      const seen: number[] = [];
      const together = await quick.score(texts, { onScored: (index) => seen.push(index) });
      expect(together).toEqual(alone);
      expect(seen.sort((a, b) => a - b)).toEqual(texts.map((_, i) => i));
      await answer.result;
      const failing = quick.score(texts, {
        onScored: () => {
          throw new RangeError("told too much");
        },
      });
      await expect(failing).rejects.toThrow("told too much");
      const { freePages, pages } = await quick.status();
      expect(freePages).toBe(pages);
    }
  });

  it("cancels by break, by signal and by hand, and gets its memory back", async () => {
    const controller = new AbortController();
    const [first, second, third] = [
      model.generate("a", greedy),
      model.generate("b", { ...greedy, signal: controller.signal }),
      model.generate("c", greedy),
    ];
    for await (const _ of first!) break;
    controller.abort();
    third!.cancel();
    const results = await Promise.all([first, second, third].map((generation) => generation!.result));
    expect(results.map(({ finishReason }) => finishReason)).toEqual(["cancelled", "cancelled", "cancelled"]);
    const early = await model.generate("a", { signal: AbortSignal.abort() }).result;
    expect(early).toMatchObject({ text: "", finishReason: "cancelled" });
    const status = await model.status();
    expect(status).toMatchObject({ sessions: 0, requests: 0, freePages: status.pages });
  });

  it("ends at a stop string that spans tokens", async () => {
    const whole = await model.generate("abc", { ...greedy, maxTokens: 16 }).result;
    const middle = Math.floor(whole.text.length / 2);
    const stop = whole.text.slice(middle, middle + 3);
    const cut = await model.generate("abc", { ...greedy, maxTokens: 16, stop, logprobs: 0 }).result;
    expect(cut.finishReason).toBe("stop-string");
    expect(cut.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
    expect(cut.logprobs).toHaveLength(cut.tokens.length);
  });

  it("says with typed errors what cannot be", async () => {
    const code = (promise: Promise<unknown>) =>
      promise.then(
        () => "none",
        (error: GrokError) => error.code,
      );
    expect(await code(model.generate("x".repeat(100_000)).result)).toBe("capacity");
    expect(await code(model.generate([1], { topP: 3 }).result)).toBe("argument");
    expect(await code(model.generate([1], { stop: "" }).result)).toBe("argument");
    // An array of int32 would make 1 of it.
    expect(await code(model.generate([1.5]).result)).toBe("argument");
    expect(await code(model.generate(5 as never).result)).toBe("argument");
    expect(await code(model.generate([1], { stop: 5 as never }).result)).toBe("argument");
    await expect(model.generate([1], { signal: {} as never }).result).rejects.toMatchObject({ code: "argument" });
    expect((await model.status()).requests).toBe(0);
    expect(await code(model.chat([]).result)).toBe("argument");
    expect(await code(loadModel(join(root, "missing.gguf")))).toBe("io");
    expect(await code(loadModel(join(root, "package.json")))).toBe("format");
    for (const path of [undefined, "", 7]) expect(await code(loadModel(path as never))).toBe("argument");
    expect(await code(loadModel(baby, { contextLength: 1e9 }))).toBe("argument");
    expect(await code(loadModel(baby, { backend: "nope" as never }))).toBe("argument");
    expect(await code(loadModel(baby, { speculate: "x" as never }))).toBe("argument");
    expect(await code(loadModel(baby, { contextLength: (() => 1) as never }))).toBe("argument");
    await expect(loadModel(baby, { contextSize: 64 } as never)).rejects.toMatchObject({
      ...{ code: "argument", details: { option: "contextSize", nearest: "contextLength" } },
    });
    await expect(model.generate([1], { tempreature: 0 } as never).result).rejects.toMatchObject({
      ...{ code: "argument", details: { option: "tempreature", nearest: "temperature" } },
    });
    expect(await code(model.logits([1.5]))).toBe("argument");
    expect(await code(model.logprobs([1, 2 ** 32 + 1]))).toBe("argument");
    const closed = await loadModel(baby, { backend: "reference" });
    const running = closed.generate("a", greedy).result;
    await Promise.all([closed.close(), expect(running).rejects.toMatchObject({ code: "cancelled" })]);
    expect(await code(closed.generate("a").result)).toBe("argument");
    expect(() => closed.session()).toThrow(expect.objectContaining({ code: "argument" }));
  });

  it("keeps a conversation, and its cache", async () => {
    await using chat = createChat(model, { system: "s", ...greedy, maxTokens: 4 });
    const first = await chat.send("hi").result;
    const second = await chat.send("yo").result;
    expect(chat.messages.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user", "assistant"]);
    expect(chat.messages[2]!.content).toBe(first.text);
    expect(second.usage.cachedTokens).toBeGreaterThan(10);
    chat.reset();
    expect(chat.messages).toEqual([{ role: "system", content: "s" }]);
  });

  it("answers in order what is sent before the answer is there", async () => {
    const ask = async (together: boolean) => {
      await using chat = createChat(model, { ...greedy, maxTokens: 4 });
      const sent = [];
      for (const text of ["hi", "yo", "so"]) {
        sent.push(chat.send(text));
        if (!together) await sent.at(-1)!.result;
      }
      let streamed = "";
      for await (const { text } of sent[2]!) streamed += text;
      expect(streamed).toBe((await sent[2]!.result).text);
      return chat.messages;
    };
    const messages = await ask(true);
    expect(messages).toHaveLength(6);
    expect(messages).toEqual(await ask(false));
    // One that is cancelled while it waits, and one that fails, do not hold up the next.
    await using chat = createChat(model, { ...greedy, maxTokens: 4 });
    const [first, second, third, last] = ["a", "b", "c", "d"].map((text, i) =>
      chat.send(text, i === 2 ? { topP: 3 } : {}),
    );
    second!.cancel();
    await expect(third!.result).rejects.toMatchObject({ code: "argument" });
    expect((await first!.result).finishReason).toBe("length");
    expect((await second!.result).finishReason).toBe("cancelled");
    expect((await last!.result).finishReason).toBe("length");
    expect(chat.messages.filter(({ role }) => role === "user").map(({ content }) => content)).toEqual(["a", "b", "d"]);
  });

  it("forks a session", async () => {
    await using session = model.session();
    const prompt = [...model.encode("abcdef")];
    await session.generate(prompt, { maxTokens: 0 }).result;
    await using other = session.fork();
    const [a, b] = await Promise.all([
      session.generate([...prompt, 70], { ...greedy, maxTokens: 5 }).result,
      other.generate([...prompt, 80], { ...greedy, maxTokens: 5 }).result,
    ]);
    expect([a.usage.cachedTokens, b.usage.cachedTokens]).toEqual([prompt.length, prompt.length]);
    expect(b.tokens).toEqual((await model.generate([...prompt, 80], { ...greedy, maxTokens: 5 }).result).tokens);
  });
});

describe("a program of its own", () => {
  it("runs the documented example, and a forgotten model does not keep it alive", async () => {
    const folder = mkdtempSync(join(tmpdir(), "grok1-library-"));
    try {
      const [example] = /(?<=```ts\n)[\s\S]*?(?=```)/.exec(readFileSync(join(root, "docs/library.md"), "utf8"))!;
      writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
      symlinkSync(baby, join(folder, "model.gguf"));
      const here = JSON.stringify(new URL("../../dist/index.js", import.meta.url).href);
      const program = example!.replace('"grok1"', here);
      writeFileSync(join(folder, "example.js"), program);
      writeFileSync(join(folder, "forgotten.js"), program.replace("await model.close();", ""));
      for (const name of ["example.js", "forgotten.js"]) {
        const { stdout } = await run(process.execPath, [name], { cwd: folder, timeout: 20_000 });
        expect(stdout).toMatch(/\n\[(length|stop), \d+ tokens\]\n$/);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
