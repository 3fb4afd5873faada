import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type HubServer, sha256, startHub } from "../../../test/support/hub-server.ts";
import { isGeneration } from "../generation/task.ts";
import { readQuestions } from "../questions.ts";
import { readRows } from "../rows.ts";
import { listTasks, openTask, type Task } from "../task.ts";
import { type PullDataOptions, pullData } from "./pull-data.ts";
import { writeRows } from "./write-rows.ts";

const vectors = join(import.meta.dirname, "../../../test/vectors/eval");
const parquet = readFileSync(join(vectors, "parquet/snappy.parquet"));
const rows = JSON.parse(readFileSync(join(vectors, "parquet/rows.json"), "utf8")) as Record<string, unknown>[];
const root = mkdtempSync(join(tmpdir(), "grok1-pull-data-"));
let hub: HubServer;
beforeAll(async () => {
  hub = await startHub({
    "main/test-00000-of-00002.parquet": parquet,
    "main/test-00001-of-00002.parquet": parquet,
    "main/train.jsonl": Buffer.from('{"text": "one two three"}\n{"text": "four five"}\n'),
    "main/table.csv": Buffer.from('goal,label\n"two\nlines, one comma",1\nplain,0\n'),
    "README.md": Buffer.from("# data"),
  });
});
afterAll(async () => {
  await hub.close();
  rmSync(root, { recursive: true, force: true });
});

const scored = { context: "{{q}}", choices: ["a", "b"], continuation: "{{choice}}", answer: "0", metrics: ["acc"] };

function taskFile(name: string, entries: object): string {
  const path = join(root, `${name}.json`);
  const base = { name, about: name, data: `${name}/data.jsonl`, source: "https://example.org/x" };
  writeFileSync(path, JSON.stringify({ ...base, ...scored, ...entries }));
  return path;
}

const from = (patterns: readonly string[], row?: string, file?: string) => ({
  download: [{ dataset: "me/data@main", from: patterns, ...(row && { row }), ...(file && { file }) }],
});
const bring = (tasks: readonly string[], data: string, more: Partial<PullDataOptions> = {}) =>
  pullData(tasks, {
    data,
    cache: join(root, "cache"),
    endpoint: hub.endpoint,
    attempts: 2,
    pauseSeconds: 0.01,
    ...more,
  });
const read = (folder: string, file: string) => readFileSync(join(folder, file), "utf8");

describe("pullData", () => {
  it("makes a task's file of a dataset's Parquet, and keeps of what", async () => {
    const data = join(root, "one");
    const row = "{{ {'q': id, 'n': choices.text | length if choices else 0} | tojson }}";
    const task = taskFile("made", from(["main/test-*.parquet"], row));
    const [file] = await bring([task], data);
    const text = read(data, "made/data.jsonl");
    const made = rows.map(({ id, choices }) => ({
      q: id,
      n: (choices as { text: string[] } | null)?.text.length ?? 0,
    }));
    expect(text).toBe([...made, ...made].map((each) => `${JSON.stringify(each)}\n`).join(""));
    expect(file).toMatchObject({ task: "made", file: "made/data.jsonl", status: "downloaded" });
    const origin = {
      ...{ sha256: sha256(Buffer.from(text)), bytes: text.length, rows: 2 * rows.length },
      ...{ dataset: "me/data@main", commit: hub.commit },
      sources: [0, 1].map((i) => ({
        ...{ path: `main/test-0000${i}-of-00002.parquet`, bytes: parquet.length, sha256: sha256(parquet) },
      })),
    };
    expect(file!.origin).toEqual(origin);
    expect(JSON.parse(read(data, "grok1-data.json"))).toEqual({ files: { "made/data.jsonl": origin } });

    // What is there stays, and nothing is asked for; what was changed is not evaluated.
    const { length } = hub.log;
    expect(await bring([task], data)).toMatchObject([{ status: "there" }]);
    expect(hub.log.length).toBe(length);
    expect(readQuestions(openTask(task) as Task, data, 0).list).toHaveLength(2 * rows.length);
    writeFileSync(join(data, "made/data.jsonl"), text.replace("Q1", "Q2"));
    expect(() => readQuestions(openTask(task) as Task, data, 0)).toThrow(
      /made\/data\.jsonl: SHA-256 .* is not what was downloaded .* remove the file and download it anew/,
    );
  });

  it("takes JSON lines and CSV, writes CSV, and puts several files into one manifest", async () => {
    const data = join(root, "several");
    const lines = taskFile("lines", from(["main/train.jsonl"]));
    const table = taskFile("table", { data: "table.csv", ...from(["main/table.csv"]) });
    const both = await bring([lines, table, lines], data);
    expect(both.map(({ file, status }) => [file, status])).toEqual([
      ["lines/data.jsonl", "downloaded"],
      ["table.csv", "downloaded"],
    ]);
    expect(read(data, "lines/data.jsonl")).toBe('{"text":"one two three"}\n{"text":"four five"}\n');
    expect(readRows(read(data, "table.csv"), "table.csv").map(({ fields }) => fields)).toEqual([
      { goal: "two\nlines, one comma", label: "1" },
      { goal: "plain", label: "0" },
    ]);
    expect(Object.keys(JSON.parse(read(data, "grok1-data.json")).files)).toEqual(["lines/data.jsonl", "table.csv"]);
  });

  it("says what no dataset has, and which task's file is missing", async () => {
    const data = join(root, "none");
    const task = taskFile("other", { note: "by hand" });
    expect(await bring([task], data)).toEqual([
      { task: "other", file: "other/data.jsonl", status: "missing", source: "https://example.org/x" },
    ]);
    expect(() => readQuestions(openTask(task) as Task, data, 0)).toThrow(
      /other\/data\.jsonl: there is no such file, which other needs: it is to be had from https:\/\/example\.org\/x; grok1 eval --list/,
    );
    expect(() => readQuestions(openTask("piqa") as Task, data, 0)).toThrow(
      /piqa\.jsonl: there is no such file, which piqa needs: grok1 pull-data piqa --data .*none downloads it/,
    );
  });

  it("refuses what is not there, leads out, or is made wrongly, and leaves no file behind", async () => {
    const data = join(root, "refused");
    const cases: readonly (readonly [entries: object, message: RegExp])[] = [
      [from(["main/test-*.parquet", "valid*"]), /me\/data@main@?.*has no file valid\*/],
      [from(["nothing*"]), /no file is asked for: it has main\/test/],
      [{ data: "../out.jsonl", ...from(["main/train.jsonl"]) }, /"\.\.\/out\.jsonl" is not in the folder of data/],
      [from(["main/train.jsonl"], "{{ none_such }}"), /me\/data@main: main\/train\.jsonl: line 1: .*none_such/],
      [from(["main/train.jsonl"], "{{ text }}"), /line 1: row: expected JSON, found "one two three"/],
      [from(["main/train.jsonl"], "[1]"), /line 1: row: expected a JSON object, found \[1\]/],
      [from(["README.md"]), /README\.md: expected a dataset's file in Parquet, JSON lines, CSV or TSV/],
      [{ data: "x.tsv", columns: ["goal"], ...from(["main/table.csv"]) }, /goal has a tab or a line end in it/],
    ];
    for (const [entries, message] of cases) {
      const task = taskFile("refused", entries);
      await expect(bring([task], data)).rejects.toThrow(message);
      expect(await bring([taskFile("refused", {})], data)).toMatchObject([{ status: "missing" }]);
    }
    expect(() => openTask(taskFile("bad", { download: [{ dataset: "no dataset", from: ["x"] }] }))).toThrow(
      /download\[0\]\.dataset: .*is no repository/,
    );
  });
});

describe("writeRows", () => {
  it.each([
    ["x.jsonl", {}],
    ["x.csv", { columns: ["b", "a"] }],
    ["x.txt", { columns: ["a", "b"] }],
    ["x.tsv", { columns: ["a", "b"] }],
    ["x.csv", {}],
    ["x.json", { list: "examples" }],
  ])("writes %s as readRows reads it: %j", async (file, format) => {
    const some = [
      { a: "one", b: 'two "quoted", ñ' },
      { a: "", b: " spaced " },
    ];
    async function* each() {
      yield* some;
    }
    let text = "";
    for await (const piece of writeRows(each(), file, format)) text += Buffer.from(piece).toString();
    expect(readRows(text, file, format).map(({ fields }) => fields)).toEqual(some);
  });
});

describe("the package's tasks", () => {
  const { rows: upstream } = JSON.parse(readFileSync(join(vectors, "downloads.json"), "utf8")) as {
    rows: Record<string, Record<string, unknown>[]>;
  };

  it.each(Object.keys(upstream))("ask of the Hub's rows what lm-evaluation-harness asks: %s", async (name) => {
    const task = openTask(name) as Task;
    const { row } = task.downloads[0]!;
    const made = upstream[name]!.map(
      (fields, at) => JSON.parse(row!({ path: name, line: at + 1, fields })) as Record<string, unknown>,
    );
    const vector = JSON.parse(readFileSync(join(vectors, `${name}.json`), "utf8"));
    const { questions } = name === "mmlu" ? vector.parts.anatomy : vector;
    const asked = made.map((fields, at) => {
      const each = { path: name, line: at + 1, fields: { ...fields, part: "anatomy" } };
      const list = task.choices(each).map((choice) => ({ ...each, fields: { ...each.fields, choice } }));
      return {
        contexts: [...new Set(list.map((chosen) => `${task.description(each)}${task.context(chosen)}`))],
        continuations: [
          ...new Set(
            list.map((chosen) => `${task.kind === "choice" ? task.delimiter : ""}${task.continuation(chosen)}`),
          ),
        ],
        answer: task.answer(each, list.length),
      };
    });
    expect(asked.map(({ contexts, continuations }) => ({ contexts, continuations }))).toEqual(
      questions
        .slice(0, made.length)
        .map(({ contexts, continuations }: (typeof asked)[number]) => ({ contexts, continuations })),
    );
  });

  it("name pinned commits of datasets, and where else their files are to be had", () => {
    const tasks = listTasks().map(openTask);
    const downloads = tasks.flatMap((task) => task.downloads);
    expect(downloads.length).toBeGreaterThan(25);
    for (const { dataset } of downloads) expect(dataset).toMatch(/^[\w.-]+\/[\w.-]+@[0-9a-f]{40}$/);
    expect(tasks.filter((task) => task.downloads.length > 0 && isGeneration(task)).map(({ name }) => name)).toContain(
      "gsm8k",
    );
  });
});
