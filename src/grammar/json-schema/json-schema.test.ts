import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import type { GrokError } from "../../errors.ts";
import { accepts, automatonOf, createNumbers, randomText } from "../grammar.case.ts";
import { randomSchema } from "./random-schema.case.ts";

interface Group {
  readonly name: string;
  readonly schema: object | boolean;
  readonly valid: readonly unknown[];
  readonly invalid: readonly unknown[];
}
const vectors = resolve(import.meta.dirname, "../../../test/vectors/json-schema/tests.json");
const groups: readonly Group[] = JSON.parse(readFileSync(vectors, "utf8"));

/** Names that all JavaScript objects have are members only where they are an object's own. */
const judge = () => new Ajv2020({ strict: false, validateFormats: false, ownProperties: true, logger: false });

/** Texts of a schema, each judged; how many came to an end. */
function checkTexts(schema: object | boolean, seed: number, count: number): number {
  const automaton = automatonOf({ schema });
  const validate = judge().compile(schema);
  const random = createNumbers(seed);
  let ended = 0;
  for (let i = 0; i < count; i++) {
    const text = randomText(automaton, random);
    if (text === undefined) continue;
    ended++;
    expect([text, validate(JSON.parse(text)), validate.errors]).toEqual([text, true, null]);
  }
  return ended;
}

function refusalOf(schema: unknown): GrokError | undefined {
  try {
    automatonOf({ schema });
    return undefined;
  } catch (error) {
    return error as GrokError;
  }
}

describe("JSON-Schema-Test-Suite", () => {
  const held = groups.filter(({ schema }) => refusalOf(schema) === undefined);

  it("is held to in most of its schemas, and refused by name in the others", () => {
    expect(held.length).toBeGreaterThan(150);
    for (const { schema } of groups) {
      const refusal = refusalOf(schema);
      if (refusal !== undefined) expect(refusal).toMatchObject({ name: "GrokError", code: "unsupported" });
    }
  });

  it.each(held.map((group, i) => [group.name, i] as const))("%s", (_, i) => {
    const { schema, invalid } = held[i]!;
    expect(checkTexts(schema, i + 1, 6)).toBeGreaterThan(0);
    const automaton = automatonOf({ schema });
    expect(invalid.map((value) => JSON.stringify(value)).filter((text) => accepts(automaton, text))).toEqual([]);
  });

  it("allows most of what is valid, as JSON.stringify writes it", () => {
    let [allowed, valid] = [0, 0];
    for (const { schema, valid: values } of held) {
      const automaton = automatonOf({ schema });
      for (const value of values) if (accepts(automaton, JSON.stringify(value))) allowed++;
      valid += values.length;
    }
    // The rest: other types where a schema without `type` is taken for that of its keywords, members that it does not name.
    expect(allowed / valid).toBeGreaterThan(0.6);
  });
});

describe("random schemas", () => {
  it("are held to, or refused by name", () => {
    const random = createNumbers(42);
    let [ended, refused] = [0, 0];
    for (let i = 0; i < 300; i++) {
      const schema = randomSchema(random);
      const refusal = refusalOf(schema);
      if (refusal === undefined) ended += checkTexts(schema, i + 1, 2);
      else {
        expect(refusal).toMatchObject({ name: "GrokError", code: "unsupported" });
        refused++;
      }
    }
    expect(ended).toBeGreaterThan(300);
    expect(refused).toBeLessThan(100);
  });
});

const pick = (text: string) => ({ accepts: (schema: unknown) => accepts(automatonOf({ schema }), text) });

describe("a schema", () => {
  it.each([
    [
      { type: "integer", minimum: -5, maximum: 1234 },
      ["-5", "0", "7", "999", "1234"],
      ["-6", "1235", "01", "-0", "1.0", ""],
    ],
    [{ type: "integer", exclusiveMinimum: 0 }, ["1", "999999999999999"], ["0", "-1"]],
    [{ type: "integer", multipleOf: 7, minimum: 10 }, ["14", "700"], ["7", "15"]],
    [
      { type: "number", minimum: 0.1, maximum: 2.25 },
      ["0.1", "0.10", "1", "2.25", "2.2"],
      ["0.09", "2.26", "0", "2.251", "3"],
    ],
    [{ type: "number", exclusiveMinimum: -1.5, maximum: 0 }, ["-1.49", "0", "-0.000001"], ["-1.5", "0.1"]],
    [{ type: "number", minimum: 1e300 }, [], ["1"]],
    [
      { type: "string", minLength: 2, maxLength: 3 },
      ['"ab"', '"é😀"', '"\\n\\u0041\\ud83d\\ude00"'],
      ['"a"', '"abcd"', '"\\ud83d"'],
    ],
    [{ type: "string", pattern: "^[A-Z]{2}\\d+$", maxLength: 4 }, ['"AB1"', '"AB12"'], ['"AB"', '"AB123"']],
    [{ type: "string", pattern: '"' }, ['"a\\"b"'], ['"ab"']],
    [{ type: "string", format: "date" }, ['"2024-02-28"'], ['"2024-13-01"', '"2024-02-30"']],
    [{ type: ["string", "null"] }, ['"a"', "null"], ["1", "true"]],
    [{ enum: ["a", 1, null, { b: [1] }] }, ['"a"', "1", "null", '{"b":[1]}'], ['"b"', "2"]],
    [{ enum: ["a", 1, "ccc"], type: "string", maxLength: 2 }, ['"a"'], ["1", '"ccc"']],
    [{ const: 'say "hi"' }, ['"say \\"hi\\""'], ["hi"]],
    [
      { type: "array", items: { type: "integer" }, minItems: 1, maxItems: 2 },
      ["[1]", "[1, 2]", "[\n  1\n]"],
      ["[]", "[1,2,3]"],
    ],
    [
      { type: "array", prefixItems: [{ type: "string" }, { type: "null" }], items: false },
      ['["a",null]', "[]"],
      ['["a",null,1]'],
    ],
    [{ type: "array", items: [{ const: 1 }], additionalItems: { const: 2 } }, ["[1,2,2]"], ["[2]"]],
    [{ anyOf: [{ const: 1 }, { type: "array", items: { $ref: "#" } }] }, ["1", "[[1],[]]"], ["2", "[2]"]],
    [{ oneOf: [{ type: "string" }, { type: "integer" }] }, ['"a"', "3"], ["null"]],
    [{ allOf: [{ type: "integer", minimum: 3 }, { maximum: 4 }] }, ["3", "4"], ["2", "5"]],
    [{ $ref: "#/$defs/a%25b", $defs: { "a%b": { const: 1 } } }, ["1"], ["2"]],
    [{ $ref: "#name", $defs: { a: { $anchor: "name", const: 1 } } }, ["1"], ["2"]],
  ])("%j", (schema, right, wrong) => {
    if (right.length === 0) return expect(refusalOf(schema)?.message).toMatch(/allows no text/);
    expect(right.filter((text) => !pick(text).accepts(schema))).toEqual([]);
    expect(wrong.filter((text) => pick(text).accepts(schema))).toEqual([]);
  });

  it("has members in its order, required or not, with others behind them", () => {
    const properties = { a: { type: "integer" }, b: { type: "boolean" }, c: { const: 1 } };
    const strict = { type: "object", properties, required: ["b"], additionalProperties: false };
    const texts = ['{"b":true}', '{"a":1,"b":true}', '{"a": 1, "b": true, "c": 1}', '{ "b": false }'];
    const others = ['{"a":1}', '{"b":true,"a":1}', '{"b":true,"d":1}', "{}", '{"b":true,}'];
    expect(texts.filter((text) => !pick(text).accepts(strict))).toEqual([]);
    expect(others.filter((text) => pick(text).accepts(strict))).toEqual([]);
    const open = { type: "object", properties, additionalProperties: { type: "null" } };
    expect(['{"d":null}', '{"a":1,"dd":null,"ca":null}'].filter((text) => !pick(text).accepts(open))).toEqual([]);
    // A member that is left out does not come back under another spelling, of another type.
    expect(['{"c":null}', '{"\\u0063":null}'].filter((text) => pick(text).accepts(open))).toEqual([]);
  });

  it("has as many members as it says", () => {
    const properties = { a: { const: 1 }, b: { const: 1 }, c: { const: 1 } };
    const schema = {
      type: "object",
      properties,
      required: ["b"],
      minProperties: 2,
      maxProperties: 2,
      additionalProperties: false,
    };
    const texts = ['{"a":1,"b":1}', '{"b":1,"c":1}'];
    const others = ['{"b":1}', '{"a":1,"b":1,"c":1}', '{"a":1,"c":1}'];
    expect(texts.filter((text) => !pick(text).accepts(schema))).toEqual([]);
    expect(others.filter((text) => pick(text).accepts(schema))).toEqual([]);
  });

  it.each([
    [{ not: { type: "string" } }, /^schema #\/not: not is not supported/],
    [{ properties: { a: { type: "array", uniqueItems: true } } }, /^schema #\/properties\/a\/uniqueItems/],
    [{ type: "object", dependentRequired: {} }, /dependentRequired/],
    [{ minLenght: 3 }, /minLenght is not supported/],
    [{ type: "string", format: "postcode" }, /the format "postcode" is not supported; known are/],
    [{ $ref: "https://example.com/schema" }, /other documents are not read/],
    [{ $ref: "#" }, /\$ref comes back to itself/],
    [{ allOf: [{ $ref: "#/$defs/a" }], $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } } }, /comes back/],
    [{ type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }, /allows no text that comes to an end/],
    [{ type: "string", pattern: "^a$", minLength: 3 }, /allows no text/],
    [{ type: "integer", minimum: 4, maximum: 3 }, /allows no text/],
    [{ type: "number", multipleOf: 0.01 }, /multipleOf 0.01 is not supported/],
    [{ type: "string", pattern: "(?=a)b" }, /looking ahead/],
    [{ oneOf: [{ type: "integer" }, { minimum: 3 }] }, /branches 0 and 1 may both hold/],
    [{ oneOf: [{ properties: { a: {} } }, { minLength: 2 }] }, /may both hold/],
    [
      { anyOf: Array.from({ length: 9 }, () => ({ anyOf: Array.from({ length: 9 }, (_, i) => ({ const: i })) })) },
      /more than 64 forms/,
    ],
    [false, /allows no text/],
  ])("%j is refused by name", (schema, message) => {
    expect(refusalOf(schema)).toMatchObject({ code: "unsupported", message: expect.stringMatching(message) });
  });

  it.each([
    [3, /schema #: 3, expected a schema/],
    [{ minLength: "3" }, /schema #\/minLength: the text "3", expected a whole number/],
    [{ type: "text" }, /schema #\/type: .* expected object, array/],
    [{ properties: { a: 1 } }, /schema #\/properties\/a: 1, expected a schema/],
    [{ required: "a" }, /#\/required/],
    [{ items: [[]] }, /expected a schema/],
  ])("%j is none", (schema, message) => {
    expect(refusalOf(schema)).toMatchObject({ code: "argument", message: expect.stringMatching(message) });
  });
});
