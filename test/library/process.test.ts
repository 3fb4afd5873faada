import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { programFile } from "../../src/engine/thread/program.ts";

/** What the process around the library does to its thread: flags of Node, and bundlers. */
const root = resolve(import.meta.dirname, "../..");
const library = pathToFileURL(join(root, "dist/index.js")).href;
const modelFile = join(root, "test/vectors/models/llama.gguf");
const folder = mkdtempSync(join(tmpdir(), "grok1-process-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const code = (from: string) => `
import { loadModel } from ${JSON.stringify(from)};
try {
  const model = await loadModel(${JSON.stringify(modelFile)}, { backend: "reference" });
  console.log((await model.generate("a", { maxTokens: 2, ignoreEnd: true }).result).usage.completionTokens);
  await model.close();
} catch ({ code, message }) {
  console.log(code, message);
}`;

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

function node(args: readonly string[], options = ""): string {
  const env = { ...process.env, NODE_OPTIONS: options };
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env });
  return stdout.trim() || stderr;
}

const has = (flag: string) => process.allowedNodeEnvironmentFlags.has(flag);

describe("the flags of the process", () => {
  const program = write("program.mjs", code(library));
  const leave = write("leave.cjs", `if (!require("node:worker_threads").isMainThread) process.exit(7);`);
  const throwing = write(
    "throw.mjs",
    `import { isMainThread } from "node:worker_threads"; if (!isMainThread) throw 1;`,
  );

  it.each<[string, string[], string?]>([
    ["code on the command line", ["--input-type=module", "-e", code(library)]],
    ["a module that leaves", ["--require", leave, program]],
    ["a module that throws", ["--import", throwing, program]],
    ["flags of V8", ["--expose-gc", "--max-old-space-size=512", program]],
    ["flags of the process", ["--title=other", "--conditions=development", program]],
    ["a module named in NODE_OPTIONS", [program], `--require ${leave}`],
    ["flags of V8 in NODE_OPTIONS", [program], "--max-old-space-size=512 --title=other"],
  ])("do not reach the engine's thread: %s", (_, args, options) => {
    expect(node(args, options)).toBe("2");
  });

  it.skipIf(!has("--permission"))("that forbid threads are named (where this Node has --permission)", () => {
    const allowed = ["--permission", "--allow-fs-read=*"];
    expect(node([...allowed, program])).toMatch(/^unsupported .*--allow-worker/);
    expect(node([...allowed, "--allow-worker", program])).toBe("2");
  });
});

describe("a bundle", () => {
  it("has no file for the thread, and says what to do", () => {
    const find = (here?: string) => programFile(here, "engine/thread/start", "engine/thread/worker.js");
    for (const here of [
      undefined,
      "file:///app/out.js",
      pathToFileURL(join(folder, "dist/engine/thread/start.js")).href,
    ]) {
      expect(() => find(here)).toThrow(expect.objectContaining({ code: "unsupported" }));
      expect(() => find(here)).toThrow(/external: \["grok1"\]/);
    }
  });

  // The bundler that the test runner brings along; ours it is not.
  const bundler = findBundler();

  it.skipIf(bundler === undefined).each(["esm", "cjs"])(
    "of format %s rejects what it cannot do (where there is a bundler)",
    async (format) => {
      const { rolldown } = (await import(pathToFileURL(bundler!).href)) as { rolldown: Rolldown };
      mkdirSync(join(folder, format));
      const input = write(
        `${format}.mjs`,
        code(join(root, "dist/index.js")).replace(/^try/m, "(async () => { try").concat("})();"),
      );
      const bundle = await rolldown({ input, platform: "node", logLevel: "silent" });
      const file = join(folder, format, format === "esm" ? "out.mjs" : "out.cjs");
      await bundle.write({ file, format, codeSplitting: false });
      // A worker of the application's own must not be taken for the engine's.
      writeFileSync(join(folder, format, "worker.js"), "");
      expect(node([file])).toMatch(/^unsupported .*external: \["grok1"\]/);
    },
  );
});

type Rolldown = (options: object) => Promise<{ write(options: object): Promise<unknown> }>;

function findBundler(): string | undefined {
  try {
    const fromVite = createRequire(createRequire(import.meta.resolve("vitest")).resolve("vite"));
    return fromVite.resolve("rolldown");
  } catch {
    return undefined;
  }
}
