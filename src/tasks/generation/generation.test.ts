import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadModel } from "../../generate/load.ts";
import { putAsText } from "../conversation.ts";
import { evaluate } from "../evaluate.ts";
import { listTasks, openTask } from "../task.ts";
import { readPrompts } from "./questions.ts";
import { type GenerationRecord, summarizeAnswers } from "./run.ts";
import { passAt, type Scored } from "./scoring.ts";
import { type GenerationTask, isGeneration } from "./task.ts";

const vectors = join(import.meta.dirname, "../../../test/vectors/eval/generation");
const read = <T>(name: string) => JSON.parse(readFileSync(join(vectors, `${name}.json`), "utf8")) as T;
const openWords = (name: string) => openTask(name) as GenerationTask;
const data = join(import.meta.dirname, "../../../../shared/data/eval");
const folder = mkdtempSync(join(tmpdir(), "grok1-generation-"));
const model = await loadModel(join(import.meta.dirname, "../../../test/vectors/models/llama.gguf"), {
  backend: "reference",
});
afterAll(async () => {
  await model.close();
  rmSync(folder, { recursive: true, force: true });
});

type Vector = readonly [text: string, reference: string, taken: readonly string[], scores: readonly number[]];

describe("answers", () => {
  const answers = read<Readonly<Record<string, readonly Vector[]>>>("answers");

  it.each(Object.keys(answers))(
    "%s takes of 1,000 answers what lm-evaluation-harness does, and scores it so",
    (name) => {
      const { filters, scoring, metrics } = openWords(name);
      expect(answers[name]).toHaveLength(1000);
      const ours = answers[name]!.map(([text, reference]): Vector => {
        const taken = new Map([...filters].map(([way, filter]) => [way, [filter(text)]]));
        const row = { path: "", line: 1, fields: { answer: reference, target: reference } };
        const { scores } = scoring.score(row, taken, () => expect.fail()) as Scored;
        return [text, reference, [...taken.values()].flat(), metrics.map((metric) => scores[metric] as number)];
      });
      expect(ours).toEqual(answers[name]);
      // Right and wrong ones are among them.
      const right = ours.filter(([, , , scores]) => scores.includes(1)).length;
      expect(right).toBeGreaterThan(100);
      expect(right).toBeLessThan(800);
    },
  );
});

describe("prompts", () => {
  const prompts = read<Readonly<Record<string, readonly string[]>>>("prompts");

  it.skipIf(!existsSync(data)).each(Object.keys(prompts))(
    "%s asks what lm-evaluation-harness asks (of ../shared)",
    (name) => {
      const task = openWords(name);
      const { list } = readPrompts(task, data, task.shots);
      const asked =
        task.parts === undefined ? list.slice(0, prompts[name]!.length) : list.filter(({ index }) => index === 0);
      expect(
        asked.map((each) =>
          createHash("sha256")
            .update(putAsText(each) as string)
            .digest("hex"),
        ),
      ).toEqual(prompts[name]);
    },
  );

  it("says which examples are missing, and what is wrong with a file", () => {
    const task = openWords("gsm8k_cot");
    const fixture = (name: string, text: string) => {
      mkdirSync(join(folder, name, ".."), { recursive: true });
      writeFileSync(join(folder, name), text);
    };
    fixture("gsm8k/test.jsonl", '{"question": "1 + 1?", "answer": "#### 2"}\n');
    expect(readPrompts(task, folder, 0).list.map(putAsText)).toEqual(["Q: 1 + 1?\nA:"]);
    expect(putAsText(readPrompts(task, folder, 1).list[0]!)).toMatch(
      /^Q: There are 15 trees[\s\S]*The answer is 6\.\n\nQ: 1 \+ 1\?\nA:$/,
    );
    expect(() => readPrompts(task, folder, 9)).toThrow(/shots is 9, and gsm8k_cot has 8 examples/);
    const parts = { ...openWords("bbh_cot_fewshot"), parts: ["snarks"] };
    fixture("bbh/cot-prompts/snarks.txt", "BENCHMARK\n-----\nDo it.\n\nQ: a\nA: Let's think step by step. b.\n");
    fixture("bbh/bbh/snarks.json", '{"examples": [{"input": "x", "target": "y"}]}');
    expect(putAsText(readPrompts(parts, folder, 1).list[0]!)).toBe(
      "Do it.\n\nQ: a\nA: Let's think step by step.\nb.\n\nQ: x\nA: Let's think step by step.\n",
    );
    expect(putAsText(readPrompts(parts, folder, 0).list[0]!)).toBe("Do it.\n\nQ: x\nA: Let's think step by step.\n");
    fixture("bbh/cot-prompts/snarks.txt", "no line");
    expect(() => readPrompts(parts, folder, 1)).toThrow(/snarks\.txt: expected a line of hyphens/);
    fixture("bbh/bbh/snarks.json", '{"examples": {}}');
    expect(() => readPrompts(parts, folder, 1)).toThrow(/snarks\.json: examples: expected a list of objects/);
  });
});

describe("evaluate, in words", () => {
  const path = join(folder, "own.json");
  const own = (changes: object = {}) => {
    const whole = {
      ...{
        name: "own",
        about: "a test",
        data: "{{part}}.jsonl",
        source: "nowhere",
        parts: ["a", "b"],
        prompt: "{{q}}",
      },
      ...{ generate: { until: ["\n"], maxTokens: 6, sampling: { temperature: 1, topP: 0.9 } } },
      ...{
        filters: { first: { regex: "\\w+" }, last: { regex: "\\w", select: -1 } },
        score: { exact_match: { answer: "{{a}}" } },
      },
      ...changes,
    };
    writeFileSync(path, JSON.stringify(whole));
    return path;
  };
  for (const part of ["a", "b"]) {
    const rows = Array.from({ length: 31 }, (_, i) => ({ q: `The cat ${part} ${i % 9} sat on`, a: "the" }));
    writeFileSync(join(folder, `${part}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
  const recordsOf = (file: string) =>
    readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as GenerationRecord)
      .filter(({ question }) => question !== undefined);

  it("has each answer as it is by itself, and the same records after an interruption", async () => {
    const whole = join(folder, "whole.jsonl");
    const [result] = await evaluate(model, [own()], { data: folder, records: whole });
    expect(result).toMatchObject({ task: "own", questions: 62, available: 62, samples: 1, shots: 0 });
    expect(result!.parts!.a!.questions).toBe(31);
    const records = recordsOf(whole);
    expect(records.map(({ question, part }) => [question, part])).toEqual(
      Array.from({ length: 62 }, (_, i) => [i, i < 31 ? "a" : "b"]),
    );
    let limited = 0;
    for (const { question, answers, part } of records) {
      const prompt = `The cat ${part} ${(question % 31) % 9} sat on`;
      const alone = await model.generate(prompt, { maxTokens: 6, temperature: 0, stop: ["\n"] }).result;
      expect(answers[0]!.text).toBe(alone.text);
      if (answers[0]!.limited) limited++;
    }
    expect(result!.limited).toBe(limited);
    expect(limited).toBeGreaterThan(0);
    const stopped = join(folder, "stopped.jsonl");
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning);
    process.on("warning", onWarning);
    const controller = new AbortController();
    const running = evaluate(model, [path], {
      ...{ data: folder, records: stopped, signal: controller.signal },
      onProgress: ({ done }) => done === 5 && controller.abort(),
    });
    await expect(running).rejects.toMatchObject({ code: "cancelled" });
    expect(recordsOf(stopped).length).toBeGreaterThanOrEqual(5);
    expect(recordsOf(stopped).length).toBeLessThan(62);
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
    const [again] = await evaluate(model, [path], { data: folder, records: stopped, against: whole });
    const { paired, pairedParts, ...figures } = again!;
    expect(figures).toEqual(result);
    expect(paired!["exact_match,last"]!.questions).toBe(62);
    const same = { questions: 31, difference: 0, changed: { gained: 0, lost: 0, p: 1 } };
    expect(pairedParts).toMatchObject({ a: { "exact_match,last": same }, b: { "exact_match,last": same } });
    expect(readFileSync(stopped, "utf8")).toBe(readFileSync(whole, "utf8"));
    // The first ones of each part, which the records have.
    const [few] = await evaluate(model, [path], {
      data: folder,
      records: stopped,
      limit: 2,
      onProgress: () => expect.fail(),
    });
    const scarce = expect.arrayContaining([expect.objectContaining({ why: "few" })]);
    expect(few).toMatchObject({ questions: 4, available: 62, parts: { a: { doubts: scarce }, b: { doubts: scarce } } });
    expect(readFileSync(stopped, "utf8")).toBe(readFileSync(whole, "utf8"));
  });

  it("draws several answers, the same whenever it is asked, others at another temperature", async () => {
    const ask = async (name: string, options: object) => {
      const records = join(folder, name);
      await evaluate(model, [own()], { data: folder, limit: 4, records, ...options });
      return recordsOf(records).map(({ answers }) => answers.map(({ text }) => text));
    };
    const three = await ask("three.jsonl", { samples: 3 });
    expect(three.every((texts) => texts.length === 3)).toBe(true);
    expect(new Set(three.flat()).size).toBeGreaterThan(3);
    expect(await ask("again.jsonl", { samples: 3 })).toEqual(three);
    expect(await ask("hot.jsonl", { samples: 3, temperature: 2 })).not.toEqual(three);
    await expect(ask("three.jsonl", { samples: 2 })).rejects.toThrow(
      /three\.jsonl: the records of own are of other questions/,
    );
    await expect(evaluate(model, [own({ generate: { maxTokens: 4 } })], { data: folder, samples: 2 })).rejects.toThrow(
      /samples is 2, and own takes one answer/,
    );
  });

  it("reads the end of a prompt that leaves no room for an answer", async () => {
    writeFileSync(join(folder, "a.jsonl"), `${JSON.stringify({ q: "the cat sat ".repeat(40), a: "x" })}\n`);
    const [result] = await evaluate(model, [own({ parts: ["a"] })], { data: folder });
    expect(result).toMatchObject({ questions: 1, truncated: 1 });
  });

  it.each([
    [{ filters: { x: { regex: "(" } } }, /own\.json: filters\.x\.regex: /],
    [{ filters: { x: "upper" } }, /filters\.x: expected one of before-fence/],
    [{ score: {} }, /score: expected one of exact_match/],
    [{ shots: 2 }, /shots: there are no examples/],
    [{ lines: [3, 2] }, /lines: expected the first and the last line/],
    [{ generate: {} }, /generate\.maxTokens: expected a whole number/],
    [{ metrics: ["acc"] }, /metrics: there is no such entry/],
    [{ lines: [99, 100] }, /a\.jsonl: expected questions in lines 99 to 100/],
  ])("a mistake in the task is named: %j", async (changes, message) => {
    await expect(evaluate(model, [own(changes)], { data: folder })).rejects.toThrow(message);
  });
});

describe("passAt", () => {
  it("is the share of all choices of k among n that have one that passed", () => {
    for (const [k, n, passed] of [
      [1, 5, 2],
      [2, 5, 2],
      [3, 5, 2],
      [4, 5, 2],
      [5, 5, 0],
      [2, 4, 4],
      [3, 7, 1],
    ] as const) {
      const masks = Array.from({ length: 2 ** n }, (_, mask) => mask.toString(2).padStart(n, "0"));
      const chosen = masks.filter((mask) => mask.replaceAll("0", "").length === k);
      const good = chosen.filter((mask) => mask.slice(0, passed).includes("1"));
      expect(passAt(k, n, passed)).toBeCloseTo(good.length / chosen.length, 12);
    }
  });
});

describe("summarizeAnswers", () => {
  const records = (...scores: readonly (number | readonly number[])[]) =>
    scores.map((score) => ({ scores: { m: score } }) as unknown as GenerationRecord);

  it("is the mean and its standard error; of several scores a question, those of one question together", () => {
    const { value, error } = summarizeAnswers("m", records(1, 0, 1, 1));
    expect(value).toBe(0.75);
    expect(error).toBeCloseTo(Math.sqrt((0.75 * 0.25) / 3), 12);
    const several = summarizeAnswers("m", records([1, 1, 0], [0], [1, 1]));
    expect(several.value).toBeCloseTo(4 / 6, 12);
    // Deviations of the sums: 2 - 2, 0 - 2/3, 2 - 4/3.
    expect(several.error).toBeCloseTo(Math.sqrt(((4 / 9 + 4 / 9) * 3) / 2) / 6, 12);
  });
});

it("the package's tasks in words are read", () => {
  expect(listTasks().filter((name) => isGeneration(openTask(name)))).toEqual([
    "bbh_cot_fewshot",
    "gsm8k",
    "gsm8k_cot",
    "humaneval",
    "humaneval_instruct",
    "humaneval_ts",
    "ifeval",
    "mbpp",
  ]);
});
