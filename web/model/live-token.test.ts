import { expect, it } from "vitest";
import { createExpertCounter, nameOf, readTokens, spellToken } from "./live-token.ts";

const entry = (token: string, bytes: number[], probability: number) => ({
  token,
  bytes,
  logprob: Math.log(probability),
});

it("reads tokens, parts of characters among them, with their experts", () => {
  const tokens = readTokens(
    [
      { ...entry(" a", [32, 97], 0.5), top_logprobs: [entry(" a", [32, 97], 0.5), entry("\n", [10], 0.25)] },
      { ...entry("bytes:\\xe2", [0xe2], 0.125), top_logprobs: [entry("bytes:\\xe2", [0xe2], 0.125)] },
    ],
    [
      [
        [0, [3, 1], [0.6, 0.2]],
        [2, [1, 0], [0.5, 0.4]],
      ],
      [[0, [3, 2], [0.6, 0.2]]],
    ],
  );
  expect(tokens.map(nameOf)).toEqual(["␣a", "⟨E2⟩"]);
  expect(tokens.map(({ text }) => text)).toEqual([" a", undefined]);
  expect(tokens.map(({ probability }) => probability)).toEqual([0.5, 0.125].map((p) => expect.closeTo(p, 12)));
  expect(tokens[0]!.top.map(({ text }) => text)).toEqual([" a", "\n"]);
  expect(tokens[1]!.top[0]!.text).toBe("⟨E2⟩");
  expect(tokens[0]!.experts[1]).toEqual({ layer: 2, experts: [1, 0], weights: [0.5, 0.4] });
  const all = [
    [0, 1, 1, 2],
    [0, 0, 0, 0],
    [1, 1, 0, 0],
  ];
  const count = createExpertCounter(3, 4);
  // Forth and back, and of another answer.
  expect(count(tokens, 1)).toEqual(all);
  expect(count(tokens, 0)).toEqual([[0, 1, 0, 1], all[1], all[2]]);
  expect(count(tokens, 1)).toEqual(all);
  expect(count([], -1)).toEqual([0, 1, 2].map(() => [0, 0, 0, 0]));
});

it("spells characters where they become whole", () => {
  const bytes = (...all: number[]) => all.map((byte) => entry(`bytes:\\x${byte.toString(16)}`, [byte], 1));
  const given = [
    ...bytes(0xc2, 0xa1),
    entry("H", [72], 1),
    ...bytes(0xf0, 0x9f, 0x98, 0x80),
    ...bytes(0xc2, 0xbf),
    ...bytes(0xe2),
  ];
  const tokens = readTokens(
    given.map((one) => ({ ...one, top_logprobs: [] })),
    [],
  );
  expect(tokens.map((_, at) => spellToken(tokens, at))).toEqual(["·", "¡", "H", "·", "·", "·", "😀", "·", "¿", "·"]);
});

it("reads tokens of a server that says nothing of experts", () => {
  expect(readTokens([{ ...entry("a", [97], 1), top_logprobs: [] }], [])[0]!.experts).toEqual([]);
});
