import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

/** What native/build.mjs makes of compilers: a script stands in for one, and gives the addon that is there for its own. */
const root = resolve(import.meta.dirname, "..");
const built = join(root, "build/grok1.node");
const folder = mkdtempSync(join(tmpdir(), "grok1-build-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function build(name: string, refuses: string, ...flags: string[]) {
  const script = join(folder, `${name}.sh`);
  writeFileSync(
    script,
    `case "$*" in *--version*) echo "stand-in 1.0"; exit;; ${refuses}) echo "error: refused" >&2; exit 1;; esac
for argument; do [ "$before" = -o ] && out=$argument; before=$argument; done
cp "${built}" "$out"\n`,
  );
  const out = join(folder, name);
  const { status, stderr } = spawnSync(process.execPath, [join(root, "native/build.mjs"), "--out", out, ...flags], {
    encoding: "utf8",
    env: { ...process.env, CXX: `sh ${script}` },
  });
  const note = (file: string) => (existsSync(join(out, file)) ? readFileSync(join(out, file), "utf8") : undefined);
  return { status, stderr, info: JSON.parse(note("build-info.json") ?? "null"), whyNot: note("why-not.txt") };
}

const whyNot =
  process.platform === "win32"
    ? " (skipped: the stand-ins are shell scripts)"
    : existsSync(built)
      ? ""
      : " (skipped: no addon was built that a stand-in could give)";

describe.skipIf(whyNot !== "")(`the addon's build${whyNot}`, () => {
  it("has every instruction set that the compiler knows, and names the others", () => {
    const [first, last] = process.arch === "arm64" ? ["neon", "i8mm"] : ["avx2", "avx512vbmi"];
    const refused = process.arch === "arm64" ? "*+i8mm*" : "*-mavx512vbmi*";
    const whole = build("whole", "nothing");
    expect(whole.info).toMatchObject({ missing: [], isas: expect.arrayContaining(["scalar", first, last]) });
    const part = build("part", refused, "--quiet");
    expect(part).toMatchObject({
      status: 0,
      info: { missing: [last], isas: expect.arrayContaining(["scalar", first]) },
    });
    expect(part.info.isas).not.toContain(last);
    expect(part.stderr).toContain(`stand-in 1.0 does not know ${last}`);
  });

  it("says what it compiles: once before a start, file by file to who asked, nothing where nothing is to do", () => {
    const start = build("progress", "nothing", "--quiet");
    expect(start.stderr).toMatch(/^Compiling the addon: \d+ of its files …\n$/);
    expect(build("progress", "nothing", "--quiet").stderr).toBe("");
    const lines = build("progress", "nothing", "--force").stderr.split("\n");
    const count = Number(/(\d+) of its files/.exec(start.stderr)![1]);
    const compiled = lines.filter((line) => line.startsWith("Compiling the addon: "));
    expect(compiled.map((line) => /\((\d+) of \d+\)$/.exec(line)![1])).toEqual(
      Array.from({ length: count }, (_, i) => String(i + 1)),
    );
    expect(compiled[0]).toMatch(/^Compiling the addon: [\w.-]+\.cpp \(1 of /);
  });

  it("does not take a compiler that fails for one that knows nothing", () => {
    expect(build("failing", "*-c*")).toMatchObject({
      status: 1,
      info: null,
      whyNot: expect.stringMatching(/compiles nothing/),
    });
  });

  it("tells who asked for it of a failure, and does not hold up a start", () => {
    expect(build("asked", "*addon.cpp*")).toMatchObject({
      status: 1,
      whyNot: expect.stringMatching(/^addon\.cpp does not/),
    });
    const start = build("start", "*addon.cpp*", "--quiet");
    expect(start).toMatchObject({ status: 0, stderr: expect.stringMatching(/^warning: .*could not be built/m) });
    expect(build("start", "*addon.cpp*", "--quiet")).toMatchObject({
      status: 0,
      stderr: expect.stringMatching(/^Compiling the addon: \d+ of its files …\n$/),
    });
  });
});
