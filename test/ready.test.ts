import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";

const root = mkdtempSync(join(tmpdir(), "grok1-ready-"));
afterAll(() => rmSync(root, { recursive: true }));

function write(path: string, text: string) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

it("a clone is made ready by one at a time, and what a killed one left holds nobody up", async () => {
  cpSync(resolve(import.meta.dirname, "../scripts/ready.mjs"), join(root, "scripts/ready.mjs"), { recursive: true });
  write("package-lock.json", "{}");
  write("node_modules/.grok1-lock", createHash("sha256").update("{}").digest("hex"));
  write("native/sources.mjs", "export const hashSources = () => 'sources';");
  // In place of a compiler: takes its time, and notes when it begins and ends.
  const note = (what: string) => `appendFileSync(${JSON.stringify(join(root, "notes"))}, ${JSON.stringify(what)});`;
  const slow = `import { appendFileSync } from "node:fs"; ${note("begin ")} setTimeout(() => { ${note("end ")} }, 300);`;
  write("native/build.mjs", slow);
  for (const path of ["node_modules/typescript/bin/tsc", "node_modules/vite/bin/vite.js"]) write(path, "");
  for (const path of ["tsconfig.json", "tsconfig.build.json", "src/a.ts", "web/b.ts"]) write(path, "{}");
  const lock = join(root, "dist/.ready-pid");
  // No process has this number.
  write("dist/.ready-pid", String(2 ** 30));
  const run = async () => {
    const child = spawn(process.execPath, [join(root, "scripts/ready.mjs")], { stdio: "ignore" });
    const [status] = (await once(child, "exit")) as [number];
    return status;
  };
  expect(await Promise.all([run(), run(), run()])).toEqual([0, 0, 0]);
  expect(readFileSync(join(root, "notes"), "utf8")).toBe("begin end ".repeat(3));
  expect(existsSync(lock)).toBe(false);
});
