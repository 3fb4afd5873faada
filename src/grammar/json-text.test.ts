import { describe, expect, it } from "vitest";
import { dead } from "./automaton.ts";
import { automatonOf } from "./grammar.case.ts";
import type { Grammar } from "./grammar.ts";

const schema = {
  type: "object",
  properties: { a: { anyOf: [{ type: "array", items: { type: "integer" } }, { type: "integer" }] }, b: {} },
  required: ["a"],
};
const places = ["", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":[', '{"a":[1', '{"a":[1,', '{"a":[1]', '{"a":1}'];

describe("whitespace between the parts of JSON", () => {
  const grammars: readonly Grammar[] = [{ json: true }, { schema }];
  it.each(grammars)("comes to its end, whatever the sampling: %j", (grammar) => {
    const automaton = automatonOf(grammar);
    for (const place of places) {
      let states = new Set([Buffer.from(place).reduce(automaton.next, automaton.start)]);
      expect([place, states.has(dead)]).toEqual([place, false]);
      let longest = 0;
      while (states.size > 0 && longest < 100) {
        const after = [...states].flatMap((state) =>
          [..." \n\t\r"].map((space) => [state, space.charCodeAt(0)] as const),
        );
        states = new Set(after.map(([state, byte]) => automaton.next(state, byte)).filter((state) => state !== dead));
        if (states.size > 0) longest++;
      }
      expect([place, longest <= 25]).toEqual([place, true]);
    }
  });
});
