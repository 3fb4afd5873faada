import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { GrokError, shown } from "../../src/errors.ts";
import { createChat, loadModel } from "../../src/index.ts";

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

it("half a character is refused wherever text comes in, by the name of what it stands in", async () => {
  const half = "a\ud800";
  const model = await loadModel(fileURLToPath(new URL("../vectors/models/llama.gguf", import.meta.url)), {
    ...{ backend: "reference", contextLength: 64 },
  });
  const user = { role: "user", content: "a" } as const;
  const calls: readonly (readonly [() => unknown, string])[] = [
    [() => model.encode(half), "encode: the text"],
    [() => model.generate(half).result, "generate: the prompt"],
    [() => model.generate("a", { stop: ["b", half] }).result, "generate: the options"],
    [() => model.chat([{ role: "user", content: half }]).result, "the messages"],
    [() => model.chat([{ ...user, name: half }]).result, "the messages"],
    [() => model.chat([user], { templateVariables: { [half]: 1 } }).result, "chat: the options"],
    [() => createChat(model, { system: half }), "createChat: the options"],
    [() => createChat(model).send(half).result, "the message"],
    [() => model.tokenizer.encode(half), "what is to be encoded"],
  ];
  for (const [call, place] of calls) {
    const error = await Promise.resolve()
      .then(call)
      .catch((error: unknown) => error);
    expect(error).toMatchObject({ code: "argument", message: expect.stringContaining(place) });
    expect((error as Error).message).toContain("\\ud800 at place 1 is half a character");
  }
  await model.close();
});
