import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { folder, program } from "./grok1.ts";

const page = readFileSync(resolve(import.meta.dirname, "../../docs/training.md"), "utf8");

it.skipIf(process.platform === "win32")(
  "the training page's example runs as printed, here for fewer steps (not on Windows)",
  () => {
    const [, example] = /## In two minutes[\s\S]*?```sh\n([\s\S]*?)```/.exec(page)!;
    const shorter = example!.replace('"steps": 300', '"steps": 3').replace('"warmup": 20', '"warmup": 1');
    expect(shorter).not.toBe(example);
    const cwd = join(folder, "example");
    mkdirSync(cwd);
    const script = `grok1() { '${process.execPath}' '${program}' "$@"; }\n${shorter}`;
    const { status, stderr } = spawnSync("sh", ["-euc", script], { cwd, encoding: "utf8" });
    expect(stderr).not.toMatch(/error|grok1: [^:]+: /);
    expect(status).toBe(0);
    const model = openGguf(join(cwd, "sums/sums-f16.gguf"));
    expect(model.metadata.number("grok.expert_count")).toBe(4);
    model.close();
  },
);
