import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadModel } from "../generate/load.ts";
import { computedBy } from "../tasks/evaluate.ts";
import { findFunctions, type Language } from "./functions.ts";
import { describePrecision, toSarif } from "./sarif.ts";
import { scanSources } from "./scan.ts";
import { listSources } from "./source-files.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-scan-"));
afterAll(() => rmSync(folder, { recursive: true }));

const places = (source: string, language: Language) =>
  findFunctions(source, language).map(({ name, firstLine, lastLine }) => `${name} ${firstLine}-${lastLine}`);

describe("functions of a source text", () => {
  it("of Python are found by indentation", () => {
    const source = `import os

class A:
    def first(self):
        def inner():
            return 1

        return inner()

    async def second(
        self,
        x,
    ):
        return x

def third(): return 3
value = third()
`;
    expect(places(source, "python")).toEqual(["first 4-8", "second 10-14", "third 16-16"]);
    expect(findFunctions(source, "python")[2]!.text).toBe("def third(): return 3");
  });

  it("of C are found by braces, whatever stands in comments and texts", () => {
    const source = `#include <stdio.h>
struct point { int x; };
static const char *table[] = { "int f() {", };
/* void no() { */
int
main(int argc, char **argv)
{
  if (argc > 1) { printf("}"); }
  for (int i = 0; i < 3; i++) { ; }
  return 0;
}
namespace a {
Thing::Thing(int x) : x_(x) {}
bool Thing::ready() const { return x_ == '{'; }
}
`;
    expect(places(source, "c")).toEqual(["main 5-11", "Thing 13-13", "ready 14-14"]);
  });

  it("of JavaScript and TypeScript are functions, methods and arrows", () => {
    const source = `export async function load<T>(path: string): Promise<T> {
  return \`\${path} {\`;
}
const add = (a: number, b: number): number => {
  return a + b;
};
class Box {
  private size = 1;
  grow(by: number): void {
    if (by > 0) { this.size += by; }
  }
}
const handlers = { click: function () { go(); } };
if (ready) { start(); }
`;
    expect(places(source, "javascript")).toEqual(["load 1-3", "add 4-6", "grow 9-11", "click 13-13"]);
  });

  it("nothing of a text takes long or goes wrong", () => {
    let state = 1;
    const random = (n: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    const pieces = [
      "{",
      "}",
      "(",
      ")",
      "def f(",
      ":",
      "\n",
      "  ",
      "'",
      '"',
      "/*",
      "*/",
      "//",
      "`",
      "=>",
      "a",
      "=",
      "\\",
    ];
    for (let round = 0; round < 300; round++) {
      const source = Array.from({ length: random(200) }, () => pieces[random(pieces.length)]).join("");
      const count = source.split("\n").length;
      for (const language of ["c", "javascript", "python"] as const) {
        for (const { firstLine, lastLine } of findFunctions(source, language)) {
          expect(firstLine >= 1 && firstLine <= lastLine && lastLine <= count).toBe(true);
        }
      }
    }
    // Would take minutes where the work grew faster than the text.
    const hostile = `${"a:".repeat(300)}=(${"):".repeat(690)}x({}`.repeat(2 ** 17 / 2000);
    for (const piece of ["{(", "a(", "f() {", "(a)=>", "=: function ", '"\\', "x = (", "def f(\n", hostile]) {
      findFunctions(piece.repeat(Math.ceil(2 ** 17 / piece.length)), piece.startsWith("def") ? "python" : "javascript");
    }
  });
});

it("sources are listed without links, what is hidden and what is too large", () => {
  const root = join(folder, "tree");
  mkdirSync(join(root, "node_modules"), { recursive: true });
  mkdirSync(join(root, ".git"));
  for (const name of ["b.py", "a.ts", "notes.txt", "node_modules/x.js", ".git/y.js"])
    writeFileSync(join(root, name), "");
  writeFileSync(join(root, "large.c"), Buffer.alloc(2 ** 20 + 1, 32));
  symlinkSync("/", join(root, "all"));
  symlinkSync("/etc/passwd", join(root, "passwd.c"));
  const { files, leftOut } = listSources(root);
  expect(files.map(({ name }) => name)).toEqual(["a.ts", "b.py"]);
  expect(leftOut.map(({ name }) => name)).toEqual(["large.c"]);
  // A link that somebody names is what it leads to.
  symlinkSync(root, join(folder, "linked"));
  symlinkSync(join(root, "a.ts"), join(folder, "linked.ts"));
  symlinkSync(join(root, "nowhere"), join(folder, "broken"));
  expect(listSources(join(folder, "linked")).files.map(({ name }) => name)).toEqual(["a.ts", "b.py"]);
  expect(listSources(join(folder, "linked.ts")).files.map(({ name }) => name)).toEqual(["linked.ts"]);
  expect(() => listSources(join(folder, "broken"))).toThrow(/broken: cannot look at: no such file/);
  expect(() => listSources(join(root, "none"))).toThrow(expect.objectContaining({ code: "io" }));
});

it("each function is asked about the weaknesses of its language, and findings are SARIF that says how right they are", async () => {
  const root = join(folder, "source");
  mkdirSync(root);
  writeFileSync(join(root, "a b.py"), "def f(x):\n    return x\n");
  writeFileSync(join(root, "c.c"), `int g(void) { return 0; }\nint long_one(void) { ${"x();".repeat(4000)} }\n`);
  writeFileSync(join(root, "wide.py"), Buffer.from([0xff, 0xfe, 0x00]));
  await using model = await loadModel(resolve("models/grok1-stories-q8_0.gguf"), { threads: 1 });
  const all = await scanSources(model, root, { threshold: 0 });
  expect(all.findings.map(({ file, cwe }) => `${file} ${cwe}`).sort()).toEqual([
    ...["22", "78", "79", "89"].map((cwe) => `a b.py CWE-${cwe}`),
    ...["125", "190", "22", "416", "476", "78", "787"].map((cwe) => `c.c CWE-${cwe}`),
  ]);
  expect(all.leftOut.map(({ name }) => name)).toEqual(["wide.py", "c.c:2"]);
  const shares = all.findings.map(({ share }) => share);
  expect(shares).toEqual([...shares].sort((a, b) => b - a));
  expect(describePrecision(all)).toContain("was not measured");

  // Questions differ in length: of a function that is as long as what the model reads it is said how many were asked.
  const edge = join(folder, "edge.c");
  const lengths = Array.from({ length: 10 }, (_, i) => 112 + i);
  writeFileSync(edge, lengths.map((n) => `int f${n}(void) { ${"x();".repeat(n)} }\n`).join(""));
  const near = await scanSources(model, edge, { threshold: 0 });
  const partly = near.leftOut.filter(({ why }) => / with some questions: [1-6] of 7 were asked$/.test(why));
  expect(partly.length).toBeGreaterThan(0);
  for (const { why } of partly) {
    const [, name, asked] = /^(f\d+) .* (\d) of 7/.exec(why)!;
    expect(near.findings.filter((finding) => finding.function === name)).toHaveLength(Number(asked));
  }

  // Of four known functions three are found at that threshold, two of them weak.
  const records = join(folder, "sven.jsonl");
  const record = (weak: boolean, share: number) => ({
    ...{ task: "sven", line: 1, truncated: false, scores: {} },
    ...{ answer: [Number(weak)], logprobs: [Math.log(1 - share), Math.log(share)] },
  });
  const threshold = (shares[1]! + shares[2]!) / 2;
  const known = [record(true, 0.999999), record(true, 0.999999), record(false, 0.999999), record(false, 1e-9)];
  const head = (of: string) => ({ format: "grok1 eval records", version: 1, model: of });
  const write = (of: string, format?: string) => {
    const lines = [
      { ...head(of), ...(format && { format }) },
      { task: "sven", key: "of the questions" },
      ...known.map((entry, question) => ({ ...entry, question })),
    ];
    // A last line that an interruption cut off does not count.
    writeFileSync(records, `${lines.map((line) => `${JSON.stringify(line)}\n`).join("")}{"task": "sven", "que`);
  };
  write(computedBy(model));
  const measured = await scanSources(model, root, { threshold, records });
  expect(measured.findings).toEqual(all.findings.slice(0, 2));
  expect(measured.precision).toEqual({ precision: 2 / 3, found: 3, recall: 1, weak: 2 });
  const { runs } = toSarif(measured, "1.2.3", "model.gguf") as {
    runs: { tool: { driver: { rules: object[] } }; results: Record<string, unknown>[] }[];
  };
  expect(runs[0]!.tool.driver.rules).toContainEqual(
    expect.objectContaining({
      ...{ id: "CWE-89", helpUri: "https://cwe.mitre.org/data/definitions/89.html" },
      properties: { precision: "medium", tags: ["security", "external/cwe/cwe-089"] },
    }),
  );
  const [found] = measured.findings;
  expect(runs[0]!.results[0]).toMatchObject({
    ...{ ruleId: found!.cwe, level: "note" },
    message: { text: expect.stringContaining("67 % (21 to 94) of the 3 functions") },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: found!.file === "c.c" ? "c.c" : "a%20b.py" },
          region: { startLine: 1, endLine: found!.lastLine },
        },
      },
    ],
  });
  write("another");
  await expect(scanSources(model, root, { records })).rejects.toMatchObject({ code: "argument" });
  write(computedBy(model), "something else");
  await expect(scanSources(model, root, { records })).rejects.toThrow(
    /line 1: expected the head of grok1 eval records/,
  );
});
