import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTemplate, type Rendering } from "./template.ts";

const vectors = new URL("../../test/vectors/templates/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, vectors), "utf8");

interface Conversation {
  readonly name: string;
  readonly trusted: Record<string, string>;
  readonly variables: Record<string, unknown> & { readonly messages: readonly Record<string, unknown>[] };
}

const conversations = JSON.parse(read("conversations.json")) as Conversation[];
const expected = JSON.parse(read("expected.json")).templates as Record<string, Record<string, string>>;
const names = readdirSync(new URL("templates/", vectors)).map((file) => file.replace(/\.jinja$/, ""));
const templates = new Map(names.map((name) => [name, createTemplate(read(`templates/${name}.jinja`), name)]));

/** The vectors' clock. */
const now = new Date(2024, 2, 5, 7, 8, 9);
const roles = new Set(["system", "user", "assistant", "tool"]);

function render(name: string, variables: Record<string, unknown>, trusted = {}): Rendering | undefined {
  try {
    return templates.get(name)!.render(variables, { trusted, roles, now });
  } catch (error) {
    expect(error).toMatchObject({ code: "format", message: expect.stringContaining(`${name}: `) });
    return undefined;
  }
}

/** As the vectors have it: the beginning of a hash, and Python's length. */
function digest({ text }: Rendering): string {
  return `${createHash("sha256").update(text).digest("hex").slice(0, 16)} ${[...text].length}`;
}

it("there are at least sixty", () => {
  expect(names.length).toBeGreaterThanOrEqual(60);
  expect(names.sort()).toEqual(Object.keys(expected).sort());
});

describe.each(names)("%s", (name) => {
  it("gives jinja2's text for every conversation, or refuses those that it refuses there", () => {
    const results = conversations.map(({ name: conversation, trusted, variables }) => {
      const rendering = render(name, variables, trusted);
      return [conversation, rendering ? digest(rendering) : "error"];
    });
    expect(Object.fromEntries(results)).toEqual(expected[name]);
  });

  it("marks as the caller's every character that the caller wrote", () => {
    for (const { trusted, variables } of conversations) {
      const rendering = render(name, moveToPrivateUse(variables) as Record<string, unknown>, trusted);
      if (rendering) expect(unmarked(rendering)).toEqual([]);
    }
  });

  it("keeps its control tokens its own, and none is made of what messages say", () => {
    const controls = controlNames(read(`templates/${name}.jinja`), conversations[0]!.trusted);
    const pieces = controls.flatMap((control) => [
      control,
      control.slice(0, 2),
      control.slice(2),
      control.slice(0, -2),
      control.slice(-2),
      control.toUpperCase(),
    ]);
    const content = fc
      .array(fc.constantFrom("a", " ", "\n", ...pieces), { maxLength: 6 })
      .map((parts) => parts.join(""));
    for (const { variables, trusted } of conversations.slice(0, 4)) {
      const plain = render(name, variables, trusted);
      if (!plain) continue;
      // All control tokens of a text without any in its messages are the template's.
      expect(count(plain, controls)).toBe(count({ ...plain, caller: [] }, controls));
    }
    fc.assert(
      fc.property(fc.array(content, { minLength: 1, maxLength: 3 }), (contents) => {
        const messages = contents.map((text, index) => ({ role: index % 2 ? "assistant" : "user", content: text }));
        const harmless = messages.map(({ role, content }) => ({ role, content: content.replace(/[^a\n ]/g, "a") }));
        const variables = { ...conversations[0]!.variables, tools: null };
        const rendering = render(name, { ...variables, messages }, conversations[0]!.trusted);
        const wanted = render(name, { ...variables, messages: harmless }, conversations[0]!.trusted);
        if (rendering && wanted) expect(count(rendering, controls)).toBeLessThanOrEqual(count(wanted, controls));
      }),
      { numRuns: 60 },
    );
  });
});

/** Every letter of all texts but roles as another of the private use area, so that it is known where it came from. */
function moveToPrivateUse(data: unknown, key = ""): unknown {
  if (typeof data === "string") {
    if (key === "role" || key === "type") return data;
    return data.replace(/[!-~]/g, (letter) => String.fromCharCode(0xe000 + letter.charCodeAt(0)));
  }
  if (Array.isArray(data)) return data.map((item) => moveToPrivateUse(item));
  if (typeof data !== "object" || data === null) return data;
  return Object.fromEntries(Object.entries(data).map(([name, item]) => [name, moveToPrivateUse(item, name)]));
}

/** Private-use characters that are not marked as the caller's. */
function unmarked({ text, caller }: Rendering): number[] {
  const marked = new Set<number>();
  for (let i = 0; i < caller.length; i += 2) for (let at = caller[i]!; at < caller[i + 1]!; at++) marked.add(at);
  return Array.from({ length: text.length }, (_, at) => at).filter(
    (at) => /[\ue000-\uf8ff]/.test(text[at]!) && !marked.has(at),
  );
}

/** Names that look like control tokens in a template's own text. */
function controlNames(source: string, trusted: Record<string, string>): string[] {
  const found = source.match(/<[|｜][^<>|｜\n'"{}+ ]{1,40}[|｜]>|\[\/?[A-Z_]{3,30}\]/g) ?? [];
  return [...new Set([...found, trusted.bos_token!, trusted.eos_token!])];
}

/** Control tokens that have no character of the caller's. */
function count({ text, caller }: Rendering, controls: readonly string[]): number {
  let total = 0;
  for (const control of controls) {
    for (let at = text.indexOf(control); at >= 0; at = text.indexOf(control, at + 1)) {
      const end = at + control.length;
      const touched = caller.some((from, index) => index % 2 === 0 && from < end && at < caller[index + 1]!);
      if (!touched) total++;
    }
  }
  return total;
}
