import { createRandom } from "./mutate.ts";

/** Fragments that a hostile template is made of: large numbers, deep nesting, growing values, half tags. */
const fragments = [
  ...[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "-%}",
    "{%-",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'",
    '"',
    "\\",
    "|",
    "~",
    ",",
    ":",
    ".",
  ],
  ...[
    "999999999",
    "10 ** 9",
    "-1",
    "1e308",
    "0",
    "'x' * 99999999",
    "range(99999)",
    "[1] * 9999999",
    "9 ** (9 ** 9)",
    "ns.x",
  ],
  ...["messages", "messages[0].content", "loop", "loop.length", "caller()", "none", "undefined_name", "true"],
  ...[
    "| tojson(indent=99999)",
    "| replace('', messages | string)",
    "| join('x' * 9999)",
    "| center(10 ** 8)",
    "| list",
  ],
  ...["| batch(2) | list", "| sort", "| map('upper') | list", "| string", "| length", "| indent(9999)", "| int", "| e"],
  ...[
    "{% for i in range(99999) %}",
    "{% endfor %}",
    "{% if true %}",
    "{% else %}",
    "{% endif %}",
    "{% set x = x ~ x %}",
  ],
  ...[
    "{% macro f(x) %}{{ f(x) }}{% endmacro %}",
    "{{ f(1) }}",
    "{% set ns.x = [ns.x, ns.x] %}",
    "{% set ns.x = ns.x ~ ns.x %}",
  ],
  ...[
    "{% raw %}",
    "{% endraw %}",
    "{% break %}",
    "{% set ns = namespace(x='ab') %}",
    "{% set x %}",
    "{% endset %}",
    "\n".repeat(9),
  ],
];

export interface TemplateMutant {
  readonly label: string;
  readonly source: string;
}

/**
 * Mutants of templates by their own structure: pieces (words, signs, tags) are left out, doubled, swapped, replaced by hostile
 * ones or by those of another template, and stretches repeated many times or nested in one another.
 */
export function* templateMutants(sources: readonly string[], seed: number, count: number): Generator<TemplateMutant> {
  const random = createRandom(seed);
  const pieces = sources.map((source) => source.match(/\{[{%#]-?|-?[}%#]\}|\w+|\s+|[^\w\s]/g) ?? []);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  for (let index = 0; index < count; index++) {
    const list = [...pick(pieces)];
    for (let change = random(3); change >= 0; change--) {
      const at = random(list.length + 1);
      const length = 1 + random(8);
      switch (random(7)) {
        case 0:
          list.splice(at, length);
          break;
        case 1:
          list.splice(at, 0, ...list.slice(at, at + length));
          break;
        case 2:
          list.splice(at, random(3), pick(fragments));
          break;
        case 3: {
          const other = pick(pieces);
          const from = random(other.length + 1);
          list.splice(at, length, ...other.slice(from, from + 4 * length));
          break;
        }
        case 4:
          list.splice(
            at,
            length,
            list
              .slice(at, at + length)
              .join("")
              .repeat(2 ** random(10)),
          );
          break;
        case 5: {
          const [open, close] = pick([
            ["(", ")"],
            ["[", "]"],
            ["{% if 1 %}", "{% endif %}"],
            ["{% for a in [1, 2] %}", "{% endfor %}"],
          ]);
          const depth = 2 ** random(8);
          list.splice(at, length, open!.repeat(depth) + list.slice(at, at + length).join("") + close!.repeat(depth));
          break;
        }
        default: {
          const number = list.findIndex((piece, place) => place >= at && /^\d+$/.test(piece));
          if (number >= 0) list[number] = pick(["0", "-1", "99999", "2147483648", "9007199254740993", "1e400"]);
        }
      }
    }
    yield { label: `seed ${seed}, mutant ${index}`, source: list.join("").slice(0, 131_072) };
  }
}
