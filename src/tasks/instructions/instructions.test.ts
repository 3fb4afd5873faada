import { readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { checks } from "./checks.ts";
import { followInstructions, readInstructions } from "./follow.ts";
import { detectLanguage } from "./language.ts";
import { splitSentences } from "./sentences.ts";
import { countWords, tokenizeWords } from "./words.ts";

type Vector = readonly [
  names: readonly string[],
  kwargs: readonly object[],
  answer: string,
  strict: readonly number[],
  loose: readonly number[],
];

const rowOf = (names: unknown, kwargs: unknown) => ({
  ...{ path: "questions.jsonl", line: 7 },
  fields: { instruction_id_list: names, kwargs },
});

describe("instructions", () => {
  it("are followed by 1,000 answers where lm-evaluation-harness says so, strictly and loosely", () => {
    const path = join(import.meta.dirname, "../../../test/vectors/eval/ifeval.json.br");
    const vectors = JSON.parse(brotliDecompressSync(readFileSync(path)).toString()) as readonly Vector[];
    expect(vectors).toHaveLength(1000);
    const seen = new Map<string, number>();
    for (const vector of vectors) {
      const [names, kwargs, answer] = vector;
      const { strict, loose } = followInstructions(readInstructions(rowOf(names, kwargs)), answer);
      expect([names, kwargs, answer, strict.map(Number), loose.map(Number)]).toEqual(vector);
      for (const [i, name] of names.entries()) seen.set(`${name} ${strict[i]}`, 1);
    }
    // Each instruction is among them, followed and not.
    expect([...seen.keys()].sort()).toEqual(
      Object.keys(checks)
        .flatMap((name) => [`${name} false`, `${name} true`])
        .sort(),
    );
    expect(Object.keys(checks)).toHaveLength(25);
  });

  it("say what is wrong with a question", () => {
    const read = (names: unknown, kwargs: unknown) => () => readInstructions(rowOf(names, kwargs));
    expect(read(undefined, [])).toThrow(/questions\.jsonl: line 7: instruction_id_list: expected a list of names/);
    expect(read(["punctuation:no_comma"], [])).toThrow(/line 7: kwargs: expected a list of 1 objects/);
    expect(read(["punctuation:no_coma"], [{}])).toThrow(/such as punctuation:no_comma/);
    expect(read(["length_constraints:number_words"], [{ num_words: 3 }])).toThrow(/line 7: kwargs\[0\]\.relation/);
    expect(read(["punctuation:no_comma"], [{ words: 3 }])).toThrow(/kwargs\[0\]\.words/);
    expect(read(["keywords:existence"], [{ keywords: ["(", "a"] }])).toThrow(/kwargs\[0\]\.keywords/);
    // A table has a column for each entry of any instruction, mostly empty.
    expect(read(["punctuation:no_comma"], [{ words: null }])()).toHaveLength(1);
  });

  it("of an empty answer follows none", () => {
    const read = readInstructions(rowOf(["punctuation:no_comma"], [{}]));
    expect(followInstructions(read, " \n")).toEqual({ strict: [false], loose: [false] });
    expect(followInstructions(read, "one, two\nthree")).toEqual({ strict: [false], loose: [true] });
  });
});

describe("sentences and words", () => {
  // By nltk 3.10.4 with punkt_tab.
  it.each([
    ["Dr. Smith met J. Doe at 5 p.m. He left.", ["Dr. Smith met J. Doe at 5 p.m.", "He left."]],
    ['"It ended." (Then it began.) So', ['"It ended."', "(Then it began.)", "So"]],
    ["Wait... what?! No. 5 e.g. this.", ["Wait...", "what?!", "No.", "5 e.g.", "this."]],
    ["The U.S. economy grew 3.5 percent. it did", ["The U.S. economy grew 3.5 percent.", "it did"]],
    [" \n", []],
  ])("%j is split as nltk does it", (text, sentences) => {
    expect(splitSentences(text)).toEqual(sentences);
  });

  it("are those of nltk's word_tokenize", () => {
    expect(tokenizeWords("I can't, WE GOTTA (\"go\") 🙈🙉 U.S.A.'s end.")).toEqual([
      "I",
      "ca",
      "n't",
      ",",
      "WE",
      "GOT",
      "TA",
      "(",
      "``",
      "go",
      "''",
      ")",
      "🙈🙉",
      "U.S.A.",
      "'s",
      "end",
      ".",
    ]);
    expect(countWords("don't हिन्दी a_b 3.5")).toBe(6);
  });
});

it("languages are told by runs of letters", () => {
  expect(detectLanguage("This is what everybody would call a sentence.")).toBe("en");
  expect(detectLanguage("Das ist, was jeder einen Satz nennen würde.")).toBe("de");
  expect(detectLanguage("これは文です。")).toBe("ja");
  expect(detectLanguage("12, 34!")).toBeUndefined();
});
