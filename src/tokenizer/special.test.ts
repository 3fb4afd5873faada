import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { splitSpecial, toByteRanges } from "./special.ts";
import { finish } from "./steps.ts";
import { createTrie } from "./trie.ts";

const utf8 = new TextEncoder();
const names = ["<s>", "<|im", "<|im_end|>", "é|>", "😀"];
/** Names that are found everywhere. */
const free = ["<t>", "|>"];
const trie = createTrie(
  [...names, ...free].map((name, id) => [utf8.encode(name), id]),
  "test",
);
const everywhere = createTrie(
  free.map((name, index) => [utf8.encode(name), names.length + index]),
  "test",
);

/** The parts of a text, names in brackets. */
function split(text: string, ordinary: readonly number[]): string[] {
  const bytes = utf8.encode(text);
  const parts: string[] = [];
  const steps = splitSpecial(
    bytes,
    { trie, ordinary: toByteRanges(text, ordinary), everywhere },
    function* (start, end) {
      yield;
      parts.push(new TextDecoder().decode(bytes.subarray(start, end)));
    },
    (id) => parts.push(`[${[...names, ...free][id]}]`),
  );
  finish(steps);
  return parts;
}

describe("names of control tokens", () => {
  it.each([
    ["<|im_end|>", [], ["[<|im_end|>]"]],
    ["<|im_end|>", [0, 10], ["<|im_end", "[|>]"]],
    ["<|im_end|>", [9, 10], ["[<|im]", "_end", "[|>]"]],
    ["<|im_end|>", [0, 1], ["<|im_end", "[|>]"]],
    ["a<s>", [0, 1], ["a", "[<s>]"]],
    ["<s>a", [3, 4], ["[<s>]", "a"]],
    ["<s><s><s>", [3, 6], ["[<s>]", "<s>", "[<s>]"]],
    ["<t><t>", [0, 4], ["[<t>]", "[<t>]"]],
    ["éé|>", [0, 1], ["é", "[é|>]"]],
    ["éé|>", [1, 2], ["éé", "[|>]"]],
    ["😀😀😀", [2, 4], ["[😀]", "😀", "[😀]"]],
  ])("%s with %j ordinary", (text, ordinary, parts) => {
    expect(split(text, ordinary)).toEqual(parts);
  });

  it("are found outside the ranges alone, and text is kept whole", () => {
    const piece = fc.constantFrom(...names, ...free, "a", "<", "|", "im", "é", "_end|>");
    const parts = fc.array(fc.tuple(piece, fc.boolean()), { maxLength: 12 });
    fc.assert(
      fc.property(parts, (list) => {
        let text = "";
        const ordinary: number[] = [];
        for (const [part, fromCaller] of list) {
          if (fromCaller && ordinary[ordinary.length - 1] === text.length) ordinary.pop();
          else if (fromCaller) ordinary.push(text.length);
          text += part;
          if (fromCaller) ordinary.push(text.length);
        }
        const found = split(text, ordinary);
        expect(found.map((part) => part.replace(/^\[(.*)\]$/, "$1")).join("")).toBe(text);
        let at = 0;
        for (const part of found) {
          const name = part.replace(/^\[(.*)\]$/, "$1");
          const touched = ordinary.some(
            (from, index) => index % 2 === 0 && from < at + name.length && at < ordinary[index + 1]!,
          );
          if (part !== name && names.includes(name)) expect(touched).toBe(false);
          at += name.length;
        }
      }),
    );
  });
});
