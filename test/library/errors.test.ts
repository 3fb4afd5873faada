import { describe, expect, it } from "vitest";
import { GrokError, shown } from "../../src/errors.ts";

describe("messages", () => {
  it("stay one line that can be read, whatever names are in them", () => {
    const { message } = new GrokError(
      "format",
      `a.gguf: tensor ${"x".repeat(1e6)} is missing, expected one of shape [2]`,
    );
    expect(message.length).toBeLessThanOrEqual(2000);
    expect(message).toMatch(
      /^a\.gguf: tensor x+ \.\.\. \(10000\d\d characters\) \.\.\. x+ is missing, expected one of shape \[2\]$/,
    );
    expect(new GrokError("format", "a\nb\u001b[31m\u0085\u2028c").message).toBe("a\\u000ab\\u001b[31m\\u0085\\u2028c");
    expect(new GrokError("io", "größe 😀.gguf: not there").message).toBe("größe 😀.gguf: not there");
    expect(new GrokError("format", "😀".repeat(5000)).message.isWellFormed()).toBe(true);
  });

  it("have details of bounded size, which travel in JSON", () => {
    const path = `/${"folder/".repeat(500)}`;
    const { details } = new GrokError("format", "a", {
      ...{ path, tensor: "y".repeat(1e6), found: 3, none: null },
      expected: Array.from({ length: 1e5 }, () => "z".repeat(1e4)),
    });
    expect(details).toMatchObject({ path, found: 3, none: null });
    expect(JSON.stringify(details).length).toBeLessThan(500_000);
    expect(new GrokError("format", "a", details).details).toEqual(details);
  });

  it("show values as what they are", () => {
    expect([shown("a"), shown(["a"]), shown({}), shown(null), shown(1.5), shown(undefined), shown(3n)]).toEqual([
      ...['"a"', "a list", "an object", "null", "1.5", "undefined", "3"],
    ]);
    expect(shown("x".repeat(1000)).length).toBeLessThan(110);
  });
});
