import fc from "fast-check";
import { expect, it } from "vitest";
import type { Engine } from "../engine/engine.ts";
import type { Steps } from "../tokenizer/steps.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { AnswerPart } from "./answer/parts.ts";
import { type PreparedGeneration, startGeneration } from "./generation.ts";
import { createGrammarCompiler } from "./grammars.ts";
import type { GenerateOptions } from "./types.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);

/** Tokens are pieces of UTF-8, cut anywhere; the engine says them one by one, and goes on a little after a cancellation. */
function place(pieces: readonly Uint8Array[]) {
  const tokenizer = {
    vocabSize: pieces.length,
    endOfGeneration: new Set<number>(),
    decoder() {
      const decoder = new TextDecoder();
      return { push: (id: number) => decoder.decode(pieces[id], { stream: true }), end: () => decoder.decode() };
    },
  } as Partial<Tokenizer> as Tokenizer;
  const engine = {
    generate(_, options) {
      for (const id of pieces.keys()) options?.onTokens?.([id], [{ token: id, logprob: -id, top: [] }]);
      const timings = { prefillSeconds: 1, decodeSeconds: 1, prefilledTokens: 1 };
      const counts = { promptTokens: 1, cachedTokens: 0, generatedTokens: pieces.length };
      return { result: Promise.resolve({ finishReason: "length", ...counts, timings }), cancel: () => undefined };
    },
  } as Partial<Engine> as Engine;
  return {
    engine,
    tokenizer,
    grammars: createGrammarCompiler(tokenizer),
    session: undefined,
    loadSeconds: 0,
    continuation: false,
  };
}

const ready = (options: GenerateOptions, reading?: PreparedGeneration["reading"]) => () => ({
  signal: options.signal,
  steps: (function* (): Steps<PreparedGeneration> {
    yield;
    return { tokens: Int32Array.of(1), options, ...(reading && { reading }) };
  })(),
});

it("gives whole characters, the same text however it is cut into tokens, and tokens that match it", async () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "é", "漢", "😀"), maxLength: 12 });
  const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "é", "😀"), minLength: 1, maxLength: 3 }), {
    maxLength: 2,
  });
  await fc.assert(
    fc.asyncProperty(letters, fc.array(fc.nat(4), { maxLength: 50 }), stops, async (text, cuts, stop) => {
      const bytes = new TextEncoder().encode(text);
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; ) {
        const size = cuts[pieces.length] ?? 1;
        pieces.push(bytes.subarray(at, at + size));
        at += size;
      }
      // Where the text, read character by character, first ends with a stop.
      const ends = Array.from({ length: text.length + 1 }, (_, end) => text.slice(0, end));
      const match = ends.find((prefix) => stop.some((each) => prefix.endsWith(each)));
      const longest = Math.max(0, ...stop.filter((each) => match?.endsWith(each)).map((each) => each.length));
      const expected = match === undefined ? text : match.slice(0, match.length - longest);

      const generation = startGeneration(place(pieces), ready({ stop, logprobs: 0 }));
      let streamed = "";
      const tokens: number[] = [];
      for await (const chunk of generation) {
        expect(chunk.text).not.toMatch(/\p{Surrogate}|\ufffd/u);
        expect(chunk.logprobs?.map(({ token }) => token)).toEqual(chunk.tokens);
        streamed += chunk.text;
        tokens.push(...chunk.tokens);
      }
      const result = await generation.result;
      expect(result).toMatchObject({ text: expected, finishReason: match === undefined ? "length" : "stop-string" });
      expect([streamed, tokens]).toEqual([result.text, result.tokens]);
      expect(tokens).toEqual(tokens.map((_, i) => i));
      // The tokens hold at least the text, and no token that lies wholly behind it.
      const size = tokens.reduce((sum, id) => sum + pieces[id]!.length, 0);
      expect(size).toBeGreaterThanOrEqual(new TextEncoder().encode(expected).length);
      if (match === undefined) expect(tokens).toHaveLength(pieces.length);
    }),
    { numRuns: 500 },
  );
});

it("leaves out the bytes of a character that a limit cut", async () => {
  for (const cut of [1, 2, 3]) {
    const result = await startGeneration(place([utf8("é"), utf8("😀").subarray(0, cut)]), ready({})).result;
    expect([result.text, result.tokens]).toEqual(["é", [0, 1]]);
  }
});

it("takes a token that the tokenizer has no piece for as saying nothing", async () => {
  const short = place([utf8("a"), utf8("b"), utf8("c")]);
  const tokenizer = { ...short.tokenizer, vocabSize: 2 };
  const result = await startGeneration({ ...short, tokenizer }, ready({})).result;
  expect([result.text, result.tokens]).toEqual(["ab", [0, 1, 2]]);
});

it("gives a failure on the way from tokens to text to whoever waits, and to nobody else", async () => {
  const broken = place([utf8("a")]);
  const tokenizer = {
    ...broken.tokenizer,
    decoder: () => ({
      push: () => {
        throw new Error("no text");
      },
      end: () => "",
    }),
  } as Tokenizer;
  const generation = startGeneration({ ...broken, tokenizer }, ready({}));
  await expect(generation.result).rejects.toThrow("no text");
  const read = async () => {
    for await (const chunk of generation) expect(chunk).toBeUndefined();
  };
  await expect(read()).rejects.toThrow("no text");
});

it("shows control tokens that are marks, and no others, to what tells an answer's parts apart", async () => {
  const pieces = ["<call>", "x", "<end>", "</call>"].map(utf8);
  const { tokenizer, ...rest } = place(pieces);
  const own = { ...tokenizer, bytes: (id: number) => (id === 1 ? pieces[1]! : new Uint8Array(0)) };
  const reader = { push: (text: string) => [{ type: "text", text, at: 0 } as const], end: () => [] };
  const reading = { reader, marks: new Set([0, 3]), mostCalls: 1 };
  const generation = startGeneration({ ...rest, tokenizer: own }, ready({}, reading));
  const { text, message, tokens } = await generation.result;
  expect([text, message?.text, tokens]).toEqual(["<call>x</call>", "<call>x</call>", [0, 1, 2, 3]]);
});

it("ends, cancelled, where nobody waits for it any more while it is prepared", async () => {
  for (const how of ["cancel", "signal"]) {
    const gone = new AbortController();
    let taken = 0;
    function* endless(): Steps<never> {
      for (;;) {
        taken++;
        const until = performance.now() + 1;
        while (performance.now() < until);
        yield;
      }
    }
    const generation = startGeneration(place([utf8("a")]), () => ({ signal: gone.signal, steps: endless() }));
    if (how === "cancel") generation.cancel();
    else gone.abort();
    const { finishReason, text, usage } = await generation.result;
    expect([finishReason, text, usage.promptTokens]).toEqual(["cancelled", "", 0]);
    expect(taken).toBeGreaterThan(0);
  }
});

it("ends with as many calls as are wanted", async () => {
  for (const [mostCalls, expected] of [
    [1, 1],
    [3, 3],
    [9, 5],
  ] as const) {
    let index = 0;
    const reader = {
      push: (name: string): AnswerPart[] =>
        name === ""
          ? []
          : [
              { type: "call", index, name },
              { type: "called", index: index++ },
            ],
      end: () => [],
    };
    const { tokenizer, ...rest } = place(["a", "b", "c", "d", "e"].map(utf8));
    const own = { ...tokenizer, bytes: () => utf8("a") };
    const reading = { reader, marks: new Set<number>(), mostCalls };
    const { message, tokens } = await startGeneration({ ...rest, tokenizer: own }, ready({}, reading)).result;
    expect([message?.calls.length, tokens.length]).toEqual([expected, expected]);
  }
});
