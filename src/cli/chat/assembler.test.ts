import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createAssembler } from "./assembler.ts";

function turnsOf(lines: readonly string[]): { turns: string[]; left: string | undefined } {
  const assembler = createAssembler();
  const turns = lines.map((line) => assembler.add(line)).filter((turn) => turn !== undefined);
  return { turns, left: assembler.take() };
}

describe("lines become turns", () => {
  it("one line, one turn", () => {
    expect(turnsOf(["hola", "adiós"])).toEqual({ turns: ["hola", "adiós"], left: undefined });
  });

  it("a backslash at the end goes on", () => {
    expect(turnsOf(["a\\", "b\\", "c", "d"]).turns).toEqual(["a\nb\nc", "d"]);
    expect(turnsOf(["a\\"])).toEqual({ turns: [], left: "a" });
  });

  it("three quotation marks hold lines together, blank ones and backslashes too", () => {
    expect(turnsOf(['"""', "a", "", "b\\", '"""', "c"]).turns).toEqual(["a\n\nb\\", "c"]);
    expect(turnsOf(['"""a', 'b"""']).turns).toEqual(["a\nb"]);
    expect(turnsOf(['"""one line"""']).turns).toEqual(["one line"]);
    expect(turnsOf(['"""', "unfinished"])).toEqual({ turns: [], left: "unfinished" });
  });

  it("pasted lines wait for the one that sends them, and are taken as they are", () => {
    const assembler = createAssembler();
    expect(assembler.add('"""', true)).toBeUndefined();
    expect(assembler.add("a\\", true)).toBeUndefined();
    expect(assembler.pending).toBe(true);
    expect(assembler.add("end")).toBe('"""\na\\\nend');
    expect(assembler.pending).toBe(false);
  });

  it("any text comes through a block unchanged", () => {
    const line = fc.string().filter((text) => !/[\n\r]/.test(text) && !text.trimEnd().endsWith('"""'));
    fc.assert(
      fc.property(fc.array(line, { minLength: 1 }), (lines) => {
        expect(turnsOf(['"""', ...lines, '"""'])).toEqual({ turns: [lines.join("\n")], left: undefined });
      }),
    );
  });
});
