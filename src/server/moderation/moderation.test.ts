import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GrokError } from "../../errors.ts";
import { loadModel } from "../../generate/load.ts";
import { createScriptedModel } from "../../generate/scripted-model.case.ts";
import type { LanguageModel } from "../../generate/types.ts";
import { eventsOf, startTestServer } from "../app.case.ts";
import { compileSearch } from "./automaton.ts";
import { createJudge, verdictOf } from "./judge.ts";
import { readRules } from "./rules.ts";
import { createService } from "./service.ts";

const root = resolve(import.meta.dirname, "../../..");
const files = { llama: join(root, "test/vectors/models/llama.gguf") };
const rulesOf = (...rules: readonly object[]) => readRules(JSON.stringify({ rules }), "rules.json");
const chat = (content: string) => ({ messages: [{ role: "user", content }], max_tokens: 30, temperature: 1, seed: 3 });
const path = "/v1/chat/completions";

describe("an expression is searched", () => {
  it("as JavaScript's own engine does", () => {
    const atom = fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "(ab|b)", "(a*)", "c");
    const part = fc
      .tuple(atom, fc.constantFrom("", "*", "+", "?", "{2}", "{1,3}", "*?"))
      .map(([one, times]) => one + times);
    const expression = fc.tuple(
      fc.constantFrom("", "^"),
      fc.array(part, { minLength: 1, maxLength: 5 }),
      fc.constantFrom("", "$"),
    );
    const text = fc.string({ unit: fc.constantFrom("a", "b", "c", "🙂"), maxLength: 8 });
    fc.assert(
      fc.property(expression, fc.array(text, { minLength: 5, maxLength: 5 }), ([from, parts, to], texts) => {
        const source = `${from}${parts.join("")}${to}`;
        const search = compileSearch(source);
        for (const one of texts)
          expect([source, one, search(one)]).toEqual([source, one, new RegExp(source, "u").test(one)]);
      }),
      { numRuns: 500 },
    );
  });

  it("in a time that no text makes long", () => {
    expect(compileSearch("(a+)+$")(`${"a".repeat(20_000)}!`)).toBe(false);
    expect(compileSearch("(a|aa|aaa)*b")("a".repeat(20_000))).toBe(false);
    expect(() => compileSearch("(a{1000}){1000}")).toThrow(/too large/);
  });
});

describe("rules", () => {
  const moderator = rulesOf(
    { id: "es.arma", text: ["construir una bomba"] },
    { id: "en.bomb", text: "bomb", on: "prompt" },
    { id: "number", pattern: "[0-9]{3}-[0-9]{2}-[0-9]{4}" },
  );
  it.each([
    ["how do I CONSTRUIR\n  una  bómba?", "prompt", "es.arma"],
    ["a bomb!", "prompt", "en.bomb"],
    ["a ｂｏｍｂ", "prompt", "en.bomb"],
    ["bo\u200bmb", "prompt", "en.bomb"],
    ["a bomb", "answer", undefined],
    ["a bombastic speech", "prompt", undefined],
    ["it is 123-45-6789.", "answer", "number"],
  ] as const)("say of %j in the %s: %s", async (text, side, rule) => {
    expect(await moderator.check(text, side)).toBe(rule);
  });

  it.each([
    ["{", /rules.json: expected JSON/],
    ['{"rules":[{"id":"a"}]}', /rules.0: a rule has text or a pattern/],
    ['{"rules":[{"id":"a","pattern":"(?<=a)b"}]}', /rule a: .*not supported/],
    ['{"rules":[{"id":"a","text":"b","of":1}]}', /of/],
  ])("%s is refused with its place", (json, message) => {
    expect(() => readRules(json, "rules.json")).toThrow(message);
  });
});

describe("a server with rules", () => {
  it("refuses what is asked, by the rule's name in answer and log, and never says the text", async () => {
    await using server = startTestServer(files, { moderators: [rulesOf({ id: "en.bomb", text: "bomb" })] });
    const refused = await server.post(path, chat("Tell me of a bomb."));
    expect(refused.status).toBe(400);
    const { error } = (await refused.json()) as { error: { code: string; message: string } };
    expect(error).toMatchObject({ code: "content_filter", message: expect.stringMatching(/rule en\.bomb/) });
    expect(server.log[0]).toMatchObject({ rule: "en.bomb", status: 400, completionTokens: 0 });
    expect(JSON.stringify(server.log)).not.toContain("Tell me");
    expect((await server.post(path, chat("Tell me of a bombast."))).status).toBe(200);
    const tokens = [...(await server.model()).encode("bomb")];
    expect((await server.post("/v1/completions", { prompt: tokens, max_tokens: 1 })).status).toBe(400);
  });

  it("looks at what somebody wrote, tools too, and not at what the API calls it", async () => {
    const rules = rulesOf(
      { id: "api", text: ["user", "role", "content", "function", "object"] },
      { id: "bomb", text: "bomb" },
    );
    await using server = startTestServer(files, { moderators: [rules] });
    const withTool = (description: string) => {
      const parameters = { type: "object", properties: {} };
      return { ...chat("Hello."), tools: [{ type: "function", function: { name: "look", description, parameters } }] };
    };
    const statusOf = async (body: object) => (await server.post(path, body)).status;
    expect(await statusOf(chat("Hello."))).toBe(200);
    expect(await statusOf(chat("A user of it."))).toBe(400);
    await statusOf(withTool("Makes a bomb."));
    expect(server.log.at(-1)!.rule).toBe("bomb");
    await statusOf(withTool("Looks it up."));
    expect(server.log.at(-1)!.rule).toBeUndefined();
  });

  it("gives nothing of an answer that is refused, whole or streamed, and all of others", async () => {
    await using plain = startTestServer(files);
    const answer = (await (await plain.post(path, chat("a"))).json()) as {
      choices: { message: { content: string } }[];
    };
    const { content } = answer.choices[0]!.message;
    const letters = [...content.normalize("NFKD").toLowerCase().replace(/\s+/g, " ")];
    const middle = letters
      .slice(Math.floor(letters.length / 2))
      .join("")
      .replace(/[^a-z0-9]/g, ".")
      .slice(0, 6);
    await using server = startTestServer(files, {
      moderators: [rulesOf({ id: "its", pattern: middle, on: "answer" })],
    });
    const refused = "the answer is refused by this server's rule its";
    expect(await (await server.post(path, chat("a"))).json()).toMatchObject({
      choices: [{ message: { content: "", refusal: refused }, finish_reason: "content_filter" }],
      usage: { completion_tokens: 30 },
    });
    expect(server.log[0]).toMatchObject({ rule: "its", status: 200, completionTokens: 30 });
    const text = await (await server.post(path, { ...chat("a"), stream: true })).text();
    expect(text).toContain(`"delta":{"refusal":"${refused}"}`);
    expect(text).toContain('"finish_reason":"content_filter"');
    expect(text).not.toContain(`"content":"${content.slice(0, 1)}`);
    const asked = { messages: [{ role: "user", content: "a" }], max_tokens: 30 };
    await using all = startTestServer(files, { moderators: [rulesOf({ id: "all", pattern: ".", on: "answer" })] });
    const answers = async (path: string, body: object) => (await all.post(path, body)).json();
    const message = { model: "llama", ...asked };
    expect(await answers("/v1/messages", message)).toMatchObject({ stop_reason: "refusal", content: [{ text: "" }] });
    const events = await (await all.post("/v1/messages", { ...message, stream: true })).text();
    expect(events).toContain('"stop_reason":"refusal"');
    expect(await answers("/v1/responses", { input: "a", max_output_tokens: 30 })).toMatchObject({
      ...{ status: "incomplete", incomplete_details: { reason: "content_filter" }, output: [] },
    });
    const completion = { prompt: "a", max_tokens: 30 };
    expect(await answers("/v1/completions", completion)).toMatchObject({
      choices: [{ text: "", finish_reason: "content_filter" }],
    });
    const pieces = await eventsOf(await all.post("/v1/completions", { ...completion, stream: true }));
    expect(pieces).toMatchObject([{ choices: [{ text: "", finish_reason: "content_filter" }] }, "[DONE]"]);
    const ollama = await all.post("/api/chat", { model: "llama", messages: asked.messages, stream: false });
    expect([ollama.status, await ollama.json()]).toEqual([400, { error: expect.stringMatching(/rule all/) }]);
    await using open = startTestServer(files, { moderators: [rulesOf({ id: "other", text: "nothing of this kind" })] });
    const given = (await eventsOf(await open.post(path, { ...chat("a"), stream: true }))) as {
      choices: { delta: { content?: string } }[];
    }[];
    expect(
      given
        .slice(0, -1)
        .map(({ choices }) => choices[0]!.delta.content ?? "")
        .join(""),
    ).toBe(content);
  });
});

describe("a judge", () => {
  it.each([
    ["safe", undefined],
    [" Safe\n", undefined],
    ["unsafe\nS1,S10", "judge.S1+S10"],
    ["unsafe", "judge.unsafe"],
    ["I think that it is safe", "judge.unclear"],
    ["", "judge.unclear"],
  ])("that says %j means %s", (said, rule) => {
    expect(verdictOf(said)).toBe(rule);
  });

  it("is a model, which is loaded when it is first asked, and again where that failed", async () => {
    let says = "safe";
    const judge = join(root, "models/grok1-stories-q8_0.gguf");
    const { model, prompts } = createScriptedModel(judge, undefined, () => says);
    const groups: unknown[] = [];
    const judging: LanguageModel = Object.assign(Object.create(model), {
      chat(...[messages, options]: Parameters<LanguageModel["chat"]>) {
        groups.push(options?.prefixGroup);
        return model.chat(messages, options);
      },
    });
    let loads = 0;
    const moderator = createJudge(async () => {
      if (loads++ === 0) throw new GrokError("io", "/secret/judge.gguf: cannot open: no such file or folder");
      return judging;
    });
    const keys = { laptop: createHash("sha256").update("secret").digest("hex") };
    await using server = startTestServer(files, { moderators: [moderator], keys });
    const ask = async (content: string) => {
      const response = await server.post(path, chat(content), { headers: { authorization: "Bearer secret" } });
      return { status: response.status, text: await response.text() };
    };
    const failed = await ask("One.");
    expect(failed).toMatchObject({ status: 503, text: expect.stringContaining("judge cannot be loaded") });
    expect(failed.text).not.toContain("secret");
    expect(server.log[0]!.error).toContain("/secret/judge.gguf: cannot open");
    expect((await ask("Two.")).status).toBe(200);
    expect(loads).toBe(2);
    // The question, then the answer.
    expect(prompts.map((prompt) => /\n\n(User|Agent): /.exec(prompt)?.[1])).toEqual(["User", "Agent"]);
    // Who else has a key learns nothing of it by how long the judge takes.
    expect(groups).toEqual(["laptop", "laptop"]);
    says = "unsafe\nS9";
    expect(await ask("Three.")).toMatchObject({ status: 400, text: expect.stringContaining("rule judge.S9") });
    expect(server.log[2]).toMatchObject({ rule: "judge.S9", completionTokens: 0 });
  });

  it("that was made for another task lets nothing through", async () => {
    const judge = createJudge(() => loadModel(join(root, "models/grok1-stories-q8_0.gguf"), { threads: 1 }));
    await using server = startTestServer(files, { moderators: [judge] });
    const refused = await server.post(path, chat("a"));
    expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining("rule judge.unclear")]);
    await judge.close();
  });
});

describe("a service", () => {
  it("is asked in OpenAI's or Perspective's words; where it does not answer, nothing is let through", async () => {
    const asked: unknown[] = [];
    const service = createServer((request, response) => {
      let body = "";
      request.on("data", (part: Buffer) => {
        body += part.toString();
      });
      request.on("end", () => {
        asked.push([request.url, request.headers.authorization ?? request.headers["x-goog-api-key"], JSON.parse(body)]);
        const bad = body.includes("bad");
        const answer = request.url!.includes(":analyze")
          ? { attributeScores: { THREAT: { summaryScore: { value: bad ? 0.9 : 0.1 } } } }
          : { results: [{ flagged: bad, categories: { violence: bad, hate: false } }] };
        response.end(JSON.stringify(answer));
      });
    });
    await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
    const base = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
    const openAi = createService({ url: `${base}/v1/moderations`, key: "k" });
    const perspective = createService({ url: `${base}/v1alpha1/comments:analyze`, key: "g" });
    const verdicts = [];
    for (const one of [openAi, perspective])
      for (const text of ["good", "bad"]) verdicts.push(await one.check(text, "prompt"));
    expect(verdicts).toEqual([undefined, "service.violence", undefined, "service.THREAT"]);
    expect(asked[0]).toEqual(["/v1/moderations", "Bearer k", { input: "good" }]);
    expect(asked[2]).toMatchObject([
      "/v1alpha1/comments:analyze",
      "g",
      { comment: { text: "good" }, doNotStore: true },
    ]);
    service.close();
    service.closeAllConnections();
    await using server = startTestServer(files, { moderators: [openAi] });
    expect((await server.post(path, chat("good"))).status).toBe(503);
  });
});
