import fc from "fast-check";
import { expect, it } from "vitest";
import { createEventParser } from "./events.ts";

const line = fc.string({ unit: fc.constantFrom("a", "é", "😀", " ", ":", "{", "data"), maxLength: 6 });

it("gives the same events however a stream is cut, and whatever ends its lines", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(line, { minLength: 1, maxLength: 3 }), { maxLength: 5 }),
      fc.constantFrom("\n", "\r\n", "\r"),
      fc.array(fc.nat(8)),
      (events, ending, cuts) => {
        const stream = events
          .map((lines) => [": a comment", "event: x", ...lines.map((text) => `data: ${text}`), "", ""].join(ending))
          .join("");
        const parse = createEventParser();
        const found: string[] = [];
        let at = 0;
        for (const cut of cuts) {
          found.push(...parse(stream.slice(at, at + cut)));
          at += cut;
        }
        // A carriage return alone ends a line only when it is known that no line feed follows.
        found.push(...parse(stream.slice(at)), ...parse(":"));
        expect(found).toEqual(events.map((lines) => lines.join("\n")));
      },
    ),
    { numRuns: 500 },
  );
});

it("takes what has no space after its colon, and nothing that is not finished", () => {
  const parse = createEventParser();
  expect(parse("data:a\ndata\ndata:  b\n\ndata: unfinished\n")).toEqual(["a\n\n b"]);
});
