import { describe, expect, it } from "vitest";
import { processorSeconds } from "../../test/support/time.ts";
import { createJinjaTemplate, longestTemplate, plainTemplate } from "./chat-template.ts";

const chatml =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const hello = [{ role: "user", content: "hello" }];

describe("a file's template", () => {
  it("gets the messages, and asks for the answer", () => {
    expect(createJinjaTemplate(chatml, "m.gguf").render(hello).text).toBe(
      "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  it("gets variables, and the date", () => {
    const template = createJinjaTemplate("{{ bos_token }}{{ strftime_now('%Y') }} {{ mood }}", "m.gguf");
    expect(template.render(hello, { bos_token: "<s>", mood: "calm" }).text).toBe(`<s>${new Date().getFullYear()} calm`);
  });

  it("can refuse, in its own words", () => {
    const template = createJinjaTemplate("{{ raise_exception('roles must alternate') }}", "m.gguf");
    expect(() => template.render(hello)).toThrow(
      expect.objectContaining({ code: "format", message: expect.stringMatching(/m\.gguf.*roles must alternate/) }),
    );
  });

  it.each([
    ["does not parse", "{% for %}"],
    ["is cut off", "{{ messages[0]['content'"],
    ["calls what is not there", "{{ nothing() }}"],
    ["reaches for the program", "{{ messages.constructor.constructor('return process')() }}"],
    ["loops for ever", "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}"],
    ["asks for a long range", "{{ range(1000000000) | length }}"],
    ["asks for an endless range", "{{ range(0, 10, 0) | length }}"],
    ["doubles a text", `{% set ns = namespace(s='x') %}${"{% set ns.s = ns.s + ns.s %}".repeat(40)}{{ ns.s }}`],
    [
      "doubles a list",
      `{% set ns = namespace(s=[1]) %}${"{% set ns.s = ns.s + ns.s %}".repeat(40)}{{ ns.s | length }}`,
    ],
    ["recurses", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}"],
    ["nests deeply", `{{ ${"(".repeat(30000)}1${")".repeat(30000)} }}`],
  ])("that %s is a typed error, and soon", (_, source) => {
    const seconds = processorSeconds(() => {
      const template = createJinjaTemplate(source, "m.gguf");
      expect(() => template.render(hello)).toThrow(expect.objectContaining({ code: "format" }));
    });
    expect(seconds).toBeLessThan(10);
  });

  it("has a longest length", () => {
    expect(() => createJinjaTemplate("x".repeat(longestTemplate + 1), "m.gguf")).toThrow(
      expect.objectContaining({ code: "format" }),
    );
  });

  it("may be long where the messages are", () => {
    const content = "word ".repeat(200_000);
    const messages = Array.from({ length: 20 }, (_, i) => ({ role: i % 2 ? "assistant" : "user", content }));
    expect(createJinjaTemplate(chatml, "m.gguf").render(messages).text.length).toBeGreaterThan(20 * content.length);
  });
});

it("the plain format stands in where there is none", () => {
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Hello." },
    { role: "user", content: "And?" },
  ];
  expect(plainTemplate.render(messages).text).toBe(
    "Be brief.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: And?\n\nAssistant:",
  );
  // Roles are names, not properties of some object.
  expect(plainTemplate.render([{ role: "constructor", content: "x" }]).text).toBe("constructor: x\n\nAssistant:");
});
