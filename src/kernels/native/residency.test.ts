import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const script = fileURLToPath(new URL("../../../native/test/run.sh", import.meta.url));
const compiler = spawnSync("g++", ["--version"]).status === 0;

// No thread can be refused from here, and no drive be slow: a program in which that is so is compiled.
it.skipIf(!compiler || process.platform !== "linux")(
  "bytes are brought where no thread can be had, by several drives as fast as each is, in the faster of two ways, which leave the page cache as it was",
  () => {
    const build = mkdtempSync(join(tmpdir(), "grok1-residency-"));
    try {
      const env = { ...process.env, BUILD: build };
      const { stdout, status } = spawnSync("sh", [script, "residency", build], {
        env,
        encoding: "utf8",
        timeout: 110_000,
      });
      expect([status, stdout]).toEqual([0, ""]);
    } finally {
      rmSync(build, { recursive: true });
    }
  },
  120_000,
);
