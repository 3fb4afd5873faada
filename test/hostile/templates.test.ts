import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { GrokError } from "../../src/errors.ts";
import { createTemplate } from "../../src/template/template.ts";
import { templateMutants } from "../support/mutate-template.ts";
import { processorSeconds } from "../support/time.ts";

const folder = new URL("../vectors/templates/templates/", import.meta.url);
const sources = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), "utf8"));
const memoryLimit = 512 * 2 ** 20;

const variables = {
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hello 😀" },
    {
      role: "assistant",
      content: "",
      tool_calls: [{ type: "function", function: { name: "f", arguments: { a: [1] } } }],
    },
    { role: "tool", content: "1", name: "f" },
  ],
  tools: [
    { type: "function", function: { name: "f", description: "F.", parameters: { type: "object", properties: {} } } },
  ],
  add_generation_prompt: true,
};

/** Renders a template: it gives a text, or a typed error that names it, and soon. */
function attack(source: string, label: string): "valid" | "refused" {
  let outcome: "valid" | "refused" = "valid";
  const seconds = processorSeconds(() => {
    try {
      createTemplate(source, "hostile.jinja").render(variables);
    } catch (error) {
      if (!(error instanceof GrokError)) throw new Error(`${label}: ${error}`, { cause: error });
      expect({ label, code: error.code }).toEqual({ label, code: "format" });
      expect(error.message).toMatch(/^hostile\.jinja: the template failed in line \d+: ./);
      outcome = "refused";
    }
  });
  if (seconds > 5) throw new Error(`${label}: took ${seconds} s`);
  return outcome;
}

describe("hostile chat templates", () => {
  it("made of real ones by their structure end soon and in little memory", () => {
    const before = process.memoryUsage.rss();
    const tally = { valid: 0, refused: 0 };
    for (const { label, source } of templateMutants(sources, 5, 1500)) tally[attack(source, label)]++;
    expect(tally.valid).toBeGreaterThan(100);
    expect(tally.refused).toBeGreaterThan(100);
    expect(process.memoryUsage.rss() - before).toBeLessThan(memoryLimit);
  });

  it("cut off anywhere", () => {
    const source = sources.reduce((short, each) => (each.length < short.length ? each : short));
    for (let length = 0; length < source.length; length++) attack(source.slice(0, length), `cut to ${length}`);
  });

  const grow = (change: string, start: string, end = "") =>
    `{% set ns = namespace(x=${start}) %}${change.repeat(60)}${end}`;
  const nest = (open: string, close: string, count: number) => `{{ ${open.repeat(count)}1${close.repeat(count)} }}`;
  const forever = (body: string) => `{% set s = 'ab ' * 99999 %}{% for i in range(99999) %}${body}{% endfor %}`;

  it.each([
    ["lists of a list doubled, printed", grow("{% set ns.x = [ns.x, ns.x] %}", "[1]", "{{ ns.x }}")],
    ["lists of a list doubled, as JSON", grow("{% set ns.x = [ns.x, ns.x] %}", "[1]", "{{ ns.x | tojson(indent=4) }}")],
    [
      "lists of a list doubled, compared",
      grow(
        "{% set ns.x = [ns.x, ns.x] %}",
        "[1]",
        "{% set y = ns.x == [ns.x[0], [1]] %}{{ ns.x | sort }}{{ ns.x | string }}",
      ),
    ],
    ["a text doubled", grow("{% set ns.x = ns.x ~ ns.x %}", "'x'")],
    ["a list doubled", grow("{% set ns.x = ns.x + ns.x %}", "[1]")],
    ["a number squared", grow("{% set ns.x = ns.x * ns.x %}", "3")],
    ["a power of a power", "{{ 9 ** (9 ** 9) }}"],
    ["a repeated text", "{{ 'ab' * 10 ** 15 }}"],
    ["a repeated list", "{{ [1] * 10 ** 9 }}"],
    ["a width", "{{ '%1000000000d' % 1 }}"],
    ["a precision", "{{ '%.999999999f' % 1 }}"],
    ["a width in fields", "{{ '{:>999999999}'.format(1) }}"],
    ["a centred text", "{{ 'a'.center(10 ** 12) }}"],
    ["zeros in front", "{{ 'a'.zfill(10 ** 12) }}"],
    ["wide tabs", "{{ ('\t' * 999).expandtabs(10 ** 9) }}"],
    ["an indented text", "{{ 'a\nb' | indent(10 ** 9) }}"],
    ["indented JSON", "{{ [[1]] | tojson(indent=10 ** 9) }}"],
    ["a text replaced in a text", "{{ ('a' * 99999).replace('a', 'b' * 99999) }}"],
    ["a text joined with a text", "{{ ('x' * 99999).join('a' * 99999) }}"],
    ["a batch filled up", "{{ [1] | batch(10 ** 9, 0) | list }}"],
    ["empty slices", "{{ [1] | slice(10 ** 9, 0) | list }}"],
    ["a long range", "{{ range(10 ** 12) | list }}"],
    ["loops in loops", "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"],
    ["a search again and again", forever("{{ 'z' in s }}")],
    ["a split again and again", forever("{% set x = s.split() %}")],
    ["a comparison again and again", forever("{% set x = s < s ~ 'a' %}")],
    ["titles again and again", forever("{% set x = s | title %}{% set x = s.title() %}")],
    ["dates again and again", forever("{% set x = strftime_now(s.replace('ab', '%c')) %}")],
    ["a macro that calls itself", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}"],
    ["a loop that calls itself", "{% for x in [[]] recursive %}{{ loop([x]) }}{% endfor %}"],
    ["parentheses", nest("(", ")", 60_000)],
    ["signs", nest("-", "", 120_000)],
    ["negations", nest("not ", "", 30_000)],
    ["conditions", nest("1 if 0 else ", "", 9000)],
    ["blocks in blocks", "{% if true %}".repeat(9000) + "{% endif %}".repeat(9000)],
    ["a long sum", nest("1 + ", "", 30_000)],
    ["a long path", nest("", ".a", 60_000)],
    ["many filters", nest("", "|abs", 25_000)],
    ["half tags", "{".repeat(131_072)],
    ["a namespace in itself", "{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns }}{{ ns | string }}"],
  ])("%s: refused", (name, source) => {
    expect(attack(source, name)).toBe("refused");
  });

  it.each([
    ["line ends", "\n".repeat(131_072)],
    ["lists to depth 40", nest("[", "]", 40)],
    ["spaces before a tag", `${"\n ".repeat(60_000)}{%- if 1 %}{% endif %}`],
    ["many tags", "{{ 1 }}".repeat(18_000)],
    ["many comparisons", nest("", " < 2", 20_000)],
    ["many items asked for ahead", "{% for i in range(60000) | map('abs') %}{{ loop.length }}{% endfor %}"],
  ])("%s: taken, and soon", (name, source) => {
    expect(attack(source, name)).toBe("valid");
  });
});
