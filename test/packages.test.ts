import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { loadAddon } from "../src/addon.ts";
import { reportAddon } from "../src/cli/addon-report.ts";

const root = resolve(import.meta.dirname, "..");
const addon = reportAddon(loadAddon());
// A compiler that lacks an instruction set makes no release.
const whyNot =
  process.platform === "win32"
    ? "releases are not packed on Windows"
    : !addon.present
      ? `no addon: ${addon.reason}`
      : addon.missing.length > 0
        ? `the compiler lacks ${addon.missing.join(", ")}`
        : undefined;
const title = `the packed packages, where there is no compiler${whyNot ? ` (skipped: ${whyNot})` : ""}`;

/** The release as people install it. scripts/check-packages.mjs does it with other versions of npm and Node as well. */
describe.skipIf(whyNot !== undefined)(title, () => {
  it("install, find their addon, answer, and are mended by what doctor says", () => {
    const { stdout, stderr } = spawnSync(process.execPath, [join(root, "scripts/check-packages.mjs"), "--json"], {
      encoding: "utf8",
    });
    const [row] = JSON.parse(stdout || JSON.stringify([stderr])) as [Record<string, string>];
    expect(row).toMatchObject({
      node: process.version,
      "install -g": expect.stringMatching(new RegExp(`^@grok1/${process.platform}-${process.arch}.*: scalar`)),
      "first answer": expect.stringMatching(/\w/),
      "-g without it": "mended",
      "project without it": "mended",
    });
  }, 600_000);
});
