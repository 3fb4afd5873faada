import { expect, it } from "vitest";
import { countExperts, nameOf, readTokens } from "./live-token.ts";

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
  expect(countExperts(tokens, 3, 4)).toEqual([
    [0, 1, 1, 2],
    [0, 0, 0, 0],
    [1, 1, 0, 0],
  ]);
});

it("reads tokens of a server that says nothing of experts", () => {
  expect(readTokens([{ ...entry("a", [97], 1), top_logprobs: [] }], [])[0]!.experts).toEqual([]);
});
