import { expect, it } from "vitest";
import { isWanted, matchesPattern } from "./patterns.ts";

// What Python's fnmatch.fnmatchcase says.
it.each([
  ["*.gguf", "a/b.gguf", true],
  ["*.gguf", "b.ggufx", false],
  ["a/*", "a/b/c", true],
  ["a/", "a/b/c", true],
  ["?.bin", "x.bin", true],
  ["?.bin", "xy.bin", false],
  ["[ab].bin", "b.bin", true],
  ["[!ab].bin", "b.bin", false],
  ["[!ab].bin", "c.bin", true],
  ["a+(b).x", "a+(b).x", true],
  ["a.x", "abx", false],
  ["[", "[", true],
  ["[a-c]1", "b1", true],
])("%s and %s: %s", (pattern, path, expected) => {
  expect(matchesPattern(path, pattern)).toBe(expected);
});

it("wants all but what is excluded", () => {
  expect(isWanted("a", [], [])).toBe(true);
  expect(isWanted("a", [], ["a"])).toBe(false);
  expect(isWanted("a", ["b", "a"], [])).toBe(true);
  expect(isWanted("a", ["b"], [])).toBe(false);
});
