import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/library.md"), "utf8");
const readme = readFileSync(join(root, "README.md"), "utf8");
const examplesOf = (text: string) => [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code]) => code!);
const examples = [...examplesOf(page), ...examplesOf(readme)];
const run = promisify(execFile);

const options: ts.CompilerOptions = {
  ...{ strict: true, noEmit: true, skipLibCheck: true, types: ["node"], paths: { grok1: ["./dist/index.d.ts"] } },
  ...{
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
  },
};

describe("docs/library.md", () => {
  it("has examples that check, and names all that can be called", () => {
    // Beside the package's own code, under names that nothing has.
    const sources = new Map(
      examples.map((code, i) => {
        const head = code.includes("import ") ? "" : 'import { loadModel } from "grok1";\n';
        return [join(root, `documented-${i}.mts`), head + code];
      }),
    );
    const host = ts.createCompilerHost(options);
    const { getSourceFile, fileExists, readFile } = host;
    host.fileExists = (name) => sources.has(name) || fileExists(name);
    host.readFile = (name) => sources.get(name) ?? readFile(name);
    host.getSourceFile = (name, target, ...rest) => {
      const source = sources.get(name);
      return source === undefined
        ? getSourceFile(name, target, ...rest)
        : ts.createSourceFile(name, source, target as ts.ScriptTarget);
    };
    const program = ts.createProgram([...sources.keys(), join(root, "dist/index.d.ts")], options, host);
    const problems = [...sources.keys()].flatMap((name) => {
      const file = program.getSourceFile(name)!;
      return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
        ({ messageText }) => `${name}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`,
      );
    });
    expect(problems).toEqual([]);

    const checker = program.getTypeChecker();
    const index = checker.getSymbolAtLocation(program.getSourceFile(join(root, "dist/index.d.ts"))!)!;
    const exported = checker.getExportsOfModule(index);
    const target = (symbol: ts.Symbol) =>
      symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    const values = exported.filter((symbol) => target(symbol).flags & ts.SymbolFlags.Value);
    const members = [
      "LanguageModel",
      "Session",
      "Chat",
      "ChatOptions",
      "LoadOptions",
      "ServerOptions",
      "PullOptions",
    ].flatMap((name) => {
      const found = exported.find((symbol) => symbol.name === name)!;
      return checker.getDeclaredTypeOfSymbol(target(found)).getProperties();
    });
    const names = [...values, ...members].map(({ name }) => name).filter((name) => !name.startsWith("__@"));
    expect(names.length).toBeGreaterThan(60);
    const told = new Set(page.match(/\w+/g));
    expect(names.filter((name) => !told.has(name))).toEqual([]);
  });

  it("has examples that run", async () => {
    const folder = mkdtempSync(join(tmpdir(), "grok1-documented-"));
    try {
      symlinkSync(join(root, "test/vectors/models/llama.gguf"), join(folder, "model.gguf"));
      writeFileSync(join(folder, "text.txt"), "It was a dark and stormy night. ".repeat(40));
      const asked = {
        context: "{{q}}",
        choices: "{{c | tojson}}",
        continuation: "{{choice}}",
        answer: "{{a}}",
        metrics: ["acc"],
      };
      const task = { name: "capitals", about: "capitals", data: "capitals.jsonl", source: "here", ...asked };
      writeFileSync(join(folder, "capitals.json"), JSON.stringify(task));
      mkdirSync(join(folder, "data"));
      writeFileSync(join(folder, "data/capitals.jsonl"), '{"q": "Peru:", "c": ["Lima", "Rome"], "a": 0}\n'.repeat(2));
      const here = JSON.stringify(new URL("../../dist/index.js", import.meta.url).href);
      // Not those that want adapters, train, ask Hugging Face, or tell of tools, for which the model has no room.
      const running = examples.filter((code) => !/adapter|finetune|pull|tools/.test(code));
      expect(running.length).toBeGreaterThan(4);
      for (const [i, code] of running.entries()) {
        // Explicit resource management, for Node 20 and 22.
        const { outputText } = ts.transpileModule(code.replace('"grok1"', here), {
          compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
        });
        writeFileSync(join(folder, `${i}.mjs`), outputText);
        await run(process.execPath, [`${i}.mjs`], { cwd: folder, timeout: 120_000 });
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 600_000);
});
