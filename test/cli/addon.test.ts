import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { prebuiltPackages } from "../../src/addon.ts";
import { cLibrary } from "../../src/cli/installation.ts";
import { withoutAddon } from "../support/addon.ts";
import { finished, folder, start } from "./grok1.ts";

/** How the program finds its addon, and what doctor says where it does not: the package in folders as npm makes them. */
const root = resolve(import.meta.dirname, "../..");
const built = join(root, "build/grok1.node");
const library = cLibrary();
const mine = prebuiltPackages().find((name) => library === undefined || name.endsWith(library.name))!;
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, unknown>;

const home = join(folder, "global/lib");
const modules = join(home, "node_modules");
const to = join(modules, "grok1");
const prebuilt = join(to, "node_modules", mine);

function write(path: string, text: string | Uint8Array): void {
  mkdirSync(resolve(path, ".."), { recursive: true });
  writeFileSync(path, text);
}

async function doctor(env: Record<string, string> = {}) {
  const child = start(["doctor", "--json"], env, join(to, "dist/cli/main.js"));
  child.stdin.end();
  const { stdout, stderr } = await finished(child);
  expect(stderr).toBe("");
  return (JSON.parse(stdout) as { addon: Record<string, unknown> }).addon;
}

beforeEach(() => {
  rmSync(join(folder, "global"), { recursive: true, force: true });
  for (const part of ["dist", "native"]) cpSync(join(root, part), join(to, part), { recursive: true });
  symlinkSync(join(root, "node_modules/commander"), join(modules, "commander"), "junction");
  write(join(to, "package.json"), JSON.stringify({ ...manifest, optionalDependencies: { [mine]: manifest.version } }));
});

describe("without an addon, doctor names the cause and a command", () => {
  it("nothing installed, in a global folder and in a project", async () => {
    const install = `install -g --prefix ${join(folder, "global")} ${mine}@${manifest.version}`;
    expect(await doctor()).toMatchObject({ cause: "not-installed", remedy: expect.stringContaining(install) });
    write(join(home, "package.json"), "{}");
    expect(await doctor()).toMatchObject({
      cause: "not-installed",
      remedy: expect.stringContaining(`npm install --no-save --prefix ${home} ${mine}@`),
    });
  });

  it("no package for this platform, a build that failed, a clone", async () => {
    write(join(to, "package.json"), JSON.stringify(manifest));
    const build = `node ${join(to, "native/build.mjs")}`;
    expect(await doctor()).toMatchObject({ cause: "no-prebuilt", remedy: expect.stringContaining(build) });
    write(join(to, "build/why-not.txt"), "no C++ compiler that will do was found: tried c++\n");
    expect(await doctor()).toMatchObject({ cause: "no-compiler", reason: expect.stringMatching(/tried c\+\+$/) });
    write(join(to, "build/why-not.txt"), "addon.cpp does not compile with c++ 4: error\n");
    expect(await doctor()).toMatchObject({ cause: "does-not-compile", reason: expect.stringMatching(/c\+\+ 4/) });
    write(join(to, "scripts/ready.mjs"), "");
    expect(await doctor()).toMatchObject({ remedy: expect.stringContaining(`npm run build --prefix ${to} `) });
    rmSync(join(to, "build"), { recursive: true });
    expect(await doctor()).toMatchObject({ cause: "not-built" });
  });

  it("packages of another platform", async () => {
    write(join(to, "node_modules/@grok1/haiku-ppc/grok1.node"), "");
    expect(await doctor()).toMatchObject({
      cause: "other-platform",
      reason: expect.stringContaining("@grok1/haiku-ppc"),
    });
    write(join(prebuilt, "grok1.node"), "MZ of another system".repeat(500));
    expect(await doctor()).toMatchObject({ cause: "other-platform", remedy: expect.stringContaining(`${mine}@`) });
  });
});

describe.skipIf(!existsSync(built))(`with an addon${withoutAddon}`, () => {
  beforeEach(() => write(join(prebuilt, "grok1.node"), readFileSync(built)));

  it("takes the prebuilt one, and before it what was built in its own folder", async () => {
    expect(await doctor()).toMatchObject({ present: true, path: join(prebuilt, "grok1.node") });
    write(join(to, "build/grok1.node"), readFileSync(built));
    write(join(to, "build/build-info.json"), '{"version": "my own compiler"}');
    expect(await doctor()).toMatchObject({ path: join(to, "build/grok1.node"), compiler: "my own compiler" });
  });

  it("refuses one of other sources, and goes on to one that fits", async () => {
    write(join(to, "build/grok1.node"), "damaged");
    expect(await doctor()).toMatchObject({ present: true, path: join(prebuilt, "grok1.node") });
    rmSync(join(to, "build"), { recursive: true });
    write(join(to, "dist/addon-sources.txt"), "0123456789abcdef");
    expect(await doctor()).toMatchObject({
      cause: "other-sources",
      reason: expect.stringContaining(join(prebuilt, "grok1.node")),
      remedy: expect.stringContaining(`${mine}@`),
    });
  });

  it("says what forbids addons", async () => {
    expect(await doctor({ NODE_OPTIONS: "--no-addons" })).toMatchObject({ cause: "forbidden" });
  });

  const foreign = library?.name === "gnu" ? "" : " (skipped: this system's C library is not glibc)";
  it.skipIf(foreign !== "")(`says which C library would be needed${foreign}`, async () => {
    const text = readFileSync(built, "latin1");
    const newest = [...text.matchAll(/GLIBC_2\.\d\d/g)]
      .map(([name]) => name)
      .sort()
      .at(-1)!;
    write(join(prebuilt, "grok1.node"), Buffer.from(text.replaceAll(newest, "GLIBC_9.99"), "latin1"));
    expect(await doctor()).toMatchObject({
      cause: "old-c-library",
      reason: `this system has glibc ${library!.version}, the addon needs GLIBC 9.99`,
      remedy: expect.stringContaining("native/build.mjs"),
    });
  });
});
