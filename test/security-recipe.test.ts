import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";

const recipe = resolve(import.meta.dirname, "../train/security.mjs");
const data = mkdtempSync(join(tmpdir(), "grok1-security-recipe-"));
afterAll(() => rmSync(data, { recursive: true }));

function write(file: string, lines: readonly string[]) {
  mkdirSync(dirname(join(data, file)), { recursive: true });
  writeFileSync(join(data, file), `${lines.join("\n")}\n`);
}

const record = (label: string, connections: number) => {
  const zeros = (n: number) => "0,".repeat(n);
  return `0,tcp,http,SF,${connections},0,${zeros(16)}${connections},2,${zeros(17)}${label},20`;
};
const times = <T>(n: number, make: (i: number) => T) => Array.from({ length: n }, (_, i) => make(i));

write("security/nsl-kdd/KDDTrain+_20Percent.txt", [
  ...times(60, (i) => record("normal", i)),
  ...times(36, (i) => record("neptune", 1000 + i)),
  ...times(4, () => record("back", 50000)),
]);
write(
  "security/nsl-kdd/KDDTest+.txt",
  times(5, () => record("normal", 5)),
);
const logLine = (label: string, level: string, content: string, kind: string) =>
  `1,${label},1,d,n,t,n,RAS,KERNEL,${level},${content},${kind},e`;
write("logs/BGL/BGL_2k.log_structured.csv", [
  "LineId,Label,Timestamp,Date,Node,Time,NodeRepeat,Type,Component,Level,Content,EventId,EventTemplate",
  ...times(1000, (i) =>
    i % 10 === 0 ? logLine("KERNDTLB", "FATAL", "earlier failure", "E1") : logLine("-", "INFO", `earlier ${i}`, "E2"),
  ),
  ...times(1000, (i) => logLine(i % 20 === 0 ? "APPSEV" : "-", "FATAL", "later", "E3")),
]);
const pair = (name: string) => JSON.stringify({ cwe: "CWE-089", vulnerable: `weak ${name}`, fixed: `mended ${name}` });
write(
  "security/vuln/sven_train.jsonl",
  times(20, (i) => pair(`train ${i}`)),
);
write(
  "security/vuln/sven_val.jsonl",
  times(5, (i) => pair(`test ${i}`)),
);

interface Pair {
  readonly prompt: string;
  readonly answer: string;
}

async function make(tasks: string, ...rest: string[]): Promise<readonly Pair[]> {
  const out = join(data, "pairs.jsonl");
  await promisify(execFile)(process.execPath, [recipe, tasks, data, out, ...rest]);
  return readFileSync(out, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Pair);
}

const count = (pairs: readonly Pair[], of: (pair: Pair) => boolean) => pairs.filter(of).length;

describe("recipe of adapters for security", () => {
  it("draws records by the square root of how many there are of a kind, the same each time", async () => {
    const pairs = await make("nsl_kdd_words", "100");
    expect(pairs).toHaveLength(100);
    expect(await make("nsl_kdd_words", "100")).toEqual(pairs);
    // Three of ten are normal; of the others √36 : √4.
    expect(count(pairs, ({ answer }) => answer === " normal")).toBe(30);
    expect(count(pairs, ({ prompt }) => prompt.includes("huge"))).toBeGreaterThan(0);
    expect(count(pairs, ({ answer }) => answer === " attack")).toBe(70);
    expect(pairs.every(({ prompt }) => /^tcp http SF .*:$/.test(prompt))).toBe(true);
  });

  it("says in a line what is missing, and what cannot be", async () => {
    for (const [args, status, message] of [
      [
        ["nsl_kdd_words", join(data, "none")],
        1,
        /none\/security\/nsl-kdd\/\S+: there is no such file, which nsl_kdd_words needs/,
      ],
      [["nsl_kdd_wordz", data], 2, /^there is no task "nsl_kdd_wordz", did you mean/],
      [["piqa", data], 2, /^piqa: the task names no examples to train on$/],
      [["sven", data, "pairs.jsonl", "many"], 2, /^usage: /],
    ] as const) {
      const [task, folder, out = join(data, "pairs.jsonl"), ...rest] = args;
      const failed = promisify(execFile)(process.execPath, [recipe, task, folder, out, ...rest]);
      await expect(failed).rejects.toMatchObject({ code: status, stderr: expect.stringMatching(/^[^\n]*\n$/) });
      await expect(failed).rejects.toMatchObject({ stderr: expect.stringMatching(new RegExp(message.source, "m")) });
    }
  });

  it("has none of what is tested: the earlier half of a log, the functions to train on; in two languages in turn", async () => {
    const log = await make("bgl_logs,bgl_logs_es");
    expect(log).toHaveLength(1000);
    expect(count(log, ({ prompt }) => prompt.includes("later"))).toBe(0);
    expect(count(log, ({ answer }) => answer === " failure" || answer === " fallo")).toBe(500);
    expect(log.every(({ prompt }, i) => prompt.endsWith(i % 2 === 0 ? "\nAnswer:" : "\nRespuesta:"))).toBe(true);
    for (const { prompt, answer } of log) {
      expect(/ (?:failure|fallo)$/.test(answer)).toBe(prompt.includes("earlier failure"));
    }

    const functions = await make("sven,sven_es");
    const named = functions.map(({ prompt, answer }) => `${prompt.split("\n")[0]}${answer}`);
    const expected = times(20, (i) => [`weak train ${i}`, `mended train ${i}`]).flat();
    expect(named.map((name) => name.replace(/ (?:yes|no|sí)$/, "")).sort()).toEqual(expected.sort());
    expect(named.every((name) => / (?:yes|sí)$/.test(name) === name.startsWith("weak"))).toBe(true);
    expect(count(functions, ({ prompt }) => prompt.endsWith("Respuesta:"))).toBe(20);
  });
});
