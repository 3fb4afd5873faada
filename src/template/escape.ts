import type { Allowance } from "./allowance.ts";
import { createBuilder, fromCaller, type Text, withMarkup } from "./text.ts";

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
};

/** `markupsafe.escape`: the text, safe for HTML, and marked so. What is marked already stays. */
export function escapeHtml(run: Allowance, text: Text): Text {
  if (text.markup) return text;
  if (!/[&<>"']/.test(text.value)) return withMarkup(run, text, true);
  const out = createBuilder(run);
  let from = 0;
  for (const match of text.value.matchAll(/[&<>"']/g)) {
    out.addSlice(text, from, match.index);
    from = match.index + 1;
    // An entity is of nobody's literals: as it stands for a character of the text, it is of that one's origin.
    out.addPlain(entities[match[0]]!, fromCaller(text));
  }
  out.addSlice(text, from, text.value.length);
  return out.build(true);
}
