import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

/**
 * Data flows one way: a file imports from its own folder or from one further left. The row of folders stands in
 * docs/architecture.md too; a test below holds the two together.
 */
const flow = [
  "errors",
  "options",
  "addon-backend",
  "addon",
  "machine",
  "memory",
  "bytes",
  "page",
  "hub",
  "tensor",
  "formats",
  "tokenizer",
  "grammar",
  "kernels",
  "model",
  "convert",
  "sampling",
  "engine",
  "template",
  "generate",
  "eval",
  "verify",
  "plan",
  "train",
  "tasks",
  "explain",
  "scan",
  "server",
  "index",
  "cli",
];

const root = resolve(import.meta.dirname, "../..");
const source = join(root, "src");

function listFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? listFiles(join(folder, entry.name)) : [join(folder, entry.name)],
  );
}

/** The folder of src/ that a file belongs to; a file directly in src/ is a room of its own. */
function roomOf(file: string): string {
  return relative(source, file).split(/[\\/]/)[0]!.replace(/\.ts$/, "");
}

const files = listFiles(source).filter((file) => file.endsWith(".ts"));
const imports = files
  .filter((file) => !/\.(test|case)\.ts$/.test(file))
  .flatMap((file) =>
    [...readFileSync(file, "utf8").matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((match) => ({
      file,
      target: resolve(dirname(file), match[1]!),
    })),
  );

const compiled = join(root, "dist");

it.skipIf(!existsSync(compiled))("what is compiled imports nothing that is not (skipped where nothing is)", () => {
  const wrong = listFiles(compiled).filter(
    (file) => file.endsWith(".js") && /\b(?:from|import)\s*\(?\s*"\.[^"]*\.ts"/.test(readFileSync(file, "utf8")),
  );
  expect(wrong).toEqual([]);
});

describe("architecture", () => {
  it("knows every folder of src", () => {
    expect([...new Set(files.map(roomOf))].filter((room) => !flow.includes(room))).toEqual([]);
  });

  it("imports point to the left of the flow", () => {
    const back = imports
      .filter(({ file, target }) => flow.indexOf(roomOf(target)) > flow.indexOf(roomOf(file)))
      .map(({ file, target }) => `${relative(source, file)} imports ${relative(source, target)}`);
    expect(back).toEqual([]);
    expect(imports.length).toBeGreaterThan(20);
  });

  it("has no circle of imports between files", () => {
    const edges = new Map<string, string[]>();
    for (const { file, target } of imports) edges.set(file, [...(edges.get(file) ?? []), target]);
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: string[]): void => {
      if (path.includes(file)) {
        circles.push([...path.slice(path.indexOf(file)), file].map((step) => relative(source, step)).join(" → "));
        return;
      }
      if (done.has(file)) return;
      for (const target of edges.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(circles).toEqual([]);
  });

  it("library code neither prints, exits nor reads the environment", () => {
    const offenders = files
      .filter((file) => roomOf(file) !== "cli" && !/\.(test|case)\.ts$/.test(file))
      .filter((file) => /\bprocess\.(exit|env)\b|\bconsole\.\w+\(/.test(readFileSync(file, "utf8")));
    expect(offenders.map((file) => relative(source, file))).toEqual([]);
  });

  it("folders are made by makeFolder alone: Node's own way never returns where a system says that it cannot be", () => {
    const offenders = files
      .filter((file) => !/\.(test|case)\.ts$/.test(file))
      .filter((file) => /\bmkdir(Sync)?\(/.test(readFileSync(file, "utf8")));
    expect(offenders.map((file) => relative(source, file).replaceAll("\\", "/"))).toEqual(["bytes/folder.ts"]);
  });

  it("docs/architecture.md names every folder", () => {
    const page = readFileSync(join(root, "docs/architecture.md"), "utf8");
    expect([...new Set(files.map(roomOf))].filter((room) => !page.includes(room))).toEqual([]);
  });
});
