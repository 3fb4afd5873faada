import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadModel } from "../generate/load.ts";
import { evaluate } from "./evaluate.ts";
import { mcNemar } from "./paired.ts";
import type { QuestionRecord } from "./scores.ts";
import { encodePair } from "./tokens.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-evaluate-"));
const path = join(import.meta.dirname, "../../test/vectors/models/llama.gguf");
const model = await loadModel(path, { backend: "reference" });
afterAll(async () => {
  await model.close();
  rmSync(folder, { recursive: true, force: true });
});

const write = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const common = { about: "a test", source: "nowhere", context: "{{q}}" };
const choice = write(
  "choice.json",
  JSON.stringify({
    ...{ ...common, name: "choice", data: "choice.jsonl", metrics: ["acc", "acc_norm"] },
    ...{ choices: "{{c | tojson}}", continuation: "{{choice}}", answer: "{{a}}" },
  }),
);
const cloze = write(
  "cloze.json",
  JSON.stringify({
    ...{ ...common, name: "cloze", data: "choice.jsonl", metrics: ["acc", "perplexity"], continuation: " {{end}}" },
  }),
);
// More than are scored together.
const words = ["cat", "dog", "the old house", "a", "Zoë"];
const rows = Array.from({ length: 70 }, (_, i) => ({
  q: `The ${words[i % 5]} ${i % 7}`,
  ...{ c: [words[i % 4], words[(i + 1) % 5], `${i}`].slice(0, 2 + (i % 2)), a: i % 2, end: words[i % 3] },
}));
write("choice.jsonl", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
const options = { data: folder };
const linesOf = (file: string) => readFileSync(file, "utf8").split("\n").slice(0, -1);
const recordsOf = (file: string) =>
  linesOf(file)
    .map((line) => JSON.parse(line) as Partial<QuestionRecord>)
    .filter(({ question }) => question !== undefined) as QuestionRecord[];

describe("evaluate", () => {
  it("has each continuation's log-likelihood as it is by itself, and the same figures whatever is computed together", async () => {
    const file = join(folder, "together.jsonl");
    const [of, words] = await evaluate(model, [choice, cloze], { ...options, records: file });
    const records = recordsOf(file);
    expect(records).toHaveLength(140);
    for (const { task, question, logprobs } of records) {
      const { q, c, end } = rows[question]!;
      const continuations = task === "choice" ? c : [end];
      for (const [i, continuation] of continuations.entries()) {
        const { tokens, from } = encodePair(model.tokenizer, { context: q, continuation: ` ${continuation}` }, 64);
        const alone = await model.logprobs(tokens, { from });
        expect(logprobs[i]).toBe(alone.reduce((sum, value) => sum + value, 0));
      }
    }
    const right = records.filter(({ task, scores }) => task === "choice" && scores.acc === 1).length;
    const p = right / 70;
    expect(of!.metrics.acc!.value).toBeCloseTo(p, 12);
    expect(of!.metrics.acc!.error).toBeCloseTo(Math.sqrt((p * (1 - p)) / 69), 12);
    expect(of).toMatchObject({ task: "choice", questions: 70, available: 70, shots: 0, truncated: 0 });
    expect(of!.guessing).toBeCloseTo((35 / 2 + 35 / 3) / 70, 12);
    const mean =
      records.filter(({ task }) => task === "cloze").reduce((sum, { logprobs }) => sum + logprobs[0]!, 0) / 70;
    expect(words!.metrics.perplexity!.value).toBeCloseTo(Math.exp(-mean), 6);
    expect(words!.guessing).toBeUndefined();
  });

  it("goes on from an interruption, wherever it came, to the same records and figures", async () => {
    const file = join(folder, "whole.jsonl");
    const expected = await evaluate(model, [choice], { ...options, records: file });
    const whole = readFileSync(file, "utf8");
    const stopped = join(folder, "stopped.jsonl");
    const controller = new AbortController();
    const running = evaluate(model, [choice], {
      ...{ ...options, records: stopped, signal: controller.signal },
      onProgress: ({ done }) => done === 10 && controller.abort(),
    });
    await expect(running).rejects.toMatchObject({ code: "cancelled" });
    expect(recordsOf(stopped).length).toBeGreaterThanOrEqual(10);
    expect(recordsOf(stopped).length).toBeLessThan(70);
    // A line that was cut off half-way.
    writeFileSync(stopped, '{"task":"choi', { flag: "a" });
    let first: unknown;
    const again = await evaluate(model, [choice], {
      ...{ ...options, records: stopped },
      onProgress(progress) {
        first ??= progress;
      },
    });
    expect(again).toEqual(expected);
    expect(first).toMatchObject({ questions: 70 });
    expect((first as { kept: number }).kept).toBeGreaterThanOrEqual(10);
    expect(readFileSync(stopped, "utf8")).toBe(whole);
    // All is there: nothing is asked.
    const none = await evaluate(model, [choice], { ...options, records: stopped, onProgress: () => expect.fail() });
    expect(none).toEqual(expected);
    const few = await evaluate(model, [choice], { ...options, records: stopped, limit: 7 });
    expect(few).toEqual(await evaluate(model, [choice], { ...options, limit: 7 }));
    expect(readFileSync(stopped, "utf8")).toBe(whole);
  });

  it("asks once what several questions have in common, and counts each by its own answer", async () => {
    const repeated = rows.slice(0, 70).map((_, i) => ({ ...rows[i % 4]!, a: i % 2 }));
    write("repeated.jsonl", repeated.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const task = write(
      "repeated.json",
      JSON.stringify({
        ...{ ...common, name: "repeated", data: "repeated.jsonl", metrics: ["acc"] },
        ...{ choices: ["cat", "dog"], continuation: "{{choice}}", answer: "{{a}}" },
      }),
    );
    let asked = 0;
    const counting: typeof model = {
      ...model,
      score(texts, ...rest) {
        asked += texts.length;
        return model.score(texts, ...rest);
      },
    };
    const file = join(folder, "repeated-records.jsonl");
    const seen: number[] = [];
    const [of] = await evaluate(counting, [task], {
      ...{ ...options, records: file },
      onProgress: ({ done }) => seen.push(done),
    });
    expect(asked).toBe(4 * 2);
    expect(seen).toEqual(Array.from({ length: 70 }, (_, i) => i + 1));
    const records = recordsOf(file);
    expect(records.map(({ question }) => question)).toEqual([...repeated.keys()]);
    for (const { question, line, answer, logprobs, scores } of records) {
      expect([line, answer]).toEqual([question + 1, [question % 2]]);
      expect(logprobs).toEqual(records[question % 4]!.logprobs);
      expect(scores.acc).toBe(Number(logprobs[question % 2]! > logprobs[1 - (question % 2)]!));
    }
    const mean = records.reduce((sum, { scores }) => sum + scores.acc!, 0) / 70;
    expect(of!.metrics.acc!.value).toBeCloseTo(mean, 12);
    // Where some are there already, the others are the same.
    const part = join(folder, "repeated-part.jsonl");
    await evaluate(model, [task], { ...options, records: part, limit: 6 });
    asked = 0;
    await evaluate(counting, [task], { ...options, records: part });
    expect(readFileSync(part, "utf8")).toBe(readFileSync(file, "utf8"));
  });

  it("refuses records of something else, and leaves them as they are", async () => {
    const file = join(folder, "other.jsonl");
    await evaluate(model, [choice], { ...options, records: file, limit: 3 });
    const asked = (changes: object) => evaluate(model, [choice], { ...options, records: file, limit: 3, ...changes });
    const text = readFileSync(file, "utf8");
    await expect(asked({ shots: 1 })).rejects.toThrow(/other\.jsonl: the records of choice are of other questions/);
    const lines = linesOf(file);
    const damage = async (line: number, content: string, message: RegExp) => {
      writeFileSync(file, lines.map((old, i) => `${i === line - 1 ? content : old}\n`).join(""));
      const damaged = readFileSync(file, "utf8");
      await expect(asked({})).rejects.toThrow(message);
      expect(readFileSync(file, "utf8")).toBe(damaged);
    };
    await damage(1, lines[0]!.replace(/"model":"./, '"model":"x'), /other\.jsonl: the records are of another model/);
    await damage(1, "{}", /line 1: expected the head/);
    await damage(2, lines[2]!, /line 2: expected a question's record/);
    await damage(4, "nonsense", /line 4: expected a JSON object/);
    await damage(4, '{"task":"choice","question":1}', /question 1: the record is not whole/);
    writeFileSync(file, "somebody's notes");
    await expect(asked({})).rejects.toThrow(/line 1: expected the head/);
    expect(readFileSync(file, "utf8")).toBe("somebody's notes");
    writeFileSync(file, text);
    await expect(asked({})).resolves.toHaveLength(1);
  });

  it("goes by adapters, and knows records of others", async () => {
    const records = join(folder, "adapted.jsonl");
    const asking = { ...options, limit: 2, records };
    const adapter = join(import.meta.dirname, "../../test/vectors/lora/llama");
    const load = (scale: number) => loadModel(path, { backend: "reference", adapters: [{ path: adapter, scale }] });
    await using adapted = await load(1);
    await evaluate(adapted, [choice], asking);
    const { tokens, from } = encodePair(model.tokenizer, { context: rows[0]!.q, continuation: ` ${words[0]}` }, 64);
    const sum = (values: Float64Array) => values.reduce((total, value) => total + value, 0);
    const [{ logprobs }] = recordsOf(records) as [QuestionRecord];
    expect(logprobs[0]).toBe(sum(await adapted.logprobs(tokens, { from })));
    expect(logprobs[0]).not.toBe(sum(await model.logprobs(tokens, { from })));
    await using weaker = await load(0.5);
    for (const other of [model, weaker]) {
      await expect(evaluate(other, [choice], asking)).rejects.toThrow(/are of another model/);
    }
  });

  it("compares with another run's records, question by question", async () => {
    const file = join(folder, "one.jsonl");
    await evaluate(model, [choice, cloze], { ...options, records: file });
    const [same, words] = await evaluate(model, [choice, cloze], { ...options, records: file, against: file });
    expect(same!.paired!.acc).toEqual({
      ...{ questions: 70, other: same!.metrics.acc!.value, difference: 0, error: 0 },
      ...{ retained: { value: 1, low: 1, high: 1 }, changed: { gained: 0, lost: 0, p: 1 }, noise: true },
    });
    expect(words!.paired!.perplexity!.changed).toBeUndefined();
    // Another run, of which we know what it has: the first ten questions, of which each third was right.
    const lines = linesOf(file);
    const other = join(folder, "two.jsonl");
    const kept = lines.slice(0, 12).map((line, i) => {
      const record = JSON.parse(line);
      if (i === 0) return line.replace(/"model":"\w+"/, '"model":"another"');
      return i === 1 ? line : JSON.stringify({ ...record, scores: { ...record.scores, acc: Number(i % 3 === 0) } });
    });
    writeFileSync(other, kept.map((line) => `${line}\n`).join(""));
    const text = readFileSync(other, "utf8");
    // Of two perplexities the better one is the whole, of which the worse has kept a part.
    const poor = join(folder, "poor.jsonl");
    const poorer = linesOf(file).map((line) => {
      const { scores, ...record } = JSON.parse(line);
      return record.task !== "cloze" || !scores
        ? line
        : JSON.stringify({ ...record, scores: { ...scores, perplexity: scores.perplexity - Math.LN2 } });
    });
    writeFileSync(poor, poorer.map((line) => `${line}\n`).join(""));
    const [better] = await evaluate(model, [cloze], { ...options, records: file, against: poor });
    expect(better!.paired!.perplexity!.retained!.value).toBeCloseTo(2, 9);
    const [result] = await evaluate(model, [choice], { ...options, records: file, against: other });
    const own = recordsOf(file)
      .slice(0, 10)
      .map(({ scores }) => scores.acc!);
    const gaps = own.map((score, i) => score - Number((i + 2) % 3 === 0));
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / 10;
    const { questions, other: theirs, difference, error, changed } = result!.paired!.acc!;
    expect({ questions, theirs }).toEqual({ questions: 10, theirs: 0.3 });
    expect(difference).toBeCloseTo(mean, 12);
    expect(error).toBeCloseTo(Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / 90), 12);
    expect(changed).toMatchObject({
      gained: gaps.filter((gap) => gap === 1).length,
      lost: gaps.filter((gap) => gap === -1).length,
    });
    expect(readFileSync(other, "utf8")).toBe(text);
    const refused = (changes: object) => evaluate(model, [choice], { ...options, against: other, ...changes });
    await expect(refused({ shots: 1 })).rejects.toThrow(/two\.jsonl: the records of choice are of other questions/);
    await expect(refused({ against: join(folder, "none") })).rejects.toThrow(/none: cannot read: no such file/);
    await expect(evaluate(model, [cloze], { ...options, against: other })).rejects.toThrow(/no records of cloze/);
  });

  it("McNemar's test is the exact one", () => {
    // As sums of binomials in whole numbers have it.
    expect(mcNemar(0, 0)).toBe(1);
    expect(mcNemar(1, 9)).toBeCloseTo(0.021484375, 12);
    expect(mcNemar(9, 1)).toBeCloseTo(0.021484375, 12);
    expect(mcNemar(10, 10)).toBe(1);
    expect(mcNemar(0, 2000)).toBe(0);
    expect(mcNemar(960, 1040)).toBeCloseTo(0.07728689056, 9);
  });

  it("refuses arguments that are none", async () => {
    await expect(evaluate(model, [], options)).rejects.toThrow(/tasks is empty/);
    await expect(evaluate(model, [choice], { data: "" })).rejects.toThrow(/data is empty/);
    await expect(evaluate(model, [choice], { ...options, shots: -1 })).rejects.toThrow(/shots is -1/);
    await expect(evaluate(model, [choice], { ...options, limit: 0 })).rejects.toThrow(/limit is 0/);
    await expect(evaluate(model, [choice], { ...options, batch: 3 } as never)).rejects.toThrow(
      /there is no option batch/,
    );
  });
});

describe("encodePair", () => {
  const { tokenizer } = model;
  const encode = (text: string) => [...tokenizer.encode(text, { bos: tokenizer.addBos })];

  it("gives a context as many tokens as it has by itself, and its last spaces to the continuation", () => {
    const whole = encode("The cat  sat");
    const plain = encodePair(tokenizer, { context: "The cat", continuation: "  sat" }, 64);
    expect([...plain.tokens]).toEqual(whole);
    expect(plain.from).toBe(encode("The cat").length);
    expect(encodePair(tokenizer, { context: "The cat \u00a0\n", continuation: "sat" }, 64).from).toBe(plain.from);
    // What Python's rstrip leaves, though JavaScript's trimEnd would not.
    const { from } = encodePair(tokenizer, { context: "The cat\ufeff", continuation: " sat" }, 64);
    expect(from).toBe(encode("The cat\ufeff").length);
  });

  it("begins with the token that begins texts where there is no context", () => {
    const { tokens, from } = encodePair(tokenizer, { context: "", continuation: " sat" }, 64);
    expect([...tokens]).toEqual([tokenizer.bos ?? tokenizer.eos, ...tokenizer.encode(" sat")]);
    expect(from).toBe(1);
  });

  it("leaves out the beginning of what does not fit, never of the continuation", () => {
    const pair = { context: "The cat sat on the mat", continuation: " and slept" };
    const { tokens, from } = encodePair(tokenizer, pair, 64);
    const cut = encodePair(tokenizer, pair, tokens.length - 3);
    expect([...cut.tokens]).toEqual([...tokens.subarray(2)]);
    expect(cut).toMatchObject({ from: from - 2, truncated: true });
    expect(() => encodePair(tokenizer, pair, tokens.length - from - 1)).toThrow(/the continuation has \d+ tokens/);
  });
});
