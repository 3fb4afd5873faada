import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { intervalOf } from "./intervals.ts";
import { readQuestions } from "./questions.ts";
import { type QuestionRecord, summarize } from "./scores.ts";
import { openTask, type Task } from "./task.ts";

const data = mkdtempSync(join(tmpdir(), "grok1-security-"));
afterAll(() => rmSync(data, { recursive: true }));

function write(file: string, text: string) {
  mkdirSync(dirname(join(data, file)), { recursive: true });
  writeFileSync(join(data, file), text);
}

const texts = (name: string) =>
  readQuestions(openTask(name) as Task, data, 0).list.map(({ pairs, answer }) => {
    const { context, continuation } = pairs[answer[0]!]!;
    return context + continuation;
  });

describe("questions of security", () => {
  it("a connection's record is told in English, in Spanish and in words", () => {
    const zeros = (n: number) => "0,".repeat(n);
    write(
      "security/nsl-kdd/KDDTest+.txt",
      [
        `0,tcp,ftp_data,SF,491,0,${zeros(16)}2,2,0.00,0.00,0.00,0.00,1.00,0.00,0.00,150,25,0.17,0.03,0.17,0.00,0.00,0.00,0.05,0.00,normal,20`,
        `150,tcp,http,RSTR,54540,8314,${zeros(3)}2,1,1,${zeros(10)}160,11,0.00,0.00,0.00,0.00,1.00,0.00,0.00,255,229,0.95,0.01,0.00,0.06,0.00,0.00,0.07,0.07,back,15`,
      ].join("\n"),
    );
    expect(texts("nsl_kdd_words")).toEqual([
      "tcp ftp data SF small none out cold instant fine few some part part no: normal",
      "tcp http RSTR huge big in hot long failed most most all no rare: attack",
    ]);
    expect(texts("nsl_kdd_words_es")).toEqual([
      "tcp ftp data SF algo nada fuera frío instante bien pocos varios parte parte no: normal",
      "tcp http RSTR enorme mucho dentro caliente largo fallo todos todos todo no raro: ataque",
    ]);
    expect(texts("nsl_kdd")[1]).toBe(
      "A network connection was recorded: tcp to the service http, flag RSTR, 150 seconds, 54540 bytes sent and 8314 received, logged in. In the last two seconds there were 160 connections to the same host, a share of 1.00 of them to the same service, 0.00 with SYN errors, 0.00 rejected.\nQuestion: Is this connection normal, or is it an attack?\nAnswer: attack",
    );
    expect(texts("nsl_kdd_es")[0]).toMatch(
      /^Se registró .* 491 bytes enviados .* sin sesión iniciada.*\nRespuesta: normal$/s,
    );
  });

  it("a line of a log is a failure where it has a label", () => {
    const head =
      "LineId,Label,Timestamp,Date,Node,Time,NodeRepeat,Type,Component,Level,Content,EventId,EventTemplate\n";
    const line = (label: string, content: string) => `1,${label},1,d,n,t,n,RAS,KERNEL,FATAL,"${content}",E,e\n`;
    // The earlier half has the examples, but for seven lines: so that eight shots are not all of one answer.
    const earlier = Array.from({ length: 1000 }, (_, i) => line(i === 8 ? "APPREAD" : "-", `earlier ${i}`)).join("");
    const later = line("-", "all, well") + line("KERNDTLB", "data TLB error");
    write("logs/BGL/BGL_2k.log_structured.csv", head + earlier + later);
    expect(texts("bgl_logs").map((text) => text.replace(/.*\n.*\n/, ""))).toEqual([
      "Answer: normal",
      "Answer: failure",
    ]);
    const [shown] = readQuestions(openTask("bgl_logs") as Task, data, 2).list;
    expect(shown!.pairs[0]!.context).toMatch(
      /^.* earlier 7\n.*\nAnswer: normal\n\n.* earlier 8\n.*\nAnswer: failure\n\n.* all, well\n/,
    );
    expect(texts("bgl_logs_es")[1]).toMatch(/KERNEL FATAL data TLB error\n.*\nRespuesta: fallo$/);
  });

  it("a function is asked about before and after its weakness was mended", () => {
    const row = { cwe: "CWE-089", vulnerable: "query('… ' + id)", fixed: "query('… ?', id)" };
    write("security/vuln/sven_val.jsonl", `${JSON.stringify(row)}\n`);
    expect(texts("sven")).toEqual([
      "query('… ' + id)\n\nQuestion: Is this function open to SQL injection (CWE-089)?\nAnswer: yes",
      "query('… ?', id)\n\nQuestion: Is this function open to SQL injection (CWE-089)?\nAnswer: no",
    ]);
    expect(texts("sven_es")[0]).toContain("inyección de SQL");
    write("security/vuln/sven_val.jsonl", '{"cwe": "CWE-089", "fixed": "a"}\n');
    expect(() => texts("sven")).toThrow(/sven_val\.jsonl: line 1: expected a field vulnerable/);
  });
});

it("precision, recall and pairs are counted", () => {
  // Of four pairs: both right, one right, one right, none.
  const chosen = [1, 0, 1, 1, 0, 0, 0, 1];
  const records = chosen.map(
    (choice, i): QuestionRecord => ({
      ...{ task: "sven", question: i, line: 1 + (i >> 1), truncated: false, scores: {} },
      ...{ answer: [1 - (i % 2)], logprobs: choice === 1 ? [-2, -1] : [-1, -2] },
    }),
  );
  const [precision, recall, pairwise] = (["precision", "recall", "pairwise"] as const).map((metric) =>
    summarize(metric, records),
  );
  expect([precision!.value, recall!.value, pairwise!.value]).toEqual([2 / 4, 2 / 4, 1 / 4]);
  // Where there is no error the interval is of as many as count: of what was found, of the weak ones, of pairs.
  const last = (metric: "precision" | "recall" | "pairwise" | "f1", choose: (gold: number) => number) => {
    const some = records.map((record) => ({ ...record, logprobs: choose(record.answer[0]!) ? [-2, -1] : [-1, -2] }));
    return intervalOf(metric, summarize(metric, some), some.length).map((end) => Number(end.toFixed(3)));
  };
  expect(last("recall", () => 1)).toEqual([0.51, 1]);
  expect(last("recall", () => 0)).toEqual([0, 0.49]);
  expect(last("precision", (gold) => gold)).toEqual([0.51, 1]);
  expect(last("precision", () => 0)).toEqual([Number.NaN, Number.NaN]);
  expect(last("pairwise", () => 1)).toEqual([0, 0.49]);
  expect(last("f1", () => 0)).toEqual([Number.NaN, Number.NaN]);
  // Lines are what is independent: √(p (1 - p) / (n - 1)).
  expect(pairwise!.error).toBeCloseTo(Math.sqrt((0.25 * 0.75) / 3), 12);
});
