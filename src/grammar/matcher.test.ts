import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import { openTokenizer } from "../tokenizer/open.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { createAutomaton, dead } from "./automaton.ts";
import { compileGrammar } from "./compile.ts";
import { createNumbers } from "./grammar.case.ts";
import type { Grammar } from "./grammar.ts";
import { createTokenGrammar, type Matcher } from "./matcher.ts";
import { createTokenTrie } from "./token-trie.ts";
import { createVocabulary } from "./vocabulary.ts";

const root = resolve(import.meta.dirname, "../..");
const shared = resolve(root, "../shared/data/tokenizer/tokenizer.model");

function fromGguf(name: string): Tokenizer {
  const path = resolve(root, "test/vectors/models", name);
  const file = openGguf(path);
  try {
    return tokenizerFromGguf(file.metadata, path);
  } finally {
    file.close();
  }
}

const tokenizers: readonly (readonly [string, () => Tokenizer])[] = [
  ["SentencePiece", () => fromGguf("mixtral.gguf")],
  ["the package's own model", () => openTokenizer(resolve(root, "models/grok1-stories-q8_0.gguf"))],
  [
    "a SentencePiece model without a space in front",
    () => openTokenizer(resolve(root, "test/vectors/tokenizer/sp-bpe-raw.model")),
  ],
];

async function grammarOf(tokenizer: Tokenizer, grammar: Grammar, ends = [...tokenizer.endOfGeneration]) {
  const vocabulary = createVocabulary(await createTokenTrie(tokenizer), tokenizer.vocabSize + 5);
  return createTokenGrammar(compileGrammar(grammar), vocabulary, ends);
}

const allowedIds = (matcher: Matcher): number[] => {
  const mask = matcher.allowed();
  return Array.from({ length: mask.length * 32 }, (_, id) => id).filter((id) => (mask[id >> 5]! >>> (id & 31)) & 1);
};

const schema: Grammar = {
  schema: {
    type: "object",
    properties: {
      name: { type: "string", maxLength: 20 },
      word: { type: "string", pattern: "^[a-z]{1,9}$" },
      count: { type: "integer", minimum: -20, maximum: 500 },
      free: {},
    },
    required: ["name", "count"],
    additionalProperties: { type: "string" },
  },
};
const grammars: readonly Grammar[] = [schema, { json: true }, { regex: "[^x]{3,12}|\\s*é+" }, { until: "the" }];

describe.each(tokenizers)("tokens of %s", (_, open) => {
  it("may come where their bytes may, one by one", async () => {
    const tokenizer = open();
    const random = createNumbers(7);
    const loses = tokenizer.info.addDummyPrefix === true || tokenizer.info.removeExtraWhitespaces === true;
    for (const grammar of grammars) {
      const automaton = createAutomaton(compileGrammar(grammar));
      const follow = (state: number, bytes: Uint8Array) => {
        let at = state;
        for (const byte of bytes) if (at !== dead) at = automaton.next(at, byte);
        return at;
      };
      const tokens = await grammarOf(tokenizer, grammar);
      for (const afterText of [true, false]) {
        const matcher = tokens.begin(afterText);
        let state = automaton.start;
        for (let step = 0; step < 25; step++) {
          const bytesOf = (id: number) => {
            const bytes = tokenizer.bytes(id);
            return step === 0 && !afterText && loses && bytes[0] === 0x20 ? bytes.subarray(1) : bytes;
          };
          const expected = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) => {
            if (tokenizer.endOfGeneration.has(id)) return automaton.mayEnd(state);
            return (
              id !== tokenizer.unknown &&
              bytesOf(id).length > 0 &&
              bytesOf(id)[0] !== 0xff &&
              follow(state, bytesOf(id)) !== dead
            );
          });
          expect(allowedIds(matcher)).toEqual(expected);
          const going = expected.filter((id) => !tokenizer.endOfGeneration.has(id));
          if (going.length === 0) break;
          const chosen = going[Math.floor(random() * going.length)]!;
          state = follow(state, bytesOf(chosen));
          const ends = matcher.accept(chosen);
          expect(ends).toBe(automaton.mustEnd(state));
          if (ends) break;
        }
      }
    }
  });

  it("say the whole answer, as it is shown", async () => {
    const tokenizer = open();
    const tokens = await grammarOf(tokenizer, { regex: "(the|a) (cat|dog) (sat|ran)\\." });
    const random = createNumbers(11);
    for (const continuation of [false, true]) {
      for (let i = 0; i < 20; i++) {
        const matcher = tokens.begin(continuation);
        const said: number[] = [];
        for (let over = false; !over; ) {
          const ids = allowedIds(matcher);
          said.push(ids[Math.floor(random() * ids.length)]!);
          over = matcher.accept(said.at(-1)!);
        }
        const stream = tokenizer.decoder({ continuation });
        const text = said.map((id) => stream.push(id)).join("") + stream.end();
        expect(text).toMatch(/^(the|a) (cat|dog) (sat|ran)\.$/);
      }
    }
  });
});

describe("a text that follows a grammar", () => {
  const tokenizer = fromGguf("mixtral.gguf");
  const idOf = (text: string) =>
    [...Array(tokenizer.vocabSize).keys()].find((id) => Buffer.from(tokenizer.bytes(id)).toString() === text)!;

  it("goes on in two ways from one place", async () => {
    const first = (await grammarOf(tokenizer, { regex: "a(b|c)" })).begin(true);
    first.accept(idOf("a"));
    const second = first.fork();
    expect(first.accept(idOf("b"))).toBe(true);
    expect(second.accept(idOf("c"))).toBe(true);
  });

  it("ends where it may, and not before", async () => {
    const [end] = tokenizer.endOfGeneration;
    const matcher = (await grammarOf(tokenizer, { regex: "aa?" })).begin(true);
    expect(allowedIds(matcher)).not.toContain(end);
    expect(matcher.accept(idOf("a"))).toBe(false);
    expect(allowedIds(matcher)).toContain(end);
    const without = (await grammarOf(tokenizer, { regex: "aa?" }, [])).begin(true);
    without.accept(idOf("a"));
    expect(allowedIds(without)).toEqual([idOf("a"), ...allowedIds(without).slice(1)].sort((a, b) => a - b));
    expect(allowedIds(without)).not.toContain(end);
  });

  it("has control tokens where a grammar names them, and nowhere else", async () => {
    const control = [...Array(tokenizer.vocabSize).keys()].find(
      (id) => tokenizer.bytes(id).length === 0 && !tokenizer.endOfGeneration.has(id),
    )!;
    const name = tokenizer.piece(control);
    const matcher = (await grammarOf(tokenizer, { sequence: [{ control: name }, { text: "a" }] })).begin(true);
    expect(allowedIds(matcher)).toEqual([control]);
    matcher.accept(control);
    expect(matcher.accept(idOf("a"))).toBe(true);
    expect(allowedIds((await grammarOf(tokenizer, { without: "zzz" })).begin(true))).not.toContain(control);
  });

  it("ends where a grammar takes too long to follow, and goes on with a large one", async () => {
    const hostile = ["(.?){1000}(.?){1000}(.*a.*){30}z", "((.?){99}){99}(.*x.*){99}"];
    for (const regex of hostile) {
      const random = createNumbers(3);
      const matcher = (await grammarOf(tokenizer, { regex })).begin(true);
      const follow = () => {
        for (let i = 0; i < 300; i++) {
          const ids = allowedIds(matcher).filter((id) => !tokenizer.endOfGeneration.has(id));
          matcher.accept(ids[Math.floor(random() * ids.length)]!);
        }
      };
      expect(follow, regex).toThrow("takes too long to follow");
    }
    const member = {
      anyOf: [
        { type: "string", maxLength: 50 },
        { type: "integer", minimum: 3 },
      ],
    };
    const properties = Object.fromEntries([...Array(250).keys()].map((i) => [`member${i}`, member]));
    const matcher = (await grammarOf(tokenizer, { schema: { type: "object", properties } })).begin(true);
    for (const piece of ["{", '"', "m"]) {
      expect(allowedIds(matcher)).toContain(idOf(piece));
      matcher.accept(idOf(piece));
    }
  });

  it("is read again after its machine has grown too large", async () => {
    const tokens = await grammarOf(tokenizer, { regex: "(.{1,3}[aeiou]){1,100000}" });
    const matcher = tokens.begin(true);
    const random = createNumbers(5);
    const reference = createAutomaton(compileGrammar({ regex: "(.{1,3}[aeiou]){1,100000}" }));
    let state = reference.start;
    for (let i = 0; i < 400; i++) {
      const ids = allowedIds(matcher).filter((id) => !tokenizer.endOfGeneration.has(id));
      const chosen = ids[Math.floor(random() * ids.length)]!;
      matcher.accept(chosen);
      for (const byte of tokenizer.bytes(chosen)) state = reference.next(state, byte);
      expect(state).not.toBe(dead);
    }
  });
});

describe.skipIf(!existsSync(shared))("Grok-1's vocabulary of 131,072 (skipped: no ../shared)", () => {
  it("says JSON with all of its tokens that are text", { timeout: 30_000 }, async () => {
    const tokenizer = openTokenizer(shared);
    const matcher = (await grammarOf(tokenizer, { schema: { type: "string" } })).begin(true);
    const quote = [...Array(tokenizer.vocabSize).keys()].find(
      (id) => Buffer.from(tokenizer.bytes(id)).toString() === '"',
    )!;
    matcher.accept(quote);
    expect(allowedIds(matcher).length).toBeGreaterThan(129_000);
  });
});
