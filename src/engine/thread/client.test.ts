import { MessageChannel } from "node:worker_threads";
import { expect, it } from "vitest";
import { GrokError } from "../../errors.ts";
import { createCore } from "../core.ts";
import type { EngineInfo } from "../engine.ts";
import { createFakeModel, greedyOracle } from "../fake-model.case.ts";
import { answerMessages } from "./answer.ts";
import { connect } from "./client.ts";

function start() {
  const { port1, port2 } = new MessageChannel();
  const fake = createFakeModel();
  const core = createCore(
    fake.ops,
    fake.model,
    {
      ...{ contextLength: 64, cacheTokens: 128, kvType: "f32", batchTokens: 16, speculate: true },
    },
    { pageTokens: 4 },
  );
  answerMessages(port2, { core, onClose: () => port2.close() });
  const busy: boolean[] = [];
  const engine = connect(port1, { contextLength: 64 } as EngineInfo, { onBusy: (now) => busy.push(now) });
  return { fake, engine, busy };
}

it("carries requests, tokens and results between the sides", async () => {
  const { engine, busy } = start();
  const session = engine.openSession();
  const given: number[] = [];
  const request = { tokens: [1, 2, 3], options: { maxTokens: 7, temperature: 0, logprobs: 1 } };
  const { result } = engine.generate(request, {
    session,
    onTokens(tokens, logprobs) {
      given.push(...tokens);
      expect(logprobs).toHaveLength(tokens.length);
    },
  });
  expect(await result).toMatchObject({ finishReason: "length", promptTokens: 3, generatedTokens: 7 });
  expect(given).toEqual(greedyOracle([1, 2, 3], 7));
  expect(await engine.logprobs([1, 2, 3])).toHaveLength(2);
  await engine.closeSession(session);
  expect(await engine.status()).toMatchObject({ sessions: 0, requests: 0 });
  await engine.close();
  // Busy while something is asked, and never left so.
  expect(busy.filter((now) => now)).toHaveLength(busy.length / 2);
  expect(busy.at(-1)).toBe(false);
});

it("brings errors back as they were", async () => {
  const { engine, fake } = start();
  const failing = engine.generate({ tokens: Array.from({ length: 70 }, () => 1) }).result;
  await expect(failing).rejects.toBeInstanceOf(GrokError);
  await expect(failing).rejects.toMatchObject({ code: "capacity", details: { promptTokens: 70, contextLength: 64 } });
  fake.before = () => {
    throw new TypeError("a defect");
  };
  await expect(engine.generate({ tokens: [1] }).result).rejects.toMatchObject({
    code: "internal",
    message: "a defect",
  });
  await expect(engine.bench({ prefill: 3 })).rejects.toMatchObject({ code: "internal" });
  const unsendable = engine.generate({ tokens: [1], options: { logitBias: { 1: (() => 1) as never } } }).result;
  await expect(unsendable).rejects.toMatchObject({ code: "argument" });
  await engine.close();
});

it("rejects all that is pending, and all that comes, when the other side is gone", async () => {
  const { engine, fake, busy } = start();
  let release = () => {};
  fake.before = () => new Promise<void>((resolve) => (release = resolve));
  const pending = [engine.generate({ tokens: [1] }).result, engine.logprobs([1, 2])];
  (engine as ReturnType<typeof connect>).fail(new GrokError("internal", "the engine's thread failed: it crashed"));
  for (const each of pending) await expect(each).rejects.toMatchObject({ code: "internal" });
  await expect(engine.generate({ tokens: [1] }).result).rejects.toMatchObject({ code: "internal" });
  await expect(engine.status()).rejects.toMatchObject({ code: "internal" });
  expect(busy).toEqual([true, false]);
  await new Promise((resolve) => setTimeout(resolve, 5));
  release();
  await engine.close();
});

it("cancels by message, and by signal before or while", async () => {
  const { engine } = start();
  const generation = engine.generate(
    { tokens: [1], options: { temperature: 0 } },
    { onTokens: (_) => generation.cancel() },
  );
  expect(await generation.result).toMatchObject({ finishReason: "cancelled" });
  const controller = new AbortController();
  const job = engine.logprobs([1, 2, 3], { signal: controller.signal });
  controller.abort();
  await expect(job).rejects.toMatchObject({ code: "cancelled" });
  await expect(engine.logits([1], { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "cancelled" });
  const status = await engine.status();
  expect(status.freePages).toBe(status.pages);
  await engine.close();
});

it("refuses what are no token ids, before an array of int32 makes others of them", async () => {
  const { engine } = start();
  for (const tokens of [[1.5], [2 ** 32 + 1], [-1], [Number.NaN], ["1"], "12", null, 5]) {
    const given = tokens as number[];
    for (const asked of [engine.generate({ tokens: given }).result, engine.logits(given), engine.logprobs(given)]) {
      await expect(asked).rejects.toMatchObject({ code: "argument" });
    }
  }
  await engine.close();
});

it("opens no session once it is closed", async () => {
  const { engine } = start();
  const session = engine.openSession();
  await engine.close();
  expect(() => engine.openSession()).toThrow(expect.objectContaining({ code: "argument" }));
  expect(() => engine.forkSession(session)).toThrow(expect.objectContaining({ code: "argument" }));
  await engine.closeSession(session);
});
