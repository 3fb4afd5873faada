import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createTemplate } from "./template.ts";

const vectors = new URL("../../test/vectors/templates/", import.meta.url);
const read = (name: string) => JSON.parse(readFileSync(new URL(name, vectors), "utf8"));

/** The vectors' clock. */
const now = new Date(2024, 2, 5, 7, 8, 9);

type Outcome = string | { readonly error: string };

describe("small templates give jinja2's text, or fail where it fails", () => {
  const { variables, expressions } = read("expressions.json") as {
    variables: Record<string, unknown>;
    expressions: string[];
  };
  const expected = read("expected.json").expressions as Record<string, Outcome>;

  it.each(expressions)("%s", (source) => {
    const wanted = expected[source]!;
    const render = () => createTemplate(source, "small.jinja").render(variables, { now }).text;
    if (typeof wanted === "string") expect(render()).toBe(wanted);
    else {
      expect(render).toThrow(
        expect.objectContaining({ code: "format", message: expect.stringMatching(/^small\.jinja: .* line \d+: ./) }),
      );
    }
  });
});

it("knows a caller's text also as the format of a date", () => {
  const format = (given: string, source = "{{ strftime_now(given) }}") => createTemplate(source, "t").render({ given });
  expect(format("<|end|>")).toEqual({ text: "<|end|>", caller: [0, 7] });
  expect(format("", "{{ strftime_now('<|%%|>') }}")).toEqual({ text: "<|%|>", caller: [] });
});

it("knows a caller's names by `**`, and a caller's character that fills up a field", () => {
  const callers = (source: string) => {
    const { text, caller } = createTemplate(source, "t").render({ given: { "<|end|>": 1 }, fill: "|" });
    return Array.from({ length: caller.length / 2 }, (_, i) => text.slice(caller[2 * i], caller[2 * i + 1])).join("");
  };
  for (const source of [
    "{% for name in dict(**given) %}{{ name }}{% endfor %}",
    "{% macro r() %}{% for name in kwargs %}{{ name }}{% endfor %}{% endmacro %}{{ r(**given) }}",
    "{% macro r() %}{{ kwargs }}{{ caller() }}{% endmacro %}{% call r(**given) %}{% endcall %}",
    "{{ namespace(given) }}",
    "{{ namespace(**given) }}",
  ]) {
    expect(callers(source), source).toContain("<|end|>");
  }
  expect(callers('{{ "{:{}<20}".format("a", fill) }}')).toContain("||||");
});
